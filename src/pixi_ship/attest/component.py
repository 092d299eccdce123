"""The packages of an environment as both bills of materials and provenance name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pixi_ship.attest.purl import (
    channel_name,
    conda_purl,
    provided_purls,
    pypi_purl,
    remote_location,
)
from pixi_ship.lock.model import CondaPackage, LockedPackage
from pixi_ship.selection import Selection


class Kind(StrEnum):
    """Which world a package comes from; also the type in its package URL."""

    CONDA = "conda"
    PYPI = "pypi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One package of the image.

    purl: its package URL; also_known_as: those of the PyPI packages that a conda package stands
    for, None where the lock does not say. licence: as the lock has it, any text. sha256, md5: hex,
    of the archive. location: an http URL without credentials; None for a file on a disk.
    supplier: the channel. requires: match specs or ``Requires-Dist`` lines, as in the lock.
    """

    kind: Kind
    name: str
    version: str
    build: str | None = None
    file_name: str
    purl: str
    also_known_as: tuple[str, ...] | None = None
    licence: str | None = None
    sha256: str | None = None
    md5: str | None = None
    location: str | None = None
    supplier: str | None = None
    requires: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """How the documents point at it, unique in them: ``conda:zlib-1.3.1-0.conda``."""
        return f"{self.kind}:{self.file_name}"

    @property
    def purls(self) -> tuple[str, ...]:
        """Every package URL, its own first."""
        return (self.purl, *(self.also_known_as or ()))


def components(
    selection: Selection, wheel_requirements: Mapping[str, tuple[str, ...]] | None = None
) -> tuple[Component, ...]:
    """The packages of an environment, sorted, each once.

    wheel_requirements: name of a wheel → its ``Requires-Dist``; see
    :func:`~pixi_ship.attest.requires.wheel_requirements`.
    """
    asked = wheel_requirements or {}
    found = {each.ref: each for each in (_component(p, asked) for p in selection.packages)}
    return tuple(found[ref] for ref in sorted(found))


def _component(package: LockedPackage, asked: Mapping[str, tuple[str, ...]]) -> Component:
    if isinstance(package, CondaPackage):
        return _conda(package)
    return Component(
        kind=Kind.PYPI,
        name=package.name,
        version=package.version,
        file_name=package.file_name,
        purl=pypi_purl(package),
        sha256=package.sha256,
        location=remote_location(package.location),
        requires=asked.get(package.name, ()),
    )


def _conda(package: CondaPackage) -> Component:
    licence = package.metadata.get("license")
    return Component(
        kind=Kind.CONDA,
        name=package.name,
        version=package.version,
        build=package.build,
        file_name=package.file_name,
        purl=conda_purl(package),
        also_known_as=provided_purls(package),
        licence=licence if isinstance(licence, str) else None,
        sha256=package.sha256,
        md5=package.md5,
        location=remote_location(package.location),
        supplier=channel_name(package),
        requires=package.depends,
    )
