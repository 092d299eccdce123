"""Which environment is meant, and everything known of it before a package is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pixi_ship.digest import Digest
from pixi_ship.errors import CannotBuild, LockError
from pixi_ship.layer.compress import Compression
from pixi_ship.lock.model import LockedEnvironment, LockedPackage, Obstacle, Unbuildable
from pixi_ship.lock.parse import LockFile, choose
from pixi_ship.machine import Machine
from pixi_ship.oci.reference import Reference
from pixi_ship.platform import Platform, platform_of
from pixi_ship.prefix.bytecode import Interpreter
from pixi_ship.prefix.python import PythonInfo
from pixi_ship.project.find import NO_FILES, FoundProject, find_files
from pixi_ship.project.include import Include
from pixi_ship.project.task import TaskCommand, task_command
from pixi_ship.recipe.paths import prefix_of
from pixi_ship.redaction import redacted
from pixi_ship.requirement import Requirement, check, lowest_version, requirements
from pixi_ship.squashfs.format import SquashfsCompression
from pixi_ship.workspace import Workspace

_WAYS_OUT = {
    Obstacle.CONDA_SOURCE: "build it with 'pixi build' and give the package with --inject, or "
    "add it to a channel; or take it from an installed environment with --from-prefix",
    Obstacle.NO_PYTHON: "add python to the environment's conda dependencies",
}


class BaseLocking(StrEnum):
    """What is done with ``pixi-ship.lock``: nothing, take from it, add to it, renew it."""

    IGNORE = "ignore"
    HEED = "heed"
    RECORD = "record"
    UPDATE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person asks for, read from the command line and the manifest."""

    environment: str = "default"
    platforms: tuple[str, ...] = ("linux-64",)
    cuda: str | None = None
    base: Reference
    base_lock: BaseLocking = BaseLocking.HEED
    cache_from: tuple[Reference, ...] = ()
    to: tuple[Reference, ...] = ()
    compression: Compression = Compression.GZIP
    squashfs: SquashfsCompression = SquashfsCompression.GZIP
    max_layers: int = 64
    offline: bool = False
    build_network: bool = False
    includes: tuple[Include, ...] = ()
    task: tuple[str, ...] = ()
    inject: tuple[Path, ...] = ()
    from_prefix: Path | None = None
    run_link_scripts: tuple[str, ...] = ()
    compile_bytecode: bool = True
    workers: int = 2
    created: str = "1980-01-01T00:00:00Z"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The chosen environment with everything that is known without reading a package."""

    workspace: Workspace
    lock_digest: Digest
    environment: LockedEnvironment
    platform: Platform
    prefix: str
    python: PythonInfo | None
    interpreter: Interpreter | None
    cuda: str | None
    cuda_requirements: tuple[Requirement, ...]
    glibc_requirements: tuple[Requirement, ...]
    activation_env: Mapping[str, str]
    activation_scripts: tuple[str, ...] = ()
    project: FoundProject = NO_FILES
    command: TaskCommand | None = None
    notes: tuple[str, ...] = ()
    injected: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[LockedPackage, ...]:
        """Conda packages in link order, then wheels."""
        return (*self.environment.conda, *self.environment.pypi)


def select(
    workspace: Workspace, options: Options, platform_name: str, machine: Machine
) -> Selection:
    """Choose the environment and check what can be checked from manifest and lock.

    platform_name: the lock's name of one of the platforms in ``options``.
    """
    environment = _environment(workspace, options.environment, platform_name)
    locked = environment.platform
    platform = workspace.platform_name(locked.name, locked.subdir, locked.virtual_packages)
    targets = _targets(environment, platform)
    _check_fresh(workspace, environment, targets)
    declared = workspace.cuda_versions(environment.name, platform)
    wants_cuda = requirements(environment, "__cuda", declared)
    if options.cuda is not None:
        check(wants_cuda, "__cuda", options.cuda, "--cuda")
    python = PythonInfo.of(environment.python) if environment.python else None
    interpreter, uncompiled = _interpreter(python, options, machine)
    project = _project(workspace, options.includes)
    command, notes = _command(workspace, options, environment.name, targets, platform, project)
    return Selection(
        workspace=workspace,
        lock_digest=Digest.of(workspace.lock.read_bytes()),
        environment=environment,
        platform=platform_of(environment.platform.subdir),
        prefix=prefix_of(environment.name),
        python=python,
        interpreter=interpreter,
        cuda=options.cuda or lowest_version(wants_cuda),
        cuda_requirements=wants_cuda,
        glibc_requirements=requirements(
            environment, "__glibc", workspace.glibc_versions(environment.name)
        ),
        activation_env=workspace.activation_env(environment.name, targets),
        activation_scripts=workspace.activation_scripts(environment.name, targets),
        project=project,
        command=command,
        notes=(*notes, *uncompiled),
    )


def _environment(workspace: Workspace, name: str, platform: str) -> LockedEnvironment:
    """The locked environment; raises LockError for one that only the manifest has."""
    lock = LockFile(workspace.lock)
    if name not in lock.environment_names and name in workspace.environments:
        raise LockError(
            f"environment {name!r} is in {workspace.manifest.name}, but not in {workspace.lock}",
            hint="the lock is out of date: run 'pixi lock'",
        )
    return choose(lock, name, platform)


def _interpreter(
    python: PythonInfo | None, options: Options, machine: Machine
) -> tuple[Interpreter | None, tuple[str, ...]]:
    """What compiles the environment's Python code, and what to say where nothing does."""
    if python is None:
        return None, ()
    why = "--no-compile was given"
    if options.compile_bytecode:
        found = machine.interpreters.get(python.short_version)
        if found is not None:
            return found, ()
        why = f"no python{python.short_version} is on PATH"
    return None, (f"Python sources without bytecode stay uncompiled: {why}",)


