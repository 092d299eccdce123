"""Where a package that was given goes: in the place of the locked one of its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from packaging.utils import canonicalize_name

from pixi_ship.lock.model import (
    CondaPackage,
    LockedEnvironment,
    LockedPackage,
    Obstacle,
    PypiPackage,
)
from pixi_ship.lock.parse import link_order


def placed(
    environment: LockedEnvironment, packages: Iterable[LockedPackage]
) -> tuple[LockedEnvironment, list[str]]:
    """Put packages into an environment; returns it with notes on what else than a source gave way.

    Conda packages are in rattler's link order again; a wheel stands where the one it replaces
    stood, or, in place of a source, with the wheels that are built of such.
    """
    notes: list[str] = []
    for package in packages:
        place = _conda if isinstance(package, CondaPackage) else _wheel
        environment, gave_way = place(environment, package)  # type: ignore[arg-type]
        if gave_way is None:
            notes.append(f"{package} joins the environment: the lock holds no {package.name}")
        elif gave_way:
            notes.append(f"{package} takes the place of {gave_way}, which the lock holds")
    if environment.python is not None:
        unbuildable = tuple(
            each for each in environment.unbuildable if each.obstacle is not Obstacle.NO_PYTHON
        )
        environment = replace(environment, unbuildable=unbuildable)
    return environment, notes


def _conda(
    environment: LockedEnvironment, package: CondaPackage
) -> tuple[LockedEnvironment, str | None]:
    """The environment, and the archive that gave way: empty for a source, None for nothing."""
    kept = [each for each in environment.conda if each.name != package.name]
    unbuildable = tuple(
        each
        for each in environment.unbuildable
        if each.obstacle is not Obstacle.CONDA_SOURCE or each.name != package.name
    )
    old = next((str(each) for each in environment.conda if each.name == package.name), None)
    if old is None and len(unbuildable) < len(environment.unbuildable):
        old = ""
    return replace(environment, conda=link_order([*kept, package]), unbuildable=unbuildable), old


def _wheel(
    environment: LockedEnvironment, package: PypiPackage
) -> tuple[LockedEnvironment, str | None]:
    """As :func:`_conda`."""
    for source in environment.sources:
        if canonicalize_name(source.name) == package.name:
            sources = tuple(each for each in environment.sources if each is not source)
            wheel = replace(package, source=source)
            return replace(environment, sources=sources, pypi=(*environment.pypi, wheel)), ""
    wheels = list(environment.pypi)
    for index, old in enumerate(wheels):
        if canonicalize_name(old.name) == package.name:
            wheels[index] = replace(package, source=old.source)
            return replace(environment, pypi=tuple(wheels)), str(old)
    wheels.append(package)
    # Those that were built of sources stay last, which sorting by their names keeps.
    wheels.sort(key=lambda each: (each.source is not None, each.name, each.location))
    return replace(environment, pypi=tuple(wheels)), None
