"""What shall run, and from where: the same for every runtime."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from pixi_ship.errors import UsageError

ALL = "all"  # GPUs

# POSIX.1-2017, 8.1: what a variable may be called to survive a shell.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_READ_ONLY = {"ro": True, "rw": False}
# What Apptainer does not hand on to a container (its internal/pkg/util/env/create.go).
_KEPT_OUT = frozenset({"HOME", "LD_LIBRARY_PATH", "PATH"})


class Like(StrEnum):
    """A kind of site to imitate."""

    HTCONDOR = "htcondor"
    SLURM = "slurm"


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or directory of this machine at ``target`` in the container; both are absolute."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable for the command; ``inherited``: the value is the caller's own, and not shown."""

    name: str
    value: str = field(repr=False)
    inherited: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """Who runs the command: ids, directories, variables; ``terminal``: both ends are one."""

    directory: str
    home: str
    uid: int
    gid: int
    environment: Mapping[str, str] = field(repr=False)
    terminal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """A command and what it shall see.

    command: without any, the image's own. binds, variables: those that were asked for. gpus:
    a number, or ``all``. starts_in: where the command starts; None: in the caller's directory.
    options: words for the runtime itself.
    """

    command: tuple[str, ...]
    caller: Caller
    binds: tuple[Bind, ...] = ()
    variables: tuple[Variable, ...] = ()
    gpus: str | None = None
    starts_in: str | None = None
    like: Like | None = None
    options: tuple[str, ...] = ()

    @property
    def directory(self) -> str:
        """Where the command starts."""
        return self.starts_in or self.caller.directory

    @property
    def node_directories(self) -> tuple[str, ...]:
        """What Apptainer shows of a node unasked, and so jobs under Slurm see it."""
        return (self.caller.home, "/tmp") if self.like is Like.SLURM else ()  # noqa: S108

    @property
    def runs_entrypoint(self) -> bool:
        """Whether the image's entrypoint comes before the command, where sites differ in it."""
        return self.like is None or not self.command

    def mounts(self, *also: str) -> tuple[Bind, ...]:
        """All that is bound, outer directories first; of one target the last asked for counts.

        also: directories of this machine to see at the same path.
        """
        own = (self.caller.directory,) if self.like or self.starts_in is None else ()
        every = (*(Bind(each, each) for each in (*also, *own)), *self.binds)
        found = {each.target: each for each in every}
        return tuple(sorted(found.values(), key=lambda each: PurePosixPath(each.target).parts))

    def scratch(self) -> tuple[Variable, ...]:
        """What HTCondor says of the directory that a job starts in."""
        return (Variable("_CONDOR_SCRATCH_DIR", self.caller.directory),)

    def leaking(self, image: Collection[str]) -> tuple[Variable, ...]:
        """The caller's variables that get into a container where those of the image win.

        image: names of the image's variables.
        """
        return tuple(
            Variable(name, value, inherited=True)
            for name, value in sorted(self.caller.environment.items())
            if _NAME.match(name) and name not in _KEPT_OUT and name not in image
        )


def parse_bind(text: str, directory: str) -> Bind:
    """``SRC[:DEST[:ro]]``; a relative SRC starts from ``directory``. Raises UsageError."""
    source, *rest = text.split(":")
    path = str(PurePosixPath(directory, source))
    target = rest[0] if rest else path
    mode = rest[1] if len(rest) > 1 else "rw"
    if not source or len(rest) > 2 or mode not in _READ_ONLY:
        raise UsageError(f"--bind {text!r} is no bind", hint="want SRC, SRC:DEST or SRC:DEST:ro")
    if not target.startswith("/") or ".." in PurePosixPath(target).parts:
        raise UsageError(
            f"--bind {text!r}: {target!r} is no absolute path", hint="want SRC:/DEST in the image"
        )
    if PurePosixPath(target) == PurePosixPath("/"):
        raise UsageError(f"--bind {text!r} would hide the whole image")
    return Bind(path, str(PurePosixPath(target)), _READ_ONLY[mode])


def parse_variable(text: str, environment: Mapping[str, str]) -> Variable:
    """``NAME=VALUE``, or ``NAME`` for the value in ``environment``. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not _NAME.match(name):
        raise UsageError(f"--env {name!r} is no name of a variable", hint="want NAME=VALUE or NAME")
    if equals:
        return Variable(name, value)
    if name not in environment:
        raise UsageError(f"--env {name}: it is not set here", hint=f"want {name}=VALUE")
    return Variable(name, environment[name], inherited=True)


def runtime_options(runtime: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Words for every call of a runtime, by PIXI_SHIP_<RUNTIME>_OPTIONS. Raises UsageError."""
    variable = f"PIXI_SHIP_{runtime.upper()}_OPTIONS"
    try:
        return tuple(shlex.split(environment.get(variable, "")))
    except ValueError as error:
        raise UsageError(f"{variable} is no row of words: {error}") from None


def parse_gpus(text: str) -> str:
    """``all`` or a number from 1 on. Raises UsageError."""
    if text == ALL or (text.isascii() and text.isdigit() and 0 < int(text) < 1000):
        return text
    raise UsageError(f"--gpus {text!r} is no number of GPUs", hint="want 1 or more, or all")
