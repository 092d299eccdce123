"""Scripts of activation are run where that can be done, and what they told is remembered.

A note is keyed by all that a script could look at: its text, the variables before it, the
packages of its owner's closure, the base. So a plan and a warm build run nothing and need
neither the base's layers nor an archive.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from pixi_ship.activation.closure import closure
from pixi_ship.activation.evaluation import EVALUATION_FORMAT, Stage, evaluate
from pixi_ship.activation.roots import unpacked_base
from pixi_ship.builder import PATHS, Builder
from pixi_ship.cache import replacing_directory
from pixi_ship.errors import ActivationError, SandboxError
from pixi_ship.layer.tar import MTIME
from pixi_ship.layering import LAYER_FORMAT, package_key
from pixi_ship.machine import Machine
from pixi_ship.oci.stored import StoredImage
from pixi_ship.prefix.conda import CondaTree
from pixi_ship.prefix.layout import PrefixLayout
from pixi_ship.prefix.merge import Merge
from pixi_ship.recipe.activation import NotRun, Ran, Script
from pixi_ship.recipe.paths import APP
from pixi_ship.redaction import redacted
from pixi_ship.rootfs import lay_out
from pixi_ship.sandbox.sandbox import Sandbox
from pixi_ship.tree import Tree

ACTIVATION = "activation"  # the kind of note in the cache that says what running a script told

_MAX_BASE = 4 << 30  # compressed bytes
_MAX_ARCHIVES = 2 << 30  # bytes of what a script may look at, compressed
_MAX_FILES = 32 << 30  # bytes of the same, unpacked
TIMEOUT = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class LinkResult:
    """What post-link scripts made of the prefix, for those who look at it afterwards.

    opened: gives the tree of what they changed, whiteouts with it, as long as its block lasts.
    """

    key: str
    opened: Callable[[], AbstractContextManager[Tree]]


class NotKnownYet(ActivationError):
    """What a script does is in no note, and nothing may be run now."""


@dataclass(slots=True, kw_only=True)
class Workroom:
    """The base, unpacked, and prefixes that hold some of the packages; gone when closed.

    may_run: whether what no note tells may be found out. has_sh: of the base. keys: of the notes
    that were wanted. link_result: of post-link scripts that changed something.
    """

    builder: Builder
    base: StoredImage
    merged: Merge
    machine: Machine
    has_sh: bool
    has_bash: bool
    may_run: bool = True
    timeout: float = TIMEOUT
    keys: list[str] = field(default_factory=list)
    link_result: LinkResult | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _prefixes: dict[tuple[int, ...], Path] = field(default_factory=dict)

    def __enter__(self) -> Workroom:
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()

    def obstacle(self) -> str | None:
        """Why nothing can be run, if that is so."""
        machine, platform = self.machine, self.builder.selection.platform
        if not self.base.layers:
            return "the base is 'scratch', which has no shell"
        if not (self.has_sh or self.has_bash):
            return "the base has no sh"
        if machine.unconfined:
            return "--no-sandbox was given"
        if not machine.runs(platform):
            return f"this machine does not run programs for {platform}"
        if machine.sandbox is None:
            return "there is no bwrap on this machine"
        if sum(each.descriptor.size for each in self.base.layers) > _MAX_BASE:
            return f"the base has more than {_MAX_BASE >> 30} GiB"
        return None

    def sandbox(self) -> Sandbox:
        """Where things are run, in the base's root filesystem."""
        if self.machine.sandbox is None:
            raise AssertionError("whoever asks has seen that there is one")
        return replace(self.machine.sandbox, root=unpacked_base(self.base, self.builder.cache))

    def members(self, path: str | None) -> tuple[int, ...]:
        """The conda packages of which a file may see something, by index; all for None."""
        conda = self.builder.selection.environment.conda
        if path is None:
            return tuple(range(len(conda)))
        owners = [index for index in range(len(conda)) if path in self._paths(index)]
        return closure(conda, owners or range(len(conda)))

    def _paths(self, index: int) -> frozenset[str]:
        builder = self.builder
        identity = builder.archives.identity(builder.selection.packages[index])
        note = builder.cache.note(PATHS, package_key(builder.selection, identity)) or {}
        paths = note.get("paths")
        return frozenset(paths if isinstance(paths, list) else ())

    def too_much(self, members: Iterable[int]) -> str | None:
        """Why these packages are not laid out for a script, if that is so."""
        sizes = self.merged.sizes
        size = sum(sizes[index] for index in members if index < len(sizes))
        if size <= _MAX_ARCHIVES:
            return None
        return f"what it may look at are packages of {size >> 20} MiB"

    def identities(self, members: Iterable[int]) -> list[object]:
        """What the files of these packages in the prefix depend on."""
        selection, archives = self.builder.selection, self.builder.archives
        python = selection.python
        return [
            LAYER_FORMAT,
            selection.prefix,
            [python.site_packages, python.short_version] if python else [],
            [
                [
                    archives.identity(selection.packages[index]),
                    sorted(self.merged.placements[index].moved.items()),
                    sorted(self.merged.placements[index].dropped),
                ]
                for index in members
            ],
            [str(each.diff_id) for each in self.base.layers],
        ]

    def app(self, members: tuple[int, ...]) -> Path:
        """A directory for ``/app``: the prefix with these packages, and what was linked."""
        if members not in self._prefixes:
            with ExitStack() as stack:
                link = self.link_result
                more = [stack.enter_context(link.opened())] if link else []
                fresh = self.fresh_app(members, more)
                self._prefixes[members] = self._stack.enter_context(fresh)
        return self._prefixes[members]

    @contextmanager
    def fresh_app(self, members: tuple[int, ...], more: Sequence[Tree] = ()) -> Iterator[Path]:
        """One that nobody else has, with these packages alone; more: trees laid over them."""
        with replacing_directory(self.builder.cache.root / "prefixes" / "activation") as root:
            trees = (self._tree(index) for index in members)
            lay_out(chain(trees, more), root, limit=_MAX_FILES)
            (root / self.builder.selection.prefix[1:]).mkdir(parents=True, exist_ok=True)
            yield root / APP[1:]

    def _tree(self, index: int) -> CondaTree:
        selection, archives = self.builder.selection, self.builder.archives
        package = selection.environment.conda[index]
        return CondaTree(
            package,
            archives.get(package).path,
            PrefixLayout(selection.prefix, selection.python),
            self.merged.placements[index],
            redacted(package.location),
        )

    def shell(self, root: Path) -> str:
        """The shell that sources scripts here and in the job."""
        usual = "/bin/bash" if self.has_bash else "/bin/sh"
        return (
            usual if (root / usual[1:]).is_symlink() or (root / usual[1:]).exists() else "/bin/sh"
        )


