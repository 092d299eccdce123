"""Find out what the classic route needs of a workspace: paths in its lock and its manifest."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pixi_ship.classic.route import TEMPLATE_CUDA, TEMPLATE_ENVIRONMENT, Copied, Route
from pixi_ship.classic.words import environment_word, path_word, platform_word, version_word
from pixi_ship.errors import UsageError, WorkspaceError
from pixi_ship.lock.model import LockedEnvironment, LockedPackage, Obstacle, PypiSource, SourceKind
from pixi_ship.lock.parse import LockFile
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.project.include import Include
from pixi_ship.recipe.paths import APP
from pixi_ship.redaction import redacted
from pixi_ship.selection import Selection
from pixi_ship.workspace import Workspace

_MANIFESTS = ("pixi.toml", "pyproject.toml", "mojoproject.toml")
# Directories of every base, which a path of the lock must not be copied over.
_OF_THE_BASE = frozenset(
    {
        *("app", "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "media", "mnt"),
        *("opt", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var"),
    }
)
_RENDERED = frozenset({"Dockerfile", "Dockerfile.dockerignore", "apptainer.def"})


def route_of(
    selection: Selection,
    *,
    base: Reference,
    pixi_image: Reference,
    includes: Sequence[Include] = (),
    as_template: bool = False,
) -> Route:
    """What is to be rendered; raises UsageError for what the texts cannot say.

    Path dependencies of all environments are in it: ``--locked`` holds the whole lock against
    them. With ``as_template`` so are all scripts that activate.
    """
    workspace, environment = selection.workspace, selection.environment
    lock = LockFile(workspace.lock)
    paths, notes = _paths_of_lock(lock)
    scripts = selection.activation_scripts
    name, cuda = environment.name, selection.cuda if selection.cuda_requirements else None
    if as_template:
        scripts = _all_scripts(workspace, selection)
        name, cuda = TEMPLATE_ENVIRONMENT, TEMPLATE_CUDA
    _check_files(workspace, paths, scripts)
    editable = _editable(workspace, as_template, name)
    installed_from = _installed_from(workspace, (*paths, *scripts))
    kept = _installed_from(workspace, (*scripts, *(each for each in paths if each in editable)))
    return Route(
        workspace=workspace.name,
        environment=environment_word(name),
        platform=selection.platform,
        pixi_platform=None if as_template else _pixi_platform(lock, selection),
        locked_platform=platform_word(environment.platform.name),
        cuda=None if cuda is None else version_word(cuda),
        base=_image(base, "--base"),
        pixi_image=_image(pixi_image, "--pixi-image"),
        manifest=workspace.manifest.name,
        installed_from=installed_from,
        kept=tuple(each.dest for each in kept),
        included=tuple(_included(workspace, includes)),
        as_template=as_template,
        parents=_parents(workspace, [each.source for each in installed_from], includes),
        in_repository=_in_repository(workspace),
        python=selection.python.short_version if selection.python else None,
        notes=tuple(notes),
    )


def _image(reference: Reference, option: str) -> str:
    """An image as ``FROM`` and ``From:`` name it."""
    if reference.transport is not Transport.DOCKER:
        raise UsageError(
            f"rendering {option} {reference}: only an image in a registry can be named",
            hint="want docker://HOST/NAME:TAG",
        )
    return str(reference).removeprefix("docker://")


def _check_files(workspace: Workspace, paths: Sequence[str], scripts: Sequence[str]) -> None:
    """Raise WorkspaceError where Pixi would miss a file in the image."""
    if workspace.manifest.name not in _MANIFESTS:
        raise WorkspaceError(
            f"rendering {workspace.manifest}: Pixi finds no manifest of this name in an image",
            hint=f"call it {_MANIFESTS[0]}",
        )
    for says, wanted, hint in (
        ("the lock", paths, "the lock is out of date: run 'pixi lock'"),
        ("[activation] scripts", scripts, "write it, or take it out of the manifest"),
    ):
        for each in wanted:
            if not (workspace.root / each).exists():
                raise WorkspaceError(
                    f"rendering {workspace.root}: {says} names {each!r}, which is not there",
                    hint=hint,
                )


def _pixi_platform(lock: LockFile, selection: Selection) -> str | None:
    """The name to tell Pixi, where it would not come upon the platform by the machine alone."""
    locked = selection.environment.platform
    workspace = selection.workspace
    name = workspace.platform_name(locked.name, locked.subdir, locked.virtual_packages)
    rich = any(
        each.name != each.subdir
        for each in lock.platforms(selection.environment.name)
        if each.subdir == locked.subdir
    )
    return platform_word(name) if rich else None


def _paths_of_lock(lock: LockFile) -> tuple[list[str], list[str]]:
    """Paths that the lock names, relative to the workspace; and what to say of the others."""
    found: dict[str, None] = {}
    notes: dict[str, None] = {}
    for name in lock.environment_names:
        for platform in lock.platforms(name):
            environment = lock.environment(name, platform)
            for location in _locations(environment):
                if location.startswith(("/", "file:")):
                    notes[_of_this_machine(location)] = None
                else:
                    found[posixpath.normpath(location)] = None
            for each in environment.sources:
                if each.kind is SourceKind.GIT:
                    notes[_from_git(each)] = None
    return sorted(found), list(notes)


def _of_this_machine(location: str) -> str:
    return (
        f"the lock names files of this machine ({posixpath.dirname(location)}): mount the "
        "directory at the same place while building"
    )


def _from_git(source: PypiSource) -> str:
    return (
        f"{source.name} comes from git ({redacted(source.location)}): the image with Pixi must "
        "have git, and the login that it wants"
    )


def _locations(environment: LockedEnvironment) -> Iterator[str]:
    """What lies on this machine."""
    packages: tuple[LockedPackage, ...] = (*environment.conda, *environment.pypi)
    yield from (each.location for each in packages if _is_local(each.location))
    for source in environment.sources:
        if source.kind is not SourceKind.GIT and _is_local(source.location):
            yield source.location
    for built in environment.unbuildable:
        if built.obstacle is Obstacle.CONDA_SOURCE and _is_local(built.location):
            yield built.location


def _is_local(location: str) -> bool:
    return "://" not in location or location.startswith("file:")


def _installed_from(workspace: Workspace, paths: Iterable[str]) -> tuple[Copied, ...]:
    """Where paths of the lock must lie, so that they lead there from /app too."""
    found: list[Copied] = []
    for path in dict.fromkeys(paths):
        if path.startswith("../../"):
            raise UsageError(
                f"rendering the path dependency {path!r}: from {APP} it leads above the root",
                hint="keep it in the workspace or beside it, and run 'pixi lock'; "
                "'pixi ship build' takes it from anywhere",
            )
        dest = posixpath.normpath(f"{APP}/{path}")
        top = dest.split("/")[1]
        if dest != APP and not dest.startswith(f"{APP}/") and top in _OF_THE_BASE:
            raise UsageError(
                f"rendering the path dependency {path!r}: in the image it would lie at {dest}, "
                f"and /{top} is the base's",
                hint="keep it below the workspace, or in a directory of another name",
            )
        if dest == APP:
            found += _whole(workspace, APP)
        else:
            found.append(Copied(path_word(path), dest))
    return tuple(found)


def _whole(workspace: Workspace, dest: str) -> Iterator[Copied]:
    """The entries of the workspace itself, without hidden ones: there lie .git, .pixi and .env."""
    own = {workspace.manifest.name, "pixi.lock", *_RENDERED} if dest == APP else _RENDERED
    for each in sorted(workspace.root.iterdir()):
        if not each.name.startswith(".") and each.name not in own and each.suffix != ".sif":
            yield Copied(path_word(each.name), f"{dest}/{each.name}")


def _included(workspace: Workspace, includes: Sequence[Include]) -> Iterator[Copied]:
    for include in includes:
        source = posixpath.normpath(include.path)
        if source.startswith("/") or not (workspace.root / source).exists():
            raise UsageError(
                f"rendering --include {include.path}: no file or directory below {workspace.root}",
                hint="patterns are for 'build'; name files and directories here",
            )
        dest = f"/{include.dest}" if include.dest is not None else f"{APP}/{source}"
        if source == ".":
            yield from _whole(workspace, posixpath.normpath(dest))
            continue
        if include.dest is None and source.startswith("../"):
            raise UsageError(
                f"rendering --include {include.path}: it is outside the workspace",
                hint=f"say where it goes in the image: --include {include.path}:DEST",
            )
        if include.into and (workspace.root / source).is_file():
            dest = f"{dest}/{posixpath.basename(source)}"
        yield Copied(path_word(source), path_word(dest))


def _all_scripts(workspace: Workspace, selection: Selection) -> tuple[str, ...]:
    """The scripts that activate any environment; those of targets as on the chosen platform."""
    subdir = selection.platform.subdir
    targets = (subdir, subdir.partition("-")[0], "unix")
    found: dict[str, None] = {}
    for name in workspace.environments:
        found.update(dict.fromkeys(workspace.activation_scripts(name, targets)))
    return tuple(found)


def _editable(workspace: Workspace, all_environments: bool, environment: str) -> frozenset[str]:
    """Paths that the environment leads to rather than holds."""
    names = workspace.environments if all_environments else (environment,)
    found = set()
    for name in names:
        for feature in workspace.features(name):
            targets = feature.get("target")
            rows = list(targets.values()) if isinstance(targets, Mapping) else []
            for table in (feature, *rows):
                found |= set(_editable_of(table))
    return frozenset(found)


def _editable_of(table: object) -> Iterator[str]:
    wanted = table.get("pypi-dependencies") if isinstance(table, Mapping) else None
    for spec in wanted.values() if isinstance(wanted, Mapping) else ():
        if isinstance(spec, Mapping) and spec.get("editable") and "path" in spec:
            yield posixpath.normpath(str(spec["path"]))


def _parents(
    workspace: Workspace, sources: Iterable[str], includes: Iterable[Include]
) -> tuple[str, ...]:
    """The directories above the workspace, down to it, that a builder must be shown."""
    paths = (*sources, *(posixpath.normpath(each.path) for each in includes))
    up = max((path.split("/").count("..") for path in paths), default=0)
    parts = workspace.root.resolve().parts[1:]
    if up > len(parts):
        raise UsageError(f"rendering {workspace.root}: its lock leads above the root directory")
    return tuple(path_word(each) for each in parts[len(parts) - up :])


def _in_repository(workspace: Workspace) -> str:
    """The workspace's place below the nearest directory with a ``.git``."""
    root = workspace.root.resolve()
    for directory in (root, *root.parents):
        if (directory / ".git").exists():
            below = root.relative_to(directory).as_posix()
            return "" if below == "." else path_word(below)
    return ""


def workspace_files(route: Route) -> tuple[str, ...]:
    """Files and directories whose change makes another image, relative to the repository."""
    sources: list[str] = [route.manifest, "pixi.lock"]
    sources += [each.source for each in (*route.installed_from, *route.included)]
    below = [posixpath.normpath(posixpath.join(route.in_repository, each)) for each in sources]
    return tuple(dict.fromkeys(each for each in below if not each.startswith("..")))
