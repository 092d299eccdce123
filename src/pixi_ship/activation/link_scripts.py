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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pixi_ship.activation.closure import closure
from pixi_ship.activation.runner import Workroom
from pixi_ship.errors import ActivationError, UsageError
from pixi_ship.lock.model import CondaPackage
from pixi_ship.prefix.merge import Merge
from pixi_ship.recipe.environment import activation_base, base_variables
from pixi_ship.sandbox.sandbox import Mount, Sandbox
from pixi_ship.selection import Selection
from pixi_ship.tree import Entry, File, Symlink, readable_mode

# Part of the layer's key: raise it whenever the same scripts could give other bytes.
LINK_FORMAT = 1

_WHITEOUT = ".wh."  # OCI image-spec 1.1, layer.md
_MESSAGES = ".messages.txt"
_MAX_MESSAGE = 64 << 10  # bytes
_MAX_ADDED = 4 << 30  # bytes of all that the scripts write
_MAX_ENTRIES = 500_000
_SHOWN = 20  # lines of a script that failed
_TIMEOUT = 1800.0  # seconds for one script
_BLOCK = 1 << 20
_UID = 41001  # nobody in particular, the same everywhere


@dataclass(frozen=True, slots=True)
class LinkScript:
    """A package's post-link script; path: below the prefix."""

    index: int
    package: CondaPackage
    path: str


def link_scripts(selection: Selection, merged: Merge, names: Sequence[str]) -> list[LinkScript]:
    """The scripts of the packages named, in link order; raises UsageError for a name without."""
    having = {
        package.name: LinkScript(index, package, merged.link_scripts[package.file_name])
        for index, package in enumerate(selection.environment.conda)
        if package.file_name in merged.link_scripts
    }
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


@dataclass(frozen=True, slots=True)
class LinkChanges:
    """What scripts changed below the prefix: a tree, while the prefix is there; and messages."""

    entries_by_path: Mapping[str, Path | None]
    notes: tuple[str, ...]

    def entries(self) -> Iterator[Entry]:
        """New and changed files by path, each whole; what is gone as whiteouts."""
        for path in sorted(self.entries_by_path):
            place = self.entries_by_path[path]
            if place is None:
                above, _, name = path.rpartition("/")
                yield File(f"{above}/{_WHITEOUT}{name}", 0o644, 0, ())
            elif place.is_symlink():
                yield Symlink(path, str(place.readlink()))
            else:
                facts = place.lstat()
                yield File(path, readable_mode(facts.st_mode), facts.st_size, _content(place))


def _content(place: Path) -> Iterator[bytes]:
    handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, "rb") as file:
        while block := file.read(_BLOCK):
            yield block


