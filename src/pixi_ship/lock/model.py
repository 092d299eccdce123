"""The values a lock is made of. Field names are conda's and PyPI's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property


@dataclass(frozen=True, slots=True)
class LockedPlatform:
    """A platform of the lock: since lock v7 ``name`` need not be the conda ``subdir``."""

    name: str
    subdir: str
    virtual_packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaPackage:
    """One conda archive of an environment.

    ``location`` is a URL or a path relative to the lock; ``size`` is the archive's, in
    bytes, where the lock says it. ``metadata`` is the repodata record as conda-meta wants it.
    """

    name: str
    version: str
    build: str
    subdir: str
    location: str
    file_name: str
    size: int | None
    sha256: str | None
    md5: str | None
    depends: tuple[str, ...]
    constrains: tuple[str, ...]
    site_packages_path: str | None
    metadata: Mapping[str, object]

    def __str__(self) -> str:
        return self.file_name


class SourceKind(StrEnum):
    """What a wheel is built of."""

    SDIST = "source distribution"
    DIRECTORY = "path dependency"
    GIT = "git dependency"


@dataclass(frozen=True, slots=True, kw_only=True)
class PypiSource:
    """A package of PyPI that has no wheel yet.

    version: None where the lock leaves it to the source. location: as the lock has it, a URL
    or a path relative to the lock; of git, ``git+URL`` with its query and commit. file_name,
    sha256: the archive's, where the source is one.
    """

    name: str
    version: str | None
    kind: SourceKind
    location: str
    file_name: str = ""
    sha256: str | None = None
    size: int | None = None
    requires_dist: tuple[str, ...] = ()
    requires_python: str | None = None

    def __str__(self) -> str:
        return self.file_name or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PypiPackage:
    """One wheel of an environment; ``location`` is a URL or a path relative to the lock.

    source: what the wheel was built of, where the lock names no wheel.
    """

    name: str
    version: str
    location: str
    file_name: str
    sha256: str | None
    size: int | None = None
    source: PypiSource | None = None

    def __str__(self) -> str:
        return self.file_name


LockedPackage = CondaPackage | PypiPackage


class Obstacle(StrEnum):
    """Why a locked package is not an archive that can be laid out as it is."""

    CONDA_SOURCE = "conda source package"
    NO_PYTHON = "PyPI package without a locked python"


@dataclass(frozen=True, slots=True)
class Unbuildable:
    """A locked package that cannot become a layer, and where it lies."""

    name: str
    location: str
    obstacle: Obstacle


@dataclass(frozen=True, kw_only=True)
class LockedEnvironment:
    """The packages of one environment on one platform, conda in rattler's link order.

    pypi: wheels, those that were built of sources last. sources: what has no wheel yet.
    """

    name: str
    platform: LockedPlatform
    channels: tuple[str, ...]
    conda: tuple[CondaPackage, ...]
    pypi: tuple[PypiPackage, ...]
    sources: tuple[PypiSource, ...]
    unbuildable: tuple[Unbuildable, ...]

    @cached_property
    def python(self) -> CondaPackage | None:
        """The record of the interpreter, where the environment has one."""
        return next((package for package in self.conda if package.name == "python"), None)
