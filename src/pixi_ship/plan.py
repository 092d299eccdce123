"""What would be built: which packages, in which layers, and what stands in the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixi_ship.cache import Cache, read_json
from pixi_ship.digest import Digest
from pixi_ship.errors import CannotBuild, LockError, UsageError
from pixi_ship.fetch.archives import Archives
from pixi_ship.fetch.location import redacted, redacted_document
from pixi_ship.layer.compress import Compression
from pixi_ship.layer.split import Unit, split
from pixi_ship.lock.model import (
    CondaPackage,
    LockedEnvironment,
    LockedPackage,
    Obstacle,
    Unbuildable,
)
from pixi_ship.lock.parse import LockFile, choose
from pixi_ship.oci.reference import Reference
from pixi_ship.platform import Platform, platform_of
from pixi_ship.prefix.bytecode import Interpreter
from pixi_ship.prefix.merge import Merge
from pixi_ship.prefix.python import PythonInfo
from pixi_ship.recipe.paths import prefix_of
from pixi_ship.requirement import Requirement, check, lowest_version, requirements
from pixi_ship.workspace import Workspace

# Part of every layer's key: raise it whenever the same package would give other bytes.
LAYER_FORMAT = 1

_WAYS_OUT = {
    Obstacle.CONDA_SOURCE: "build it with 'pixi build' and add the package to a channel",
    Obstacle.PYPI_SDIST: "depend on a version that has a wheel, or build one and name its path",
    Obstacle.PYPI_PATH: "build a wheel of it and depend on that instead",
    Obstacle.PYPI_GIT: "build a wheel of that commit and depend on that instead",
    Obstacle.NO_PYTHON: "add python to the environment's conda dependencies",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person asks for, read from the command line and the manifest."""

    environment: str = "default"
    platform: str = "linux-64"
    cuda: str | None = None
    base: Reference
    to: tuple[Reference, ...] = ()
    compression: Compression = Compression.GZIP
    max_layers: int = 64
    offline: bool = False
    compile_bytecode: bool = True
    workers: int = 2
    created: str = "1980-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecipe:
    """A layer before it is made: ``key`` names its bytes, ``members`` index the packages."""

    key: str
    members: tuple[int, ...]
    names: tuple[str, ...]
    archive_size: int
    with_python: frozenset[int]

    @property
    def title(self) -> str:
        """How progress and history call it."""
        more = f" and {len(self.names) - 1} more" if len(self.names) > 1 else ""
        return self.names[0] + more


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
    notes: tuple[str, ...] = field(default=())

    @property
    def packages(self) -> tuple[LockedPackage, ...]:
        """Conda packages in link order, then wheels."""
        return (*self.environment.conda, *self.environment.pypi)


def select(
    workspace: Workspace, options: Options, interpreters: Mapping[str, Interpreter]
) -> Selection:
    """Choose the environment and check what can be checked from manifest and lock.

    interpreters: minor version → a Python at hand on this machine.
    """
    lock = LockFile(workspace.lock)
    if options.environment not in lock.environment_names and (
        options.environment in workspace.environments
    ):
        raise LockError(
            f"environment {options.environment!r} is in {workspace.manifest.name}, "
            f"but not in {workspace.lock}",
            hint="the lock is out of date: run 'pixi lock'",
        )
    environment = choose(lock, options.environment, options.platform)
    locked = environment.platform
    platform = workspace.platform_name(locked.name, locked.subdir, locked.virtual_packages)
    targets = _targets(environment, platform)
    _check_fresh(workspace, environment, targets)
    declared = workspace.cuda_versions(environment.name, platform)
    wants_cuda = requirements(environment, "__cuda", declared)
    if options.cuda is not None:
        check(wants_cuda, "__cuda", options.cuda, "--cuda")
    python = PythonInfo.of(environment.python) if environment.python else None
    interpreter = None
    if python is not None and options.compile_bytecode:
        interpreter = interpreters.get(python.short_version)
    notes = [
        f"activation script {script!r} of the manifest is not run nor shipped"
        for script in workspace.activation_scripts(environment.name, targets)
    ]
    if python is not None and interpreter is None:
        why = f"no python{python.short_version} is on PATH"
        why = why if options.compile_bytecode else "--no-compile was given"
        notes.append(f"Python sources without bytecode stay uncompiled: {why}")
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
        notes=tuple(notes),
    )


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


def environment_key(selection: Selection, archives: Archives) -> str:
    """Names everything that a :class:`~pixi_ship.prefix.merge.Merge` depends on."""
    rows = [archives.identity(package) for package in selection.packages]
    python = selection.python
    place = [python.site_packages, python.short_version] if python else []
    return _key(["merge", LAYER_FORMAT, place, rows])


def package_key(selection: Selection, identity: str) -> str:
    """Names the list of paths of one package."""
    python = selection.python
    place = [python.site_packages, python.short_version] if python else []
    return _key(["paths", LAYER_FORMAT, place, identity])


