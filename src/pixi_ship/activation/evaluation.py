"""Run one script of activation in a sandbox, twice, and tell what it does to the variables.

Twice, in surroundings that have as little in common as can be but for the image. What comes out
equal is a fact of the image; what does not belongs to the node.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pixi_ship.activation.surroundings import (
    ONE,
    OTHER,
    PLACE,
    PROGRAMS,
    ProgramDirectory,
    Surroundings,
    pretended,
    program_directories,
)
from pixi_ship.errors import SandboxError
from pixi_ship.recipe.activation import NotRun, Ran, Script
from pixi_ship.recipe.scripts import shell_quoted
from pixi_ship.sandbox.process import Outcome
from pixi_ship.sandbox.sandbox import Mount, Sandbox

# Raise it whenever the same script could come out otherwise.
EVALUATION_FORMAT = 2

_RESULT = f"{PLACE}/result"
# What a script tells, each in a file that is there: it could leave anything in a directory.
_TOLD = ("began", "took-input", "status", "environ")
_MAX_RESULT = 1 << 20  # bytes of all variables
_LARGEST_FILE = 64 << 20  # bytes
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# What the shell itself keeps there, and what is ours.
_SHELLS_OWN = re.compile(r"(PWD|OLDPWD|SHLVL|_|BASH_.*|pixi_ship_.*)\Z")
_SHOWN = 80  # characters of what a script prints


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where a script is run.

    root: the base's root filesystem. app: what lies at ``/app`` there, with the prefix. prefix: a
    path in the sandbox. shell: a path in the root. timeout: seconds for a script.
    """

    sandbox: Sandbox
    root: Path
    app: Path
    prefix: str
    shell: str
    timeout: float


def evaluate(
    script: Script, variables: Mapping[str, str], stage: Stage, scratch: Path
) -> Ran | NotRun:
    """Run a script in both surroundings; raises SandboxError, OSError.

    variables: all that are set before, of the image's. scratch: an empty directory.
    """
    told: list[_Told] = []
    for surroundings in (ONE, OTHER):
        place = scratch / surroundings.name
        place.mkdir()
        found = _run(script, variables, surroundings, stage, place)
        if isinstance(found, (NotRun, Ran)):
            return found
        told.append(found)
    one, other = told
    names = one.changes.keys() | other.changes.keys()
    # Where things are on this machine, which /proc tells.
    builders = (PLACE, str(stage.app), str(stage.root.parent), str(scratch))
    steady = {
        name: one.changes[name]
        for name in sorted(names)
        if name in one.changes
        and name in other.changes
        and one.changes[name] == other.changes[name]
        and not any(place in (one.changes[name] or "") for place in builders)
    }
    unsteady = tuple(sorted(names - steady.keys()))
    return Ran(steady, unsteady, notes=one.notes)


@dataclass(frozen=True, slots=True)
class _Told:
    """What one run told."""

    changes: Mapping[str, str | None]
    notes: tuple[str, ...]


def _run(
    script: Script,
    variables: Mapping[str, str],
    surroundings: Surroundings,
    stage: Stage,
    place: Path,
) -> _Told | Ran | NotRun:
    result = place / "result"
    mounts = _mounts(surroundings, stage, place, result)
    given = {**surroundings.variables, **variables}
    given["PATH"] = f"{PROGRAMS}:{given['PATH']}"
    sandbox = replace(
        stage.sandbox,
        root=stage.root,
        uid=surroundings.uid,
        gid=surroundings.uid,
        hostname=surroundings.variables["HOSTNAME"],
    )
    with surroundings.processors():
        outcome = sandbox.run(
            [stage.shell, "-c", _words(script, surroundings, stage)],
            mounts=mounts,
            environment=given,
            directory="/",
            timeout=stage.timeout,
            largest_file=_LARGEST_FILE,
        )
    if _read(result / "began") is None:
        raise SandboxError(f"running {script.name}: {_first_line(outcome.output)}")
    return _told(outcome, result, given, stage.timeout)