def _project(workspace: Workspace, includes: tuple[Include, ...]) -> FoundProject:
    """The files of the project that are to be taken along."""
    if not includes:
        return NO_FILES
    return find_files(workspace.root.resolve(), workspace.manifest.name, includes)


def _command(
    workspace: Workspace,
    options: Options,
    environment: str,
    targets: tuple[str, ...],
    platform: str,
    project: FoundProject,
) -> tuple[TaskCommand | None, list[str]]:
    """The task that becomes the image's command, and what it would miss there."""
    if not options.task:
        return None, []
    name, *arguments = options.task
    command = task_command(workspace, environment, targets, platform, name, arguments)
    missing = [each for each in command.needs if not project.has(each)]
    return command, [
        *command.notes,
        *(f"task {name!r} names {each}, which is not there: --include {each}" for each in missing),
    ]


def _targets(environment: LockedEnvironment, platform: str) -> tuple[str, ...]:
    """The ``[target.…]`` selectors that hold on a platform, the narrowest first.

    platform: its name in the manifest, which need not be the lock's.
    """
    subdir = environment.platform.subdir
    names = (platform, environment.platform.name, subdir, subdir.partition("-")[0], "unix")
    return tuple(dict.fromkeys(names))


def _check_fresh(
    workspace: Workspace, environment: LockedEnvironment, targets: tuple[str, ...]
) -> None:
    """Raise LockError where the manifest asks for a package that the lock has not."""
    locked = {package.name for package in environment.conda}
    locked |= {each.name for each in environment.unbuildable}
    for name in workspace.dependency_names(environment.name, targets):
        if name.lower() not in locked and environment.name in workspace.environments:
            raise LockError(
                f"{workspace.manifest.name} asks for {name!r} in environment "
                f"{environment.name!r}, which {workspace.lock} does not hold",
                hint="the lock is out of date: run 'pixi lock'",
            )


def refuse_unbuildable(environment: LockedEnvironment) -> None:
    """Raise CannotBuild, naming each package in the way, if there is any."""
    if not environment.unbuildable:
        return
    lines = [
        f"  {each.name} ({each.obstacle}): {redacted(each.location)}"
        for each in environment.unbuildable
    ]
    ways = dict.fromkeys(_WAYS_OUT[each.obstacle] for each in environment.unbuildable)
    count = len(lines)
    raise CannotBuild(
        f"environment {environment.name!r} holds {count} "
        f"package{'s' if count > 1 else ''} that cannot be laid out:\n" + "\n".join(lines),
        hint="; ".join(ways),
    )


def way_out(each: Unbuildable) -> str:
    """What to do about a package in the way."""
    return _WAYS_OUT[each.obstacle]
