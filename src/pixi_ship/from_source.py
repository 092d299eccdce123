"""Sources of PyPI packages give way to the wheels that are built of them.

After this step an environment consists of archives alone, whatever its lock names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from packaging.utils import canonicalize_name

from pixi_ship.errors import SourceError
from pixi_ship.fetch.archives import Archives
from pixi_ship.lock.model import PypiPackage, PypiSource
from pixi_ship.machine import Machine
from pixi_ship.progress import SILENCE, Progress
from pixi_ship.requirement import Requirement
from pixi_ship.selection import Options, Selection
from pixi_ship.source.output import printable
from pixi_ship.source.wheels import BuildFacts, build_facts, built_wheel, known_wheel
from pixi_ship.source.workshop import Workshop

_OF_GLIBC = re.compile(r"(lib(c|m|dl|rt|util|pthread|resolv)|ld-linux.*)\.so\.\d+\Z")

_SHOWN = 5  # files, in a warning


def with_known_wheels(
    selection: Selection, options: Options, archives: Archives, machine: Machine
) -> Selection:
    """Put in the wheels that were built before; builds nothing.

    What has no wheel yet stays a source, with a note where it could not even be looked at.
    """
    workshop = _workshop(selection, options, archives, machine, SILENCE)
    if workshop is None:
        return selection
    wheels, notes = [], list(selection.notes)
    for source in selection.environment.sources:
        try:
            wheels.append(known_wheel(source, workshop))
        except SourceError as error:
            wheels.append(None)
            notes.append(f"{source.name} cannot be built: {error}")
    return _with(replace(selection, notes=tuple(notes)), wheels, workshop)


def with_built_wheels(
    selection: Selection,
    options: Options,
    archives: Archives,
    machine: Machine,
    progress: Progress,
) -> Selection:
    """Build a wheel of every source that has none yet; raises SourceError, SandboxError."""
    workshop = _workshop(selection, options, archives, machine, progress)
    if workshop is None:
        return selection
    _refuse_not_isolated(selection)
    wheels = [_built(source, workshop) for source in selection.environment.sources]
    return _with(selection, wheels, workshop)


def _built(source: PypiSource, workshop: Workshop) -> PypiPackage:
    try:
        return built_wheel(source, workshop)
    except SourceError as error:
        # What speaks of a repository or an archive knows no package.
        if source.name in str(error):
            raise
        raise SourceError(f"building {source.name}: {error}", hint=error.hint) from error


def _workshop(
    selection: Selection,
    options: Options,
    archives: Archives,
    machine: Machine,
    progress: Progress,
) -> Workshop | None:
    """What building needs; None where there is nothing to build, or no Python to build for."""
    if not selection.environment.sources or selection.python is None:
        return None
    return Workshop(
        cache=archives.cache,
        root=selection.workspace.root,
        archives=archives,
        python=selection.python,
        subdir=selection.platform.subdir,
        interpreters=machine.interpreters,
        sandbox=machine.sandbox,
        unconfined=machine.unconfined,
        runs_target=machine.runs(selection.platform),
        environment=machine.environment,
        indexes=selection.workspace.pypi_options(selection.environment.name),
        offline=options.offline,
        build_network=options.build_network,
        report=progress.source,
    )


def _with(
    selection: Selection, wheels: Iterable[PypiPackage | None], workshop: Workshop
) -> Selection:
    environment = selection.environment
    pairs = list(zip(environment.sources, wheels, strict=True))
    built = tuple(wheel for _, wheel in pairs if wheel is not None)
    facts = [(wheel, build_facts(wheel, workshop.cache)) for wheel in built]
    return replace(
        selection,
        environment=replace(
            environment,
            pypi=(*environment.pypi, *built),
            sources=tuple(source for source, wheel in pairs if wheel is None),
        ),
        glibc_requirements=(
            *selection.glibc_requirements,
            *(
                Requirement("__glibc", f">={each.glibc}", str(wheel))
                for wheel, each in facts
                if each.glibc is not None
            ),
        ),
        notes=(*selection.notes, *(note for pair in facts for note in _notes(*pair))),
    )


def _notes(wheel: PypiPackage, facts: BuildFacts) -> Iterator[str]:
    if facts.left:
        yield f"{wheel.name}: its build left {', '.join(facts.left)} in its home, which is dropped"
    if facts.naming:
        yield (
            f"{wheel.name}: the directory it was built in is named in {_some(facts.naming)}; it is "
            "another for each build, and nowhere in the image: build in a sandbox, without "
            "--no-sandbox, where it is the same for all"
        )
    wanted = [printable(each) for each in facts.libraries if not _OF_GLIBC.match(each)]
    if wanted:
        yield (
            f"{wheel.name}: its wheel links to {', '.join(wanted)}, which the environment or the "
            "base has to bring"
        )


def _some(paths: tuple[str, ...]) -> str:
    shown = ", ".join(repr(each) for each in paths[:_SHOWN])
    return shown if len(paths) <= _SHOWN else f"{shown} and {len(paths) - _SHOWN} more files"


def _refuse_not_isolated(selection: Selection) -> None:
    """Raise SourceError for what Pixi builds with the environment's own packages at hand."""
    named = selection.workspace.pypi_options(selection.environment.name).not_isolated
    for source in selection.environment.sources:
        if named is None or source.name in {canonicalize_name(each) for each in named}:
            raise SourceError(
                f"building {source.name}: the manifest's no-build-isolation wants the "
                "environment's own packages at hand, and builds here are isolated",
                hint="take it from an environment that Pixi installed: --from-prefix "
                f".pixi/envs/{selection.environment.name}",
            )
