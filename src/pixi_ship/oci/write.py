"""Write images: OCI layouts, and archives for ``skopeo``, ``podman load``, ``docker load``.

A new output appears whole, by rename. An existing layout gets the blobs it lacks, then a
new ``index.json`` in one rename, so it is at every moment a layout of complete images.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pixi_ship.cache import alone, replacing, replacing_directory, write_atomically
from pixi_ship.errors import ImageError, UsageError
from pixi_ship.layer.tar import TarWriter
from pixi_ship.oci.blob import Blob, Layer
from pixi_ship.oci.decompress import decompressed
from pixi_ship.oci.descriptor import INDEX, LAYER_ZSTD
from pixi_ship.oci.image import Image, ImageIndex, canonical_json
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.tree import Directory, Entry, File

_REF_NAME = "org.opencontainers.image.ref.name"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_Report = Callable[[int], None]
_SINGLE = frozenset({Transport.DOCKER_ARCHIVE, Transport.SIF, Transport.ORAS})


def write_image(
    image: Image | ImageIndex, reference: Reference, report: _Report = lambda size: None
) -> None:
    """Write ``image`` to ``reference``; raises ImageError, and leaves no part of it.

    report: called with each number of bytes written.
    """
    with writing_to(reference):
        _write(image, reference, report)


@contextmanager
def writing_to(reference: Reference) -> Iterator[None]:
    """Tell what the disk refuses in the block as an ImageError about ``reference``."""
    try:
        yield
    except OSError as error:
        space = "free some space, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise ImageError(
            f"writing {reference}: {error.strerror or error}",
            hint=f"{space}choose another place with --to",
        ) from error


def _write(image: Image | ImageIndex, reference: Reference, report: _Report) -> None:
    if reference.transport is Transport.OCI:
        _write_layout(image, reference, report)
    elif reference.transport is Transport.OCI_ARCHIVE:
        with replacing(Path(reference.path)) as file:
            _write_tar(_oci_archive(image, reference), file.write, report)
    elif reference.transport is Transport.DOCKER_ARCHIVE and isinstance(image, Image):
        with replacing(Path(reference.path)) as file:
            _write_tar(_docker_archive(image, reference), file.write, report)
    else:
        raise UsageError(f"{reference} cannot hold this")


def check_writable(reference: Reference, platforms: int = 1) -> None:
    """Refuse what could not be written before anything is built; raises UsageError.

    platforms: how many images are to go there under one name.
    """
    if reference.transport is Transport.SCRATCH:
        raise UsageError("'scratch' is a base, not a place to write to")
    if reference.transport in _SINGLE and platforms > 1:
        raise UsageError(
            f"writing {reference}: it can hold one platform, not {platforms}",
            hint="write an oci: layout, or push to a registry",
        )
    if reference.in_registry:
        if reference.digest is not None:
            raise UsageError(
                f"writing {reference}: a digest follows from the image, it cannot be chosen",
                hint=f"name a tag: {reference.transport}://HOST/NAME:TAG",
            )
        return
    path = Path(reference.path)
    if reference.transport is Transport.OCI:
        if path.exists() and not path.is_dir():
            raise UsageError(f"writing {reference}: {path} is not a directory")
        if path.is_dir() and any(path.iterdir()) and not (path / "oci-layout").is_file():
            raise UsageError(
                f"writing {reference}: {path} is not empty and no OCI layout",
                hint="choose another directory",
            )
    elif path.is_dir():
        raise UsageError(f"writing {reference}: {path} is a directory, want a file")


def _write_layout(image: Image | ImageIndex, reference: Reference, report: _Report) -> None:
    target = Path(reference.path)
    if (target / "oci-layout").is_file():
        _add_to_layout(image, target, reference.tag, report)
        return
    with replacing_directory(target) as fresh:
        fresh.chmod(0o755)
        _add_blobs(image, fresh, report)
        (fresh / "oci-layout").write_bytes(_LAYOUT)
        (fresh / "index.json").write_bytes(_index(image, reference.tag, []))
        try:
            fresh.rename(target)  # an empty directory may be in the way
        except OSError:
            if not (target / "oci-layout").is_file():
                raise
            # Another build made the same layout meanwhile.
            _add_to_layout(image, target, reference.tag, report)


def _add_to_layout(
    image: Image | ImageIndex, target: Path, tag: str | None, report: _Report
) -> None:
    _add_blobs(image, target, report)
    with alone(target / "blobs"):  # or another build's tag could be lost
        rows = _index_rows(target / "index.json")
        write_atomically(target / "index.json", _index(image, tag, rows))


def _add_blobs(image: Image | ImageIndex, layout: Path, report: _Report) -> None:
    for blob in image.blobs:
        path = layout / "blobs" / "sha256" / blob.descriptor.digest.hex
        with suppress(OSError):
            if path.stat().st_size == blob.descriptor.size:
                continue
        with replacing(path) as file:
            for chunk in blob.chunks():
                file.write(chunk)
                report(len(chunk))


def _index_rows(path: Path) -> list[dict[str, object]]:
    try:
        rows = json.loads(path.read_bytes())["manifests"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageError(
            f"reading {path}: {error}", hint="the layout is damaged; choose another directory"
        ) from error
    return [row for row in rows if isinstance(row, dict)]


def _index(image: Image | ImageIndex, tag: str | None, rows: list[dict[str, object]]) -> bytes:
    row = image.row
    if tag:
        row["annotations"] = {_REF_NAME: tag}
    kept = [each for each in rows if _tag_of(each) != tag]
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*kept, row]})


def _tag_of(row: dict[str, object]) -> object:
    annotations = row.get("annotations")
    return annotations.get(_REF_NAME) if isinstance(annotations, dict) else None


def _oci_archive(image: Image | ImageIndex, reference: Reference) -> Iterable[Entry]:
    yield _document("oci-layout", _LAYOUT)
    yield _document("index.json", _index(image, reference.tag, []))
    yield Directory("blobs/sha256")
    for blob in image.blobs:
        yield _entry(f"blobs/sha256/{blob.descriptor.digest.hex}", blob)


def _docker_archive(image: Image, reference: Reference) -> Iterable[Entry]:
    config = f"{image.config_descriptor.digest.hex}.json"
    names = [f"{layer.diff_id.hex}.tar" for layer in image.layers]
    tag = reference.tag
    if tag is not None and ":" not in tag:
        tag = f"{tag}:latest"
    manifest = [{"Config": config, "RepoTags": [tag] if tag else None, "Layers": names}]
    yield _document("manifest.json", json.dumps(manifest).encode())
    yield _document(config, image.config)
    for name, layer in dict(zip(names, image.layers, strict=True)).items():
        yield _archived_layer(name, layer)


def _archived_layer(name: str, layer: Layer) -> File:
    if layer.descriptor.media_type != LAYER_ZSTD:
        return _entry(name, layer.blob)
    # "docker load" reads gzip everywhere, zstd only since 23.0: unpack what it may not know.
    size = layer.uncompressed_size
    if size is None:
        size = sum(len(chunk) for chunk in decompressed(layer.blob))
    return File(name, 0o644, size, decompressed(layer.blob))


def _document(path: str, data: bytes) -> File:
    return File(path, 0o644, len(data), (data,))


def _entry(path: str, blob: Blob) -> File:
    return File(path, 0o644, blob.descriptor.size, blob.chunks())


def _write_tar(entries: Iterable[Entry], write: Callable[[bytes], object], report: _Report) -> None:
    def counted(data: bytes) -> None:
        write(data)
        report(len(data))

    tar = TarWriter(counted)
    tar.add_all(entries)
    tar.close()
