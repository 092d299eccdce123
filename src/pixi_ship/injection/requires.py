"""What a wheel that was given asks for, held against the environment it is to join.

The lock answers for its own wheels; for one from elsewhere nobody has asked yet.

Source: PyPA "Core metadata specifications" (``Requires-Python``, ``Requires-Dist``),
"Dependency specifiers", "Version specifiers"; pixi takes a conda package for the PyPI packages
in its ``purls``, of its own version, and for one of its name where the lock has no ``purls``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pixi_ship.lock.model import CondaPackage, LockedEnvironment
from pixi_ship.platform import marker_variables, platform_of

_PURL = re.compile(r"pkg:pypi/([^@?#]+)")


@dataclass(frozen=True, slots=True)
class WheelRequires:
    """python: what its interpreter must be. packages: what must stand beside it."""

    python: SpecifierSet
    packages: tuple[Requirement, ...]

    @classmethod
    def of(cls, metadata: Message) -> WheelRequires:
        """Read it from a METADATA; lines that cannot be read are no requirement, as for pip."""
        try:
            python = SpecifierSet(str(metadata.get("Requires-Python") or ""))
        except InvalidSpecifier:
            python = SpecifierSet()
        return cls(python, tuple(_requirements(metadata)))


def _requirements(metadata: Message) -> Iterator[Requirement]:
    for line in metadata.get_all("Requires-Dist") or []:
        try:
            yield Requirement(str(line))
        except InvalidRequirement:
            continue


def unmet(
    environment: LockedEnvironment, package: object, requires: WheelRequires
) -> tuple[list[str], list[str]]:
    """What an environment lacks of a wheel's requirements: what refuses it, and what may be there.

    package: how messages call the wheel. A requirement that nothing answers to is a doubt, no
    fault, where the lock does not say which PyPI packages its conda packages are.
    """
    faults: list[str] = []
    python = environment.python
    if python is not None and not _allows(requires.python, python.version):
        faults.append(f"{package} requires Python {requires.python}, the lock has {python.version}")
    held, doubts = _held(environment), list[str]()
    is_known = any(_purls(each) is not None for each in environment.conda)
    for each in requires.packages:
        if python is None or not _applies(each, environment, python.version):
            continue
        name = canonicalize_name(each.name)
        if name not in held:
            text = f"{package} requires {str(each)!r}, which the environment does not hold"
            (faults if is_known else doubts).append(text)
        elif not _allows(each.specifier, held[name]):
            faults.append(f"{package} requires {str(each)!r}, the environment has {held[name]}")
    return faults, doubts


def _held(environment: LockedEnvironment) -> Mapping[str, str]:
    """Distribution → its version, empty where only its source knows that."""
    found: dict[str, str] = {}
    for package in environment.conda:
        names = _purls(package)
        for name in [package.name] if names is None else names:
            found[canonicalize_name(name)] = package.version
    for source in environment.sources:
        found[canonicalize_name(source.name)] = source.version or ""
    for wheel in environment.pypi:
        found[canonicalize_name(wheel.name)] = wheel.version
    return found


def _purls(package: CondaPackage) -> list[str] | None:
    rows = package.metadata.get("purls")
    if not isinstance(rows, (list, tuple)):
        return None
    return [match[1] for row in rows if (match := _PURL.match(str(row)))]


def _allows(specifier: SpecifierSet, version: str) -> bool:
    try:
        return specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:  # conda knows versions that PyPI does not
        return True


def _applies(requirement: Requirement, environment: LockedEnvironment, python: str) -> bool:
    if requirement.marker is None:
        return True
    try:
        return requirement.marker.evaluate(
            marker_variables(platform_of(environment.platform.subdir), python)
        )
    except (UndefinedComparison, UndefinedEnvironmentName, InvalidVersion):
        return True