class ScriptRunner:
    """Runs scripts of activation, or tells why not; a :data:`~...recipe.activation.Runner`."""

    def __init__(self, room: Workroom) -> None:
        self._room = room

    def __call__(self, script: Script, variables: Mapping[str, str]) -> Ran | NotRun:
        """What the script does to the variables; raises NotKnownYet."""
        room = self._room
        if (obstacle := room.obstacle()) is not None:
            return NotRun(obstacle)
        prefix = f"{room.builder.selection.prefix}/"
        of_package = script.path.startswith(prefix)
        members = room.members(script.path.removeprefix(prefix) if of_package else None)
        if (obstacle := room.too_much(members)) is not None:
            return NotRun(obstacle)
        seen = room.identities(members)
        seen += ["post-link", room.link_result.key] if room.link_result else []
        key = _key(script, variables, room.has_bash, seen)
        room.keys.append(key)
        if (known := _from_note(room.builder.cache.note(ACTIVATION, key))) is not None:
            return known
        if not room.may_run:
            raise NotKnownYet(f"{script.name} was not run yet")
        try:
            found = self._run(script, variables, members, of_package=of_package)
        except SandboxError as error:
            return NotRun(str(error))
        except OSError as error:
            raise ActivationError(
                f"running {script.name}: {error.strerror or error}",
                hint="see that the cache and the directory for temporary files have room, or say "
                "--no-sandbox",
            ) from error
        if isinstance(found, Ran):
            room.builder.cache.write_note(ACTIVATION, key, _to_note(found))
        return found

    def _run(
        self,
        script: Script,
        variables: Mapping[str, str],
        members: tuple[int, ...],
        *,
        of_package: bool,
    ) -> Ran | NotRun:
        room = self._room
        sandbox = room.sandbox()
        root = sandbox.root or Path("/")
        app = room.app(members)
        stage = Stage(
            sandbox=sandbox,
            root=root,
            app=app,
            prefix=room.builder.selection.prefix,
            shell=room.shell(root),
            timeout=room.timeout,
        )
        place = app / script.path.removeprefix(f"{APP}/")
        with tempfile.TemporaryDirectory(prefix="pixi-ship-activation-") as scratch:
            if of_package:
                return evaluate(script, variables, stage, Path(scratch))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(script.text.encode("utf-8", "surrogateescape"))
            for each in (place, *place.relative_to(app).parents):
                os.utime(app / each, (MTIME, MTIME))
            try:
                return evaluate(script, variables, stage, Path(scratch))
            finally:
                # The next script sees what it is keyed by, and no more.
                place.unlink()


def _key(script: Script, variables: Mapping[str, str], has_bash: bool, seen: list[object]) -> str:
    rows = [EVALUATION_FORMAT, script.path, script.text, sorted(variables.items()), has_bash, seen]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _to_note(ran: Ran) -> dict[str, object]:
    return {
        "changes": dict(ran.changes),
        "unsteady": list(ran.unsteady),
        "notes": list(ran.notes),
        "fit": ran.fit,
    }


def _from_note(note: Mapping[str, object] | None) -> Ran | None:
    if note is None:
        return None
    changes, unsteady, notes = (note.get(name) for name in ("changes", "unsteady", "notes"))
    if not isinstance(changes, dict) or not isinstance(unsteady, list):
        return None
    if not isinstance(notes, list) or not all(
        value is None or isinstance(value, str) for value in changes.values()
    ):
        return None
    return Ran(
        {str(name): value for name, value in changes.items()},
        tuple(str(each) for each in unsteady),
        tuple(str(each) for each in notes),
        note.get("fit") is True,
    )
