"""``bwrap`` over an unpacked root filesystem.

Bubblewrap knows mounts alone: variables, directory and entrypoint are ours to apply. Its
words are carried out in their order (``bwrap(1)``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from pixi_ship.errors import UsageError
from pixi_ship.runtime.image import RunnableImage
from pixi_ship.runtime.invocation import Invocation
from pixi_ship.runtime.spec import Bind, Like, RunSpec, Variable

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OWN = ("dev", "proc", "sys")  # made anew at the root
_MEMORY = ("/run", "/tmp", "/var/tmp")  # noqa: S108
_NETWORK = ("/etc/hosts", "/etc/resolv.conf")  # the machine's: so is the network


def command_line(program: str, image: RunnableImage, spec: RunSpec) -> Invocation:
    """The words that start a job; reads names in the unpacked root. Raises UsageError."""
    command = image.words(spec.command, entrypoint=spec.runs_entrypoint)
    if not command:
        raise UsageError("the image has no command of its own", hint="give one after --")
    mounts = spec.mounts(*spec.node_directories)
    points = [*_MEMORY, *(each.target for each in mounts)]
    words = [program, *_root(Path(image.place), points)]
    words += ["--dev", "/dev", "--proc", "/proc", "--ro-bind", "/sys", "/sys"]
    words += [word for each in _MEMORY for word in ("--tmpfs", each)]
    words += [word for each in _NETWORK for word in ("--ro-bind-try", each, each)]
    words += [word for each in mounts for word in _bind(each)]
    words += ["--remount-ro", "/", "--chdir", spec.directory]
    words += ["--unshare-ipc"] if spec.like is Like.HTCONDOR else []
    return Invocation((*words, *spec.options, "--", *command), _variables(image, spec), alone=True)


def _variables(image: RunnableImage, spec: RunSpec) -> tuple[Variable, ...]:
    image_own = [Variable(*each) for each in {"PATH": _PATH, **image.variables}.items()]
    homes = {Like.HTCONDOR: spec.caller.directory, Like.SLURM: spec.caller.home}
    home = Variable("HOME", homes[spec.like]) if spec.like else Variable("HOME", "/tmp")  # noqa: S108
    terminal = spec.caller.environment.get("TERM")
    before: dict[Like | None, tuple[Variable, ...]] = {
        None: (home, *((Variable("TERM", terminal),) if terminal else ()), *image_own),
        Like.HTCONDOR: (*image_own, home, *spec.scratch()),
        Like.SLURM: (*spec.leaking(image.variables.keys()), *image_own, home),
    }
    return tuple({each.name: each for each in (*before[spec.like], *spec.variables)}.values())


def _bind(bind: Bind) -> tuple[str, str, str]:
    return ("--ro-bind" if bind.read_only else "--bind", bind.source, bind.target)


def _root(root: Path, points: Sequence[str]) -> list[str]:
    """The image's root, name by name in a directory of memory, where mount points can be made.

    A directory is opened up in the same way where a mount point is missing below it.
    """
    opened = {above for point in points for above in _to_open(root, PurePosixPath(point))}
    return [
        word for words in _shown(root, PurePosixPath("/"), opened, set(points)) for word in words
    ]


def _to_open(root: Path, point: PurePosixPath) -> Iterator[PurePosixPath]:
    if not (root / point.relative_to("/")).exists():
        for above in point.parents:
            here = root / above.relative_to("/")
            if here.is_dir() and not here.is_symlink():
                yield above


def _shown(
    root: Path, above: PurePosixPath, opened: set[PurePosixPath], points: set[str]
) -> Iterator[tuple[str, ...]]:
    for here in sorted((root / above.relative_to("/")).iterdir()):
        path = above / here.name
        if str(path) in points or (path.parent == PurePosixPath("/") and here.name in _OWN):
            continue
        if here.is_symlink():
            yield ("--symlink", str(here.readlink()), str(path))
        elif path in opened:
            yield ("--dir", str(path))
            yield from _shown(root, path, opened, points)
        else:
            yield ("--ro-bind", str(here), str(path))
