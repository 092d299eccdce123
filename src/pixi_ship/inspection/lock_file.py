"""The lock that lies in the last layer of an image of ours."""

from __future__ import annotations

from pixi_ship.errors import ImageError
from pixi_ship.inspection.description import ImageDescription, Origin
from pixi_ship.oci.blob import Layer
from pixi_ship.oci.decompress import DamagedStream, Unpacked, decompressed
from pixi_ship.oci.stored import StoredImage
from pixi_ship.tar_stream import Readable, TarError, members

LOCK = "app/pixi.lock"
MAX_LOCK = 32 << 20  # bytes; the largest locks that are known have two MB

_MAX_PACKED = 256 << 20  # bytes of a last layer: manifest, lock, scripts
_MAX_UNPACKED = 1 << 30  # bytes


def lock_in_layers(image: StoredImage, description: ImageDescription) -> bytes:
    """The lock in the last layer of ours; that layer is streamed, nothing else is read.

    Raises ImageError where there is none, DigestMismatch and RegistryError as reading a layer
    does.
    """
    if not image.layers:
        raise ImageError(f"{image.reference} has no layers, so it holds no lock")
    return _read_lock(_last_layer(image, description), f"/{LOCK} of {image.reference}")


def _last_layer(image: StoredImage, description: ImageDescription) -> Layer:
    """The layer with the lock; others may have put layers on top of ours."""
    layers = description.layers
    found = [x.number for x in layers if x.origin is Origin.OURS and x.holds_lock]
    return image.layers[found[-1] - 1 if found else -1]


def _read_lock(layer: Layer, where: str) -> bytes:
    """The lock in a layer, which is read to its end: only then its digest is known."""
    if layer.descriptor.size > _MAX_PACKED:
        raise ImageError(f"reading {where}: its layer has {layer.descriptor.size} bytes")
    chunks = decompressed(layer.blob)
    lock: bytes | None = None
    problem: Exception | None = None
    try:
        lock = _find_lock(Unpacked(chunks), where)
    except (TarError, ImageError) as error:
        problem = error
    for _ in chunks:  # only at its end it is known that the bytes are the image's
        pass
    if isinstance(problem, ImageError) and not isinstance(problem, DamagedStream):
        raise problem
    if problem is not None:
        raise ImageError(f"reading {where}: its layer is damaged: {problem}") from problem
    if lock is None:
        raise ImageError(f"reading {where}: there is no such file in the last layer")
    return lock


def _find_lock(tar: Readable, where: str) -> bytes | None:
    """The lock; the last of several counts, as it does where layers are unpacked."""
    found = None
    for member in members(tar, limit=_MAX_UNPACKED, lenient=True):
        if member.name.removeprefix("./").lstrip("/") != LOCK:
            continue
        if member.kind != "file":
            raise ImageError(f"reading {where}: it is a {member.kind}, want a file")
        if member.size > MAX_LOCK:
            raise ImageError(f"reading {where}: {member.size} bytes are no lock")
        found = member.read()
    return found
