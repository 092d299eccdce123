"""Read images from OCI layouts and from the two kinds of archives; nothing is unpacked."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.digest import BLOCK, Digest
from pixi_ship.errors import DigestMismatch, ImageError, UsageError
from pixi_ship.oci.blob import MAX_DOCUMENT, Blob, Layer, Stretch
from pixi_ship.oci.descriptor import LAYER_GZIP, LAYER_TAR, LAYER_ZSTD, Descriptor
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.oci.stored import (
    SCRATCH,
    StoredImage,
    check_platform,
    diff_ids_of,
    images_of,
    parsed,
)
from pixi_ship.platform import Platform

_REF_NAME = "org.opencontainers.image.ref.name"


def read_image(reference: Reference, platform: Platform) -> StoredImage:
    """Open the image at ``reference`` on this machine for ``platform``; raises ImageError."""
    if reference.transport is Transport.SCRATCH:
        return SCRATCH
    return read_images(reference, platform)[0]


def read_images(reference: Reference, platform: Platform | None = None) -> list[StoredImage]:
    """Open an image on this machine for every platform it has, or for one.

    Raises ImageError, UsageError for what is not on this machine.
    """
    try:
        if reference.transport is Transport.OCI:
            directory = Path(reference.path)
            return _from_layout(reference, platform, lambda name: _file(directory, name))
        if reference.transport is Transport.OCI_ARCHIVE:
            with _archive(reference) as find:
                return _from_layout(reference, platform, find)
        if reference.transport is Transport.DOCKER_ARCHIVE:
            with _archive(reference) as find:
                return [_from_docker_archive(reference, platform, find)]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ImageError(f"reading {reference}: a field is missing or odd ({error})") from error
    if reference.transport in (Transport.SIF, Transport.ORAS):
        raise UsageError(
            f"{reference} is a SIF, which has no layers", hint="name the image it was made from"
        )
    raise UsageError(f"{reference} is no image on this machine")


@dataclass(frozen=True, slots=True)
class _Place:
    """A stretch of a file that may be a blob or a document."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        if self.size > MAX_DOCUMENT:
            raise ImageError(f"{self.path} holds a document of {self.size} bytes")
        return b"".join(Stretch(self.path, self.offset).read(0, self.size))


_Find = Callable[[str], _Place]


def _file(directory: Path, name: str) -> _Place:
    path = directory / name
    try:
        return _Place(path, 0, path.stat().st_size)
    except OSError as error:
        raise ImageError(
            f"reading {directory}: {name}: {error.strerror}", hint="is it an OCI layout?"
        ) from error


@contextmanager
def _archive(reference: Reference) -> Iterator[_Find]:
    path = Path(reference.path)
    try:
        with tarfile.open(path, "r:") as tar:
            members = {member.name.removeprefix("./"): member for member in tar}
    except FileNotFoundError:
        raise ImageError(f"there is no file {path}") from None
    except (tarfile.TarError, OSError) as error:
        raise ImageError(
            f"reading {reference}: {error}", hint="want an uncompressed tar archive of an image"
        ) from error

    def find(name: str) -> _Place:
        seen = 0
        while name in members and (member := members[name]).islnk() | member.issym():
            base = "" if member.islnk() else name.rpartition("/")[0]
            name = _normalised(f"{base}/{member.linkname}")
            seen += 1
            if seen > 8:
                break
        if name not in members or not members[name].isfile():
            raise ImageError(f"reading {reference}: it holds no {name!r}")
        return _Place(path, members[name].offset_data, members[name].size)

    yield find


