"""The packages of an image, from the lock that lies in its last layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pixi_ship.cache import Cache
from pixi_ship.errors import ImageError, PixiShipError
from pixi_ship.inspection.description import ImageDescription, Origin
from pixi_ship.lock.model import CondaPackage, LockedPackage
from pixi_ship.lock.parse import LockFile, choose
from pixi_ship.oci.blob import Layer
from pixi_ship.oci.decompress import DamagedStream, Unpacked, decompressed
from pixi_ship.oci.stored import StoredImage
from pixi_ship.tar_stream import Readable, TarError, members

LOCK = "app/pixi.lock"
_MAX_PACKED = 256 << 20  # bytes of a last layer: manifest, lock, scripts
_MAX_UNPACKED = 1 << 30  # bytes
_MAX_LOCK = 32 << 20  # bytes; the largest locks that are known have two MB


@dataclass(frozen=True, slots=True)
class Package:
    """A locked package: ``kind`` is ``conda`` or ``pypi``; wheels have no build."""

    name: str
    version: str
    build: str | None
    kind: str
    sha256: str | None


def packages_of(
    image: StoredImage, description: ImageDescription, cache: Cache
) -> tuple[Package, ...]:
    """The packages of an image of ours, by name; one layer is streamed, nothing else is read.

    cache: where the lock lies while it is parsed. Raises ImageError where the image holds no
    lock, or none that can be read; DigestMismatch and RegistryError as reading a layer does.
    """
    where = f"/{LOCK} of {image.reference}"
    if not description.is_ours or not image.layers:
        raise ImageError(
            f"{image.reference} does not say that pixi-ship built it: it has no lock to list"
        )
    lock = _read_lock(_last_layer(image, description), where)
    with cache.temporary() as file:
        file.write(lock)
        file.flush()
        return _parsed(Path(file.name), description, where)


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
        if member.size > _MAX_LOCK:
            raise ImageError(f"reading {where}: {member.size} bytes are no lock")
        found = member.read()
    return found


def _parsed(path: Path, description: ImageDescription, where: str) -> tuple[Package, ...]:
    name, platform = description.environment or "", description.locked_platform or ""
    try:
        environment = choose(LockFile(path), name, platform)
    except PixiShipError as error:
        # The place is that of a copy, and the hints are for who can lock anew.
        reason = str(error).replace(f"reading {path}: ", "").replace(str(path), "it")
        raise ImageError(f"reading {where}: {reason}") from error
    packages: list[LockedPackage] = [*environment.conda, *environment.pypi]
    return tuple(
        sorted((_package(each) for each in packages), key=lambda each: (each.name, each.kind))
    )


def _package(package: LockedPackage) -> Package:
    if isinstance(package, CondaPackage):
        return Package(package.name, package.version, package.build, "conda", package.sha256)
    return Package(package.name, package.version, None, "pypi", package.sha256)
