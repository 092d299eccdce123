"""Virtual packages: what the locked packages and the manifest ask of the machine they run on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import rattler

from pixi_ship.errors import RequirementError, UsageError
from pixi_ship.lock.model import LockedEnvironment


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing asked for: ``name`` is ``__cuda``, ``spec`` a version spec, ``asked_by`` who."""

    name: str
    spec: str
    asked_by: str


def requirements(
    environment: LockedEnvironment, name: str, declared: Iterable[str]
) -> tuple[Requirement, ...]:
    """Everything that asks for the virtual package ``name``.

    declared: minimal versions from the manifest.
    """
    found = [Requirement(name, f">={version}", "the manifest") for version in declared]
    for text in environment.platform.virtual_packages:
        words, _, version = text.partition("=")
        if words == name and version:
            version = version.partition("=")[0]
            platform = f"platform {environment.platform.name} of the lock"
            found.append(Requirement(name, f">={version}", platform))
    for package in environment.conda:
        for dependency in package.depends:
            if dependency.split(" ", 1)[0] == name:
                spec = dependency.removeprefix(name).strip() or "*"
                found.append(Requirement(name, spec, str(package)))
    return tuple(dict.fromkeys(found))


def lowest_version(found: Iterable[Requirement]) -> str | None:
    """The highest of the lower bounds: the least that a machine must have."""
    bounds = []
    for each in found:
        for part in each.spec.replace("|", ",").split(","):
            text = part.strip().split(" ")[0].removeprefix(">=").removeprefix("==").rstrip(".*")
            if part.strip().startswith((">=", "==")) or part.strip()[:1].isdigit():
                try:
                    bounds.append((rattler.Version(text), text))
                except Exception:  # noqa: S112 - a spec that is no bound says nothing
                    continue
    return max(bounds)[1] if bounds else None


def check(found: Iterable[Requirement], name: str, version: str, provider: str) -> None:
    """Hold a provided version against every requirement; raises RequirementError.

    provider: who provides it, for the sentence: ``--cuda``, or the base image.
    """
    failed = _unmet(found, name, version)
    if failed:
        first = failed[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise RequirementError(
            f"{first.asked_by} needs {name} {first.spec}{more}, {provider} provides {version}",
            hint=_hint(name, lowest_version(failed)),
        )


def meets(found: Iterable[Requirement], name: str, version: str) -> bool:
    """Whether a provided version meets every requirement."""
    return not _unmet(found, name, version)


def _unmet(found: Iterable[Requirement], name: str, version: str) -> list[Requirement]:
    record = rattler.PackageRecord(
        name=name,
        version=_version(name, version),
        build=rattler.BuildString("0"),
        build_number=0,
        subdir="noarch",
    )
    return [each for each in found if not _matches(each, record)]


def _version(name: str, text: str) -> rattler.VersionWithSource:
    try:
        return rattler.VersionWithSource(text)
    except Exception as error:
        raise UsageError(
            f"{text!r} is not a version of {name}", hint="want one like 12.4"
        ) from error


def _matches(requirement: Requirement, record: rattler.PackageRecord) -> bool:
    spec = requirement.spec
    try:
        return rattler.MatchSpec(f"{requirement.name} {spec}").matches(record)
    except Exception as error:
        raise RequirementError(
            f"{requirement.asked_by} needs {requirement.name} {spec!r}, which cannot be read"
        ) from error


def _hint(name: str, lowest: str | None) -> str:
    at_least = f" {lowest} or newer" if lowest else ""
    if name == "__cuda":
        return f"name the driver of the nodes: --cuda{at_least}"
    return f"choose a --base with glibc{at_least}"