def _mounts(surroundings: Surroundings, stage: Stage, place: Path, result: Path) -> list[Mount]:
    result.mkdir()
    mounts = [Mount(stage.app, "/app")]
    for name in _TOLD:
        (result / name).touch()
        (result / name).chmod(0o666)
        mounts.append(Mount(result / name, f"{_RESULT}/{name}", writable=True))
    told = place / "input"
    told.write_text(f"{surroundings.name}\n")
    mounts.append(Mount(told, f"{PLACE}/input"))
    mounts += pretended(surroundings, _directories(stage), place)
    return mounts


def _told(outcome: Outcome, result: Path, given: Mapping[str, str], timeout: float) -> _Told | Ran:
    if outcome.timed_out:
        return _unfit(f"did not end within {timeout:g} seconds: it is not run at all")
    raw = _read(result / "environ")
    if raw is None:
        return _unfit(f"ends the shell (status {outcome.status}): it is not run at all")
    if _read(result / "took-input") is not None:
        return _unfit("reads what is meant for the job: it is not run at all")
    after = _variables(raw)
    notes = []
    status = (_read(result / "status") or b"").strip()
    if status.isdigit() and int(status):
        notes.append(f"ends with status {int(status)}")
    if outcome.output.strip():
        notes.append(f"prints {_first_line(outcome.output)!r}")
    return _Told(_changes(given, after), tuple(notes))


def _directories(stage: Stage) -> list[ProgramDirectory]:
    """Where programs are: of the base, and of the prefix."""
    below = stage.app / stage.prefix.removeprefix("/app/")
    return [*program_directories(stage.root), *program_directories(below, stage.prefix)]


def _unfit(note: str) -> Ran:
    return Ran(notes=(note,), fit=False)


def _words(script: Script, surroundings: Surroundings, stage: Stage) -> str:
    """What the shell is told: in a process of its own, which may be ended by the script."""
    cat = next(
        (each for each in ("/usr/bin/cat", "/bin/cat") if os.path.lexists(f"{stage.root}{each}")),
        "cat",
    )
    # The process id differs by as many as were started before.
    forks = " ".join(["(:);"] * surroundings.forks)
    clock = "" if surroundings is ONE else "unset EPOCHSECONDS EPOCHREALTIME SECONDS; "
    inner = (
        f"umask 022; {surroundings.limits}"
        f'mkdir -p "$HOME" "$TMPDIR"; echo >{_RESULT}/began; exec <{PLACE}/input; {clock}'
        f". {shell_quoted(script.path)}\n"
        "pixi_ship_status=$?; set +eu; IFS= read -r pixi_ship_input; "
        f'[ "$pixi_ship_input" = {surroundings.name} ] || echo >{_RESULT}/took-input; '
        f'echo "$pixi_ship_status" >{_RESULT}/status; '
        f"exec {cat} /proc/self/environ >{_RESULT}/environ"
    )
    # Not the last command, which a shell may put in its own place.
    return f"{forks} {stage.shell} -c {shell_quoted(inner)}; exit $?"


def _changes(given: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    changes: dict[str, str | None] = {
        name: value.replace(f"{PROGRAMS}:", "")
        for name, value in after.items()
        if given.get(name) != value
    }
    changes |= dict.fromkeys(given.keys() - after.keys())
    return {
        name: value
        for name, value in changes.items()
        if _NAME.match(name) and not _SHELLS_OWN.match(name)
    }


def _variables(raw: bytes) -> dict[str, str]:
    """The content of ``environ`` (proc_pid_environ(5)); what is no UTF-8 is not taken."""
    found = {}
    for row in raw.split(b"\0"):
        name, equals, value = row.partition(b"=")
        if equals:
            try:
                found[name.decode("ascii")] = value.decode()
            except UnicodeDecodeError:
                continue
    return found


def _read(path: Path) -> bytes | None:
    """A file that the sandbox may have written; None where it wrote nothing, or far too much."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _MAX_RESULT:
            return None
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(_MAX_RESULT) or None
    finally:
        os.close(handle)


def _first_line(output: str) -> str:
    line = next(iter(output.strip().splitlines()), "nothing was said")
    return "".join(each if each.isprintable() else "?" for each in line)[:_SHOWN]