def _normalised(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The blobs of an OCI layout, in a directory or in an archive."""

    where: str
    find: _Find

    def document(self, descriptor: Descriptor) -> bytes:
        return self.blob(descriptor).document()

    def blob(self, descriptor: Descriptor) -> Blob:
        place = self.find(f"blobs/sha256/{descriptor.digest.hex}")
        if place.size != descriptor.size:
            raise ImageError(
                f"reading {self.where}: blob {descriptor.digest} has {place.size} bytes, "
                f"its descriptor says {descriptor.size}"
            )
        return Blob(descriptor, Stretch(place.path, place.offset))


def _from_layout(reference: Reference, platform: Platform | None, find: _Find) -> list[StoredImage]:
    where = str(reference)
    layout = parsed(find("oci-layout").read(), f"{where}: oci-layout")
    if str(layout.get("imageLayoutVersion", "")).split(".")[0] != "1":
        raise ImageError(f"reading {where}: imageLayoutVersion is not 1")
    index = parsed(find("index.json").read(), f"{where}: index.json")
    return images_of(_chosen(index, reference), platform, _Layout(where, find), where)


def _chosen(index: Mapping[str, object], reference: Reference) -> Descriptor:
    rows = index["manifests"]
    if not isinstance(rows, list):
        raise ImageError(f"reading {reference}: index.json has no list of manifests")
    found = [Descriptor.from_json(row, f"{reference}: index.json") for row in rows]
    tags = [each.annotations.get(_REF_NAME) for each in found]
    names = ", ".join(sorted(tag for tag in tags if tag)) or "none"
    if reference.tag is not None:
        found = [each for each, tag in zip(found, tags, strict=True) if tag == reference.tag]
        if not found:
            raise ImageError(f"{reference}: there is no such tag", hint=f"tags: {names}")
    if len(found) != 1:
        raise ImageError(
            f"{reference} holds {len(found)} images", hint=f"choose one by its tag: {names}"
        )
    return found[0]


def _from_docker_archive(
    reference: Reference, platform: Platform | None, find: _Find
) -> StoredImage:
    where = str(reference)
    try:
        rows = json.loads(find("manifest.json").read())
    except ValueError as error:
        raise ImageError(f"reading {where}: manifest.json is not JSON ({error})") from error
    found = [
        row
        for row in rows
        if reference.tag is None or _has_tag(row.get("RepoTags") or [], reference.tag)
    ]
    if len(found) != 1:
        names = ", ".join(tag for row in rows for tag in row.get("RepoTags") or []) or "none"
        raise ImageError(f"{reference} holds {len(found)} images", hint=f"tags: {names}")
    raw_config = find(found[0]["Config"]).read()
    config = parsed(raw_config, f"{where}: config")
    if platform is not None:
        check_platform(config, platform, where)
    names, diff_ids = found[0]["Layers"], diff_ids_of(config, where)
    if len(names) != len(diff_ids):
        raise ImageError(f"reading {where}: manifest.json and config count different layers")
    layers = tuple(
        _archived_layer(find(name), diff_id) for name, diff_id in zip(names, diff_ids, strict=True)
    )
    return StoredImage(where, None, raw_config, config, layers)


def _has_tag(tags: list[str], wanted: str) -> bool:
    # A name without a tag is "latest", as "docker save" and our own writer put it down.
    named = (wanted,) if ":" in wanted else (wanted, f"{wanted}:latest")
    ends = (*(f"/{each}" for each in named), f":{wanted}")
    return any(tag in named or tag.endswith(ends) for tag in tags)


def _archived_layer(place: _Place, diff_id: Digest) -> Layer:
    digest = hashlib.sha256()
    magic = b""
    with place.path.open("rb") as file:
        file.seek(place.offset)
        left = place.size
        while left and (chunk := file.read(min(BLOCK, left))):
            magic = magic or chunk[:4]
            digest.update(chunk)
            left -= len(chunk)
    found = Digest(digest.hexdigest())
    if magic[:2] == b"\x1f\x8b":
        media_type = LAYER_GZIP
    elif magic == b"\x28\xb5\x2f\xfd":
        media_type = LAYER_ZSTD
    else:
        media_type = LAYER_TAR
        if found != diff_id:
            raise DigestMismatch(
                f"a layer of {place.path}", want=str(diff_id), got=str(found), says="its config"
            )
    blob = Blob(Descriptor(media_type, found, place.size), Stretch(place.path, place.offset))
    return Layer(blob, diff_id)