def layer_recipes(
    selection: Selection, archives: Archives, merge: Merge | None, options: Options
) -> tuple[LayerRecipe, ...]:
    """Split the environment into layers and give each its key.

    merge: None while it is not known which packages contest paths; layers are then a forecast.
    """
    packages = selection.packages
    boundary = len(selection.environment.conda)
    layers: list[LayerRecipe] = []
    joined = merge.groups if merge else ()
    conda, pypi = range(boundary), range(boundary, len(packages))
    sizes = merge.sizes if merge else tuple(package.size or 0 for package in packages)
    units = [_units(packages, sizes, conda, joined), _units(packages, sizes, pypi, joined)]
    budgets = _budgets([len(each) for each in units], options.max_layers)
    if len(joined) and any(min(group) < boundary <= max(group) for group in joined):
        # A wheel lies over a conda package's file: they share a layer, conda's.
        units = [_units(packages, sizes, range(len(packages)), joined)]
        budgets = [options.max_layers - 1]
    for each, budget in zip(units, budgets, strict=True):
        if each:
            layers += [
                _recipe(selection, archives, merge, members, sizes, options)
                for members in split(each, budget)
            ]
    return tuple(layers)


def _budgets(counts: Sequence[int], max_layers: int) -> list[int]:
    """Share the layers between conda packages and wheels; one is kept for the configuration."""
    usable = max_layers - 1
    wanting = [count for count in counts if count]
    if usable < len(wanting):
        raise UsageError(
            f"--max-layers {max_layers} is too few", hint=f"at least {len(wanting) + 1} are needed"
        )
    if len(wanting) < len(counts):
        return [usable for _ in counts]
    # Fixed shares: were they in proportion, adding one package could regroup all others.
    wheels = max(1, usable // 4)
    return [usable - wheels, wheels]


def _units(
    packages: Sequence[LockedPackage],
    sizes: Sequence[int],
    indices: range,
    joined: Sequence[frozenset[int]],
) -> list[Unit]:
    group_of = {index: group for group in joined for index in group}
    units = []
    for index in indices:
        group = sorted(group_of.get(index, {index}))
        if group[0] == index:
            size = sum(sizes[each] for each in group)
            units.append(Unit(packages[index].name, size, tuple(group)))
    return units


def _recipe(
    selection: Selection,
    archives: Archives,
    merge: Merge | None,
    members: tuple[int, ...],
    sizes: Sequence[int],
    options: Options,
) -> LayerRecipe:
    packages = [selection.packages[index] for index in members]
    with_python = frozenset(
        index for index in members if _depends_on_python(selection.packages[index])
    )
    rows = []
    for index in members:
        package = selection.packages[index]
        placement = merge.placements[index] if merge else None
        rows.append(
            [
                archives.identity(package),
                package.file_name,
                _metadata_digest(package),
                index in with_python,
                sorted(placement.moved.items()) if placement else [],
                sorted(placement.dropped) if placement else [],
            ]
        )
    python: list[str | None] = []
    if with_python and selection.python:
        compiler = selection.interpreter.key if selection.interpreter else None
        python = [selection.python.short_version, selection.python.site_packages, compiler]
    key = _key([LAYER_FORMAT, selection.prefix, options.compression.key, python, rows])
    return LayerRecipe(
        key=key,
        members=members,
        names=tuple(package.file_name for package in packages),
        archive_size=sum(sizes[index] for index in members),
        with_python=with_python,
    )


def _depends_on_python(package: LockedPackage) -> bool:
    """Whether the bytes of a package's layer depend on which Python the environment has."""
    if not isinstance(package, CondaPackage) or package.subdir == "noarch":
        return True
    names = {dependency.split(" ", 1)[0] for dependency in package.depends}
    return package.name == "python" or not names.isdisjoint({"python", "python_abi"})


def _metadata_digest(package: LockedPackage) -> str:
    """The lock's record ends up in ``conda-meta``, so it is part of the layer."""
    if not isinstance(package, CondaPackage):
        return ""
    text = redacted_document(json.dumps(package.metadata, sort_keys=True))
    return hashlib.sha256(text.encode()).hexdigest()


def _key(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class KnownLayer:
    """What the cache knows of a layer made earlier."""

    digest: Digest
    size: int
    diff_id: Digest
    uncompressed_size: int
    files: int
    activation: Mapping[str, str]


def known_layer(cache: Cache, key: str) -> KnownLayer | None:
    """The record of a layer, if its blob is there with the right size."""
    note = read_json(cache.layer(key, "json"))
    if note is None:
        return None
    try:
        activation = note["activation"]
        layer = KnownLayer(
            Digest.parse(str(note["digest"])),
            int(str(note["size"])),
            Digest.parse(str(note["diff_id"])),
            int(str(note["uncompressed_size"])),
            int(str(note["files"])),
            activation if isinstance(activation, dict) else {},
        )
        if cache.blob(layer.digest).stat().st_size != layer.size:
            return None
    except (KeyError, ValueError, OSError):
        return None
    return layer


def listing(cache: Cache, key: str) -> tuple[str, ...] | None:
    """The files of a layer made earlier: ``kind mode size path``, one a row."""
    path: Path = cache.layer(key, "tree")
    try:
        return tuple(path.read_text().splitlines())
    except OSError:
        return None
