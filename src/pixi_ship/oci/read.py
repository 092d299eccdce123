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
from pixi_ship.oci.descriptor import (
    INDEXES,
    LAYER_GZIP,
    LAYER_TAR,
    LAYER_ZSTD,
    MANIFESTS,
    Blob,
    Descriptor,
    Layer,
    layer_media_type,
)
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.platform import Platform

MAX_DOCUMENT = 32 << 20  # bytes of a manifest, index or config
_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image to build on: its parsed config and its layers, and the digest it has there."""

    reference: str
    digest: Digest | None
    config: Mapping[str, object]
    layers: tuple[Layer, ...]


def read_image(reference: Reference, platform: Platform) -> BaseImage:
    """Open the image at ``reference`` for ``platform``; raises ImageError."""
    if reference.transport is Transport.SCRATCH:
        return BaseImage("scratch", None, {}, ())
    if reference.transport is Transport.DOCKER:
        raise UsageError(
            f"reading {reference}: images cannot be read from a registry yet",
            hint=f"copy it first: skopeo copy {reference} oci:base:latest, then --base oci:base",
        )
    try:
        if reference.transport is Transport.OCI:
            directory = Path(reference.path)
            return _from_layout(reference, platform, lambda name: _file(directory, name))
        with _archive(reference) as members:
            if reference.transport is Transport.OCI_ARCHIVE:
                return _from_layout(reference, platform, members)
            return _from_docker_archive(reference, platform, members)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ImageError(f"reading {reference}: a field is missing or odd ({error})") from error


@dataclass(frozen=True, slots=True)
class _Place:
    """A stretch of a file."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        if self.size > MAX_DOCUMENT:
            raise ImageError(f"{self.path} holds a document of {self.size} bytes")
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


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


def _document(place: _Place, what: str) -> dict[str, object]:
    return _parsed(place.read(), what)


def _parsed(raw: bytes, what: str) -> dict[str, object]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"reading {what}: it is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise ImageError(f"reading {what}: it is not a JSON object")
    return document


def _from_layout(reference: Reference, platform: Platform, find: _Find) -> BaseImage:
    where = str(reference)
    layout = _document(find("oci-layout"), f"{where}: oci-layout")
    if str(layout.get("imageLayoutVersion", "")).split(".")[0] != "1":
        raise ImageError(f"reading {where}: imageLayoutVersion is not 1")
    index = _document(find("index.json"), f"{where}: index.json")
    found = _chosen(index, reference)

    def blob(descriptor: Descriptor) -> Blob:
        place = find(f"blobs/sha256/{descriptor.digest.hex}")
        if place.size != descriptor.size:
            raise ImageError(
                f"reading {where}: blob {descriptor.digest} has {place.size} bytes, "
                f"its descriptor says {descriptor.size}"
            )
        return Blob(descriptor, place.path, place.offset)

    for _ in range(4):
        document = _parsed(_small(blob(found)), f"{where}: {found.digest}")
        if found.media_type not in INDEXES and "manifests" not in document:
            break
        found = _for_platform(document, platform, where)
    if found.media_type not in MANIFESTS:
        raise ImageError(f"reading {where}: media type {found.media_type!r} is not an image")
    config_descriptor = Descriptor.from_json(document["config"], where)
    config = _parsed(_small(blob(config_descriptor)), f"{where}: config")
    _check_platform(config, platform, where)
    rootfs = config["rootfs"]
    diff_ids = rootfs["diff_ids"] if isinstance(rootfs, dict) else []
    rows = document["layers"]
    if not isinstance(rows, list) or len(rows) != len(diff_ids):
        raise ImageError(f"reading {where}: manifest and config count different layers")
    layers = []
    for row, diff_id in zip(rows, diff_ids, strict=True):
        raw = Descriptor.from_json(row, where)
        descriptor = Descriptor(layer_media_type(raw.media_type), raw.digest, raw.size)
        layers.append(Layer(blob(descriptor), _digest(diff_id, where)))
    return BaseImage(where, found.digest, config, tuple(layers))


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


def _for_platform(index: Mapping[str, object], platform: Platform, where: str) -> Descriptor:
    rows = index["manifests"]
    offered = []
    for row in rows if isinstance(rows, list) else []:
        have = row.get("platform") or {}
        words = f"{have.get('os')}/{have.get('architecture')}"
        offered.append(words)
        if words == f"{platform.os}/{platform.architecture}" and (
            platform.variant is None or have.get("variant") in (None, platform.variant)
        ):
            return Descriptor.from_json(row, where)
    raise ImageError(
        f"{where} has no image for {platform}", hint=f"it has: {', '.join(offered) or 'none'}"
    )


def _check_platform(config: Mapping[str, object], platform: Platform, where: str) -> None:
    have = f"{config.get('os')}/{config.get('architecture')}"
    if have != f"{platform.os}/{platform.architecture}":
        raise ImageError(
            f"{where} is an image for {have}, want {platform}",
            hint="take a base for this platform, or give --platform",
        )


def _from_docker_archive(reference: Reference, platform: Platform, find: _Find) -> BaseImage:
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
    config = _parsed(raw_config, f"{where}: config")
    _check_platform(config, platform, where)
    rootfs = config["rootfs"]
    diff_ids = rootfs["diff_ids"] if isinstance(rootfs, dict) else []
    layers = tuple(
        _archived_layer(find(name), _digest(diff_id, where))
        for name, diff_id in zip(found[0]["Layers"], diff_ids, strict=True)
    )
    return BaseImage(where, None, config, layers)


def _has_tag(tags: list[str], wanted: str) -> bool:
    return any(tag == wanted or tag.endswith((f"/{wanted}", f":{wanted}")) for tag in tags)


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
    return Layer(Blob(Descriptor(media_type, found, place.size), place.path, place.offset), diff_id)


def _digest(text: object, where: str) -> Digest:
    try:
        return Digest.parse(str(text))
    except ValueError as error:
        raise ImageError(f"reading {where}: {error}") from None


def _small(blob: Blob) -> bytes:
    if blob.descriptor.size > MAX_DOCUMENT:
        raise ImageError(f"{blob.name}: a document of {blob.descriptor.size} bytes")
    return b"".join(blob.chunks())
