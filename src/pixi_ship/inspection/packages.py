"""The packages of an image, from the lock that lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pixi_ship.cache import Cache
from pixi_ship.errors import ImageError, PixiShipError
from pixi_ship.inspection.description import ImageDescription
from pixi_ship.inspection.lock_file import LOCK
from pixi_ship.inspection.opened import Opened
from pixi_ship.lock.model import CondaPackage, LockedPackage, PypiSource
from pixi_ship.lock.parse import LockFile, choose


@dataclass(frozen=True, slots=True)
class Package:
    """A locked package: ``kind`` is ``conda`` or ``pypi``; wheels have no build.

    version: empty where the lock leaves it to the source.
    """

    name: str
    version: str
    build: str | None
    kind: str
    sha256: str | None


def packages_of(opened: Opened, cache: Cache) -> tuple[Package, ...]:
    """The packages of an image of ours, by name; of its contents only the lock is read.

    cache: where the lock lies while it is parsed. Raises ImageError where the image holds no
    lock, or none that can be read; DigestMismatch and RegistryError as reading a layer does.
    """
    reference, description = opened.image.reference, opened.description
    if not description.is_ours:
        raise ImageError(
            f"{reference} does not say that pixi-ship built it: it has no lock to list"
        )
    lock = opened.lock()
    with cache.temporary() as file:
        file.write(lock)
        file.flush()
        return _parsed(Path(file.name), description, f"/{LOCK} of {reference}")


def _parsed(path: Path, description: ImageDescription, where: str) -> tuple[Package, ...]:
    name, platform = description.environment or "", description.locked_platform or ""
    try:
        environment = choose(LockFile(path), name, platform)
    except PixiShipError as error:
        # The place is that of a copy, and the hints are for who can lock anew.
        reason = str(error).replace(f"reading {path}: ", "").replace(str(path), "it")
        raise ImageError(f"reading {where}: {reason}") from error
    packages: list[LockedPackage] = [*environment.conda, *environment.pypi]
    found = [_package(each) for each in packages]
    found += [_of_source(each) for each in environment.sources]
    return tuple(sorted(found, key=lambda each: (each.name, each.kind)))


def _package(package: LockedPackage) -> Package:
    if isinstance(package, CondaPackage):
        return Package(package.name, package.version, package.build, "conda", package.sha256)
    return Package(package.name, package.version, None, "pypi", package.sha256)


def _of_source(source: PypiSource) -> Package:
    """What the lock says of a wheel that was built; a path dependency's version it leaves out."""
    return Package(source.name, source.version or "", None, "pypi", source.sha256)