@contextmanager
def linked(room: Workroom, scripts: Sequence[LinkScript]) -> Iterator[LinkChanges]:
    """Run the scripts; what they changed can be taken in the block.

    Raises ActivationError where one fails, or nothing can be run; SandboxError.
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
        prefix = app / below
        before = _survey(prefix)
        notes = [note for each in scripts for note in _run(each, room, app, prefix)]
        root = room.builder.selection.prefix[1:]
        changes = {f"{root}/{path}": place for path, place in _changed(prefix, before).items()}
        yield LinkChanges(changes, tuple(notes))


def _members(room: Workroom, scripts: Sequence[LinkScript]) -> tuple[int, ...]:
    conda = room.builder.selection.environment.conda
    return closure(conda, [each.index for each in scripts])


def _run(script: LinkScript, room: Workroom, app: Path, prefix: Path) -> list[str]:
    """Run one script in the prefix; what it wants said."""
    selection, name = room.builder.selection, script.package.name
    sandbox: Sandbox = replace(room.sandbox(), uid=_UID, gid=_UID)
    mounts = [Mount(app, "/app"), Mount(prefix, selection.prefix, writable=True)]
    shell = room.shell(sandbox.root or Path("/"))
    outcome = sandbox.run(
        [
            shell,
            "-c",
            f"umask 022; mkdir -p /tmp/home; exec {shell} {selection.prefix}/{script.path}",
        ],
        mounts=mounts,
        environment=_variables(script, room),
        directory=selection.prefix,
        timeout=_TIMEOUT,
        largest_file=_MAX_ADDED,
    )
    if outcome.status or outcome.timed_out:
        how = "did not end" if outcome.timed_out else f"status {outcome.status}"
        lines = outcome.output.strip().splitlines()[-_SHOWN:]
        said = "".join(f"\n  {_printable(line)}" for line in lines)
        raise ActivationError(
            f"running the post-link script of {name}: {how}{said}",
            hint="it sees the base and what the package depends on, has no network, and can "
            "write to the prefix alone",
        )
    return [f"{name}: its post-link script says: {message}" for message in _message(prefix)]


def _variables(script: LinkScript, room: Workroom) -> dict[str, str]:
    selection = room.builder.selection
    rows = room.base.runtime.get("Env")
    base = base_variables([str(row) for row in rows] if isinstance(rows, list) else ())
    build = script.package.metadata.get("build_number")
    own = activation_base(selection.prefix, selection.environment.name, selection.workspace.name)
    return {
        "LANG": "C.UTF-8",
        **base,
        **own,
        "HOME": "/tmp/home",  # noqa: S108
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
    return [_printable(" ".join(text.split()))] if text.strip() else []


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)


def _survey(prefix: Path) -> dict[str, tuple[int, ...]]:
    """Every file and link below the prefix, by what no change leaves as it was."""
    found: dict[str, tuple[int, ...]] = {}
    for directory, names, files in os.walk(prefix, onerror=_unreadable):
        here = Path(directory)
        for place in map(here.joinpath, (*files, *names)):
            facts = place.lstat()
            if stat.S_ISDIR(facts.st_mode):
                continue
            path = str(place.relative_to(prefix))
            found[path] = (facts.st_ino, facts.st_mode, facts.st_size, facts.st_ctime_ns)
            if len(found) > _MAX_ENTRIES:
                raise ActivationError("running post-link scripts: they leave too many files")
    return found


def _unreadable(error: OSError) -> None:
    raise ActivationError(
        f"running post-link scripts: they leave a directory that cannot be read: {error.strerror}"
    ) from error


def _changed(prefix: Path, before: Mapping[str, tuple[int, ...]]) -> dict[str, Path | None]:
    after = _survey(prefix)
    changed: dict[str, Path | None] = dict.fromkeys(before.keys() - after.keys())
    size = 0
    for path, facts in after.items():
        if before.get(path) == facts:
            continue
        if (fault := _fault(path, facts[1])) is not None:
            raise ActivationError(
                f"running post-link scripts: they leave {_printable(path)!r}, {fault}"
            )
        size += facts[2]
        changed[path] = prefix / path
    if size > _MAX_ADDED:
        raise ActivationError(
            f"running post-link scripts: they write {size} bytes, at most {_MAX_ADDED} are taken"
        )
    return _without_shadowed(changed, after)


def _fault(path: str, mode: int) -> str | None:
    """Why something cannot be in a layer, if that is so."""
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        return "which is neither a file nor a link"
    if any("\ud800" <= each <= "\udfff" for each in path):
        return "whose name is no UTF-8"
    if any(part.startswith(_WHITEOUT) for part in path.split("/")):
        return "a name that hides others in a layer"
    return None


def _without_shadowed(
    changed: Mapping[str, Path | None], after: Mapping[str, tuple[int, ...]]
) -> dict[str, Path | None]:
    """Leave out whiteouts below what is a file or link by now: the layer's entry hides them."""
    return {
        path: place
        for path, place in changed.items()
        if place is not None or not any(above in after for above in _above(path))
    }


def _above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
