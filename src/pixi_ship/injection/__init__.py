"""Packages that pixi-ship cannot build take their places: given, or out of an installed prefix.

Both ways end in archives in the cache; nothing after this step knows where they came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pixi_ship.cache import Cache
from pixi_ship.errors import UsageError
from pixi_ship.injection.fit import InjectionError, check_fit
from pixi_ship.injection.given import given_package, wheel_requires
from pixi_ship.injection.installed import installed_packages
from pixi_ship.injection.placing import placed
from pixi_ship.lock.model import CondaPackage, LockedEnvironment, LockedPackage, PypiPackage
from pixi_ship.prefix.python import PythonInfo
from pixi_ship.prefix.wheel_tags import glibc_of
from pixi_ship.requirement import Requirement, check, lowest_version, requirements
from pixi_ship.selection import Selection

__all__ = ["InjectionError", "injected"]


def injected(
    selection: Selection,
    archives: Sequence[Path],
    prefix: Path | None,
    cache: Cache,
    *,
    write: bool = True,
) -> Selection:
    """Put packages of this machine into a selection.

    archives: of ``--inject``, each in place of the locked package of its name. prefix: of
    ``--from-prefix``, where Pixi installed the environment: what no archive of the lock can give
    is repacked from there. write: put the archives into the cache, within
    :meth:`~pixi_ship.cache.Cache.in_use`; a plan does not, and learns the same.
    Raises InjectionError for packages that do not fit and for a prefix that is not the locked
    environment, PackageError for a damaged archive or prefix, UsageError for a wrong name.
    """
    given = [given_package(path, cache, write=write) for path in archives]
    _check_distinct(given)
    requires = {
        package: wheel_requires(package, path, cache, write=write)
        for path, package in zip(archives, given, strict=True)
        if isinstance(package, PypiPackage)
    }
    environment, notes = placed(selection.environment, given)
    if prefix is not None:
        found, more = installed_packages(environment, prefix, cache, given, write=write)
        given += found
        environment, _ = placed(environment, found)
        notes += more
    if not given:
        return replace(selection, notes=(*selection.notes, *notes))
    changed = _with(selection, environment, given, notes)
    doubts = check_fit(changed.environment, given, changed.python, requires)
    return replace(changed, notes=(*changed.notes, *doubts))


def _check_distinct(given: Sequence[LockedPackage]) -> None:
    seen: dict[tuple[bool, str], LockedPackage] = {}
    for package in given:
        key = isinstance(package, CondaPackage), package.name
        if key in seen:
            raise UsageError(
                f"--inject gives {package.name!r} twice: {seen[key]} and {package}",
                hint="leave one of them out",
            )
        seen[key] = package


def _with(
    selection: Selection,
    environment: LockedEnvironment,
    given: Sequence[LockedPackage],
    notes: Sequence[str],
) -> Selection:
    """The selection with everything in it that follows from its packages found anew."""
    python = PythonInfo.of(environment.python) if environment.python else None
    interpreter, notes = selection.interpreter, list(notes)
    if interpreter is not None and (
        python is None or interpreter.short_version != python.short_version
    ):
        interpreter = None
        notes.append("Python sources without bytecode stay uncompiled: --inject replaces python")
    cuda = _asked(selection.cuda_requirements, selection.environment, environment, "__cuda")
    if cuda != selection.cuda_requirements and selection.cuda is not None:
        check(cuda, "__cuda", selection.cuda, "the chosen CUDA version")
    glibc = _asked(selection.glibc_requirements, selection.environment, environment, "__glibc")
    wheels = [(each, glibc_of(each.file_name)) for each in given if isinstance(each, PypiPackage)]
    return replace(
        selection,
        environment=environment,
        python=python,
        interpreter=interpreter,
        cuda=selection.cuda or lowest_version(cuda),
        cuda_requirements=cuda,
        glibc_requirements=(
            *glibc,
            *(Requirement("__glibc", f">={want}", str(each)) for each, want in wheels if want),
        ),
        notes=(*selection.notes, *notes),
        injected=tuple(sorted(f"{each} sha256:{each.sha256}" for each in given)),
    )


def _asked(
    before: tuple[Requirement, ...],
    old: LockedEnvironment,
    new: LockedEnvironment,
    name: str,
) -> tuple[Requirement, ...]:
    """Who asks for a virtual package now: what the manifest asks stays, packages come and go."""
    gone = {str(each) for each in old.conda} - {str(each) for each in new.conda}
    kept = [each for each in before if each.asked_by not in gone]
    return tuple(dict.fromkeys([*kept, *requirements(new, name, ())]))
