"""Whether a package that was given fits the environment it is to join."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import rattler

from pixi_ship.errors import PixiShipError
from pixi_ship.injection.requires import WheelRequires, unmet
from pixi_ship.lock.model import CondaPackage, LockedEnvironment, LockedPackage, PypiPackage
from pixi_ship.lock.parse import package_record
from pixi_ship.prefix.python import PythonInfo
from pixi_ship.prefix.wheel_tags import fits_python

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_SHOWN = 10  # rows of a message at most


class InjectionError(PixiShipError):
    """A package does not fit, or an installed environment is not the locked one."""


def check_fit(
    environment: LockedEnvironment,
    given: Sequence[LockedPackage],
    python: PythonInfo | None,
    requires: Mapping[PypiPackage, WheelRequires],
) -> list[str]:
    """Raise InjectionError, naming each fault, where a package does not fit; returns doubts.

    environment: with the packages in it. given: which of its packages those are. requires: what
    those of them ask for that are wheels the lock knows nothing of.
    """
    subdir = environment.platform.subdir
    faults: list[str] = []
    for package in given:
        if not isinstance(package, CondaPackage):
            if reason := fits_python(package.file_name, python, subdir):
                faults.append(f"{package}: {reason}")
        elif package.subdir not in (subdir, "noarch"):
            faults.append(f"{package} is for {package.subdir}, the environment is for {subdir}")
    if not faults:
        conda = [each for each in given if isinstance(each, CondaPackage)]
        faults = list(dict.fromkeys(_broken(environment, conda)))
    doubts: list[str] = []
    for wheel, wanted in requires.items():
        more, unclear = unmet(environment, wheel, wanted)
        faults += more
        doubts += unclear
    if faults:
        raise InjectionError(
            f"environment {environment.name!r} cannot take what was given:\n" + listed(faults),
            hint="give packages that were built for this lock; or bring manifest and lock up to "
            "date with 'pixi lock' and build them again",
        )
    return doubts


def listed(rows: Sequence[str]) -> str:
    """Rows of a message, the first ten of them."""
    more = [f"  and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else []
    return "\n".join([*(f"  {row}" for row in rows[:_SHOWN]), *more])


def _broken(environment: LockedEnvironment, given: Sequence[CondaPackage]) -> Iterator[str]:
    present = {each.name: each for each in environment.conda}
    unbuilt = {each.name for each in environment.unbuildable}
    names = {each.name for each in given}
    for package in given:
        for spec in package.depends:
            name = _name_of(spec)
            if name not in present and name not in unbuilt and not name.startswith("__"):
                yield f"{package} depends on {spec!r}, which the environment does not hold"
    for package in environment.conda:
        for verb, specs in (("depends on", package.depends), ("allows", package.constrains)):
            for other in _others(package, specs, present, names):
                yield f"{package} {verb} {other[0]!r}, the environment has {other[1]}"


def _others(
    package: CondaPackage,
    specs: Iterable[str],
    present: Mapping[str, CondaPackage],
    given: set[str],
) -> Iterator[tuple[str, CondaPackage]]:
    """The specs that are not met, and by which package; of those that touch a given one."""
    for spec in specs:
        name = _name_of(spec)
        if name in present and (name in given or package.name in given):
            other = present[name]
            if not _matches(package, spec, other):
                yield spec, other


def _matches(package: CondaPackage, spec: str, other: CondaPackage) -> bool:
    try:
        found = rattler.MatchSpec(spec)
        return found.condition is not None or found.matches(package_record(other))
    except Exception as error:  # py-rattler raises several kinds for a spec it cannot read
        raise InjectionError(f"{package} depends on {spec!r}, which cannot be read") from error


def _name_of(spec: str) -> str:
    matched = _NAME.match(spec)
    return matched[0].lower() if matched else spec
