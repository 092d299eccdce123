"""Run post-link scripts that a person has asked for, and take what they change as a tree.

As rattler runs them (``rattler/src/install/link_script.rs``): after all packages are in place, in
link order, by bash, with PREFIX, PKG_NAME, PKG_VERSION and PKG_BUILDNUM; what a script leaves in
``.messages.txt`` is for the person. Here they see the base and the packages they depend on, and
can write to the prefix alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pixi_ship.activation.closure import closure
from pixi_ship.activation.link_changes import LinkChanges, changed, printable, survey, unlike
from pixi_ship.activation.runner import Workroom
from pixi_ship.activation.surroundings import (
    OTHER,
    Surroundings,
    pretended,
    program_directories,
)
from pixi_ship.errors import ActivationError, SandboxError, UsageError
from pixi_ship.lock.model import CondaPackage
from pixi_ship.prefix.merge import Merge
from pixi_ship.recipe.environment import activation_base, base_variables
from pixi_ship.sandbox.sandbox import Mount, Sandbox
from pixi_ship.selection import Selection

# Part of the layer's key: raise it whenever the same scripts could give other bytes.
LINK_FORMAT = 1

_MESSAGES = ".messages.txt"
_MAX_MESSAGE = 64 << 10  # bytes
_LARGEST_FILE = 4 << 30  # bytes
_SHOWN = 20  # lines of a script that failed
_TIMEOUT = 1800.0  # seconds for one script
_UID, _HOST = 41001, "sandbox"  # nobody and nowhere in particular, the same everywhere


@dataclass(frozen=True, slots=True)
class LinkScript:
    """A package's post-link script; path: below the prefix."""

    index: int
    package: CondaPackage
    path: str


def all_link_scripts(selection: Selection, merged: Merge) -> dict[str, LinkScript]:
    """The scripts by the names of their packages, in link order."""
    return {
        package.name: LinkScript(index, package, merged.link_scripts[package.file_name])
        for index, package in enumerate(selection.environment.conda)
        if package.file_name in merged.link_scripts
    }


def link_scripts(selection: Selection, merged: Merge, names: Sequence[str]) -> list[LinkScript]:
    """The scripts of the packages named, in link order; raises UsageError for a name without."""
    having = all_link_scripts(selection, merged)
    for name in names:
        if name not in having:
            raise UsageError(
                f"--run-link-scripts {name}: environment {selection.environment.name!r} has no "
                "such package with a post-link script",
                hint=f"there are: {', '.join(sorted(having)) or 'none'}",
            )
    return [each for name, each in having.items() if name in names]


def link_key(room: Workroom, scripts: Sequence[LinkScript], compression: str) -> str:
    """Names the bytes of the layer that the scripts give."""
    seen = room.identities(_members(room, scripts))
    names = [each.package.name for each in scripts]
    rows = ["post-link", LINK_FORMAT, names, room.has_bash, compression, seen]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@contextmanager
def linked(
    room: Workroom, scripts: Sequence[LinkScript], elsewhere: Surroundings | None = None
) -> Iterator[LinkChanges]:
    """Run the scripts; what they changed can be taken in the block.

    elsewhere: made-up surroundings, in place of those that every build has. Raises ActivationError
    where one fails, or nothing can be run; SandboxError.
    """
    names = ", ".join(each.package.name for each in scripts)
    if (obstacle := room.obstacle()) is not None:
        raise ActivationError(
            f"running the post-link scripts of {names}: {obstacle}",
            hint="build without --run-link-scripts, or where bwrap runs the image's programs",
        )
    members = _members(room, scripts)
    below = room.builder.selection.prefix.removeprefix("/app/")
    with room.fresh_app(members) as app:
        yield _changes(_Stage(room, app, app / below, elsewhere), scripts)


def repeated(room: Workroom, scripts: Sequence[LinkScript], first: LinkChanges) -> tuple[str, ...]:
    """Run the scripts elsewhere as well: what to say of files that come out otherwise there.

    first: what they changed, while that is there. Raises OSError.
    """
    names = ", ".join(each.package.name for each in scripts)
    try:
        with linked(room, scripts, OTHER) as second:
            paths = unlike(first, second)
    except (ActivationError, SandboxError) as error:
        said = " ".join(str(error).split())
        return (f"{names}: whether the same files come out everywhere is not known: {said}",)
    if not paths:
        return ()
    root = f"{room.builder.selection.prefix[1:]}/"
    shown = ", ".join(printable(each.removeprefix(root)) for each in paths[:_SHOWN])
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return (
        f"{names}: post-link scripts give {shown}{more} another content under another user, host "
        "or time: the image is not the same each time it is built",
    )


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where scripts are run: app is shown at ``/app``, the prefix in it can be written to."""

    room: Workroom
    app: Path
    prefix: Path
    elsewhere: Surroundings | None


def _changes(stage: _Stage, scripts: Sequence[LinkScript]) -> LinkChanges:
    prefix = stage.prefix
    name, notes, found = scripts[0].package.name, list[str](), dict[str, Path | None]()
    try:
        before = survey(prefix, name)
        for each in scripts:
            name = each.package.name
            notes += _run(each, stage)
            # After each, so that an error names who made what is wrong.
            found = changed(prefix, before, survey(prefix, name), name)
    except OSError as error:
        raise ActivationError(
            f"running the post-link script of {name}: what it leaves cannot be read: "
            f"{error.strerror or error}",
            hint=f"build without --run-link-scripts {name}, or see that the cache has room",
        ) from error
    root = stage.room.builder.selection.prefix[1:]
    return LinkChanges({f"{root}/{path}": place for path, place in found.items()}, tuple(notes))


def _members(room: Workroom, scripts: Sequence[LinkScript]) -> tuple[int, ...]:
    conda = room.builder.selection.environment.conda
    return closure(conda, [each.index for each in scripts])


def _run(script: LinkScript, stage: _Stage) -> list[str]:
    """Run one script in the prefix; what it wants said."""
    room, prefix, elsewhere = stage.room, stage.prefix, stage.elsewhere
    selection, name = room.builder.selection, script.package.name
    uid, host = (elsewhere.uid, elsewhere.host) if elsewhere else (_UID, _HOST)
    sandbox: Sandbox = replace(room.sandbox(), uid=uid, gid=uid, hostname=host)
    root = sandbox.root or Path("/")
    mounts = [Mount(stage.app, "/app"), Mount(prefix, selection.prefix, writable=True)]
    shell, limits = room.shell(root), elsewhere.limits if elsewhere else ""
    words = f'umask 022; {limits}mkdir -p "$HOME" "${{TMPDIR:-/tmp}}"; '
    words += f"exec {shell} {selection.prefix}/{script.path}"
    with ExitStack() as stack:
        if elsewhere:
            scratch = stack.enter_context(TemporaryDirectory(prefix="pixi-ship-post-link-"))
            mounts += pretended(elsewhere, program_directories(root), Path(scratch))
            stack.enter_context(elsewhere.processors())
        outcome = sandbox.run(
            [shell, "-c", words],
            mounts=mounts,
            environment=_variables(script, room, elsewhere),
            directory=selection.prefix,
            timeout=_TIMEOUT,
            largest_file=_LARGEST_FILE,
        )
    if outcome.status or outcome.timed_out:
        how = "did not end" if outcome.timed_out else f"status {outcome.status}"
        lines = outcome.output.strip().splitlines()[-_SHOWN:]
        said = "".join(f"\n  {printable(line)}" for line in lines)
        raise ActivationError(
            f"running the post-link script of {name}: {how}{said}",
            hint="it sees the base and what the package depends on, has no network, and can "
            "write to the prefix alone",
        )
    return [f"{name}: its post-link script says: {message}" for message in _message(prefix)]


def _variables(
    script: LinkScript, room: Workroom, elsewhere: Surroundings | None
) -> dict[str, str]:
    selection = room.builder.selection
    rows = room.base.runtime.get("Env")
    base = base_variables([str(row) for row in rows] if isinstance(rows, list) else ())
    build = script.package.metadata.get("build_number")
    own = activation_base(selection.prefix, selection.environment.name, selection.workspace.name)
    around = {"LANG": "C.UTF-8", "HOME": "/tmp/home"}  # noqa: S108
    around = elsewhere.variables if elsewhere else around
    return {
        **around,
        **base,
        **own,
        "HOME": around["HOME"],
        "PATH": f"{selection.prefix}/bin:{base['PATH']}",
        "PREFIX": selection.prefix,
        "PKG_NAME": script.package.name,
        "PKG_VERSION": script.package.version,
        "PKG_BUILDNUM": str(build if isinstance(build, int) else 0),
    }


def _message(prefix: Path) -> list[str]:
    """What a script has left for the person; taken away."""
    place = prefix / _MESSAGES
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return []
        text = os.read(handle, _MAX_MESSAGE).decode("utf-8", "replace")
    finally:
        os.close(handle)
    place.unlink()
    return [printable(" ".join(text.split()))] if text.strip() else []
