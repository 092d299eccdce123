"""Jobs on this machine: each has a supervisor, and the log that it writes tells the rest.

A supervisor is known by process id, start time and boot, so that no other process is ever taken
for it; one that was killed leaves tasks that are lost, not tasks that run for ever.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from pixi_ship.errors import SchedulerError
from pixi_ship.job.local import log_name
from pixi_ship.job.spec import JobFiles
from pixi_ship.scheduler.command import Commands
from pixi_ship.scheduler.record import JobRecord
from pixi_ship.scheduler.state import State, Task
from pixi_ship.scheduler.supervisor import CANCEL, boot, kill_container, send, start_time

_MOST_LOG = 1 << 30  # bytes
_ENGINES = frozenset({"podman", "docker"})
_CONTAINER = re.compile(r"pixi-ship-[0-9a-f]{16}\Z")
_GONE = "its supervisor was killed"


class Local:
    """The machine that all of this runs on."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def submit(self, directory: Path, files: JobFiles) -> str:
        """Start the supervisor; returns its process id. Raises SchedulerError."""
        said = self._commands.output(files.submit, directory).strip()
        if not said.isdigit():
            raise SchedulerError(f"the supervisor said {said!r}, want a process id")
        return said

    def cancel(self, record: JobRecord) -> None:
        """End every task that has not ended; raises SchedulerError.

        Of an identifier ``PID_INDEX``, that task alone.
        """
        log = _read(record)
        _check_here(record, log)
        try:
            _cancel(record, log)
        except OSError as error:
            raise SchedulerError(
                f"cancelling job {record.identifier}: {error.strerror or error}"
            ) from error

    def fetch(self, record: JobRecord) -> list[int | None]:
        """Nothing: what a task leaves is here."""
        return []

    def tail(self, record: JobRecord, task: Task, name: str, start: int) -> Iterator[bytes]:
        """What a task has written to stdout.txt or stderr.txt by now, from a byte on."""
        return self._commands.tail(record.task_directory(task.index) / name, start)

    def explained(self, record: JobRecord, tasks: list[Task]) -> list[Task]:
        """The tasks as they are: what is known of them is in them."""
        return tasks

    def tasks(self, record: JobRecord) -> list[Task]:
        """Every task, in the order of the array; raises SchedulerError."""
        log = _read(record)
        _check_here(record, log)
        alive = log.boot == boot() and start_time(log.pid) == log.start
        # Read after that look: what a supervisor wrote before its end is in it.
        log = _read(record)
        return [_task(index, log, alive) for index in record.indices]


def _cancel(record: JobRecord, log: _Log) -> None:
    chosen = record.identifier.partition("_")[2]
    if chosen:
        with (record.directory / CANCEL).open("a") as file:
            file.write(f"{chosen}\n")
    if log.boot != boot():
        return
    if not send(log.pid, log.start, signal.SIGUSR1 if chosen else signal.SIGTERM):
        for index, (pid, start) in log.running.items():
            if not chosen or index == int(chosen):
                kill_container(_engines_kill(log.kill), index)
                send(pid, start, signal.SIGKILL, group=True)


def _engines_kill(words: Sequence[str]) -> tuple[str, ...]:
    """The words that end a container, by the engine that is found here; else none.

    A job can write into its directory: what its log says is no command to be run as it is.
    """
    match tuple(words):
        case (program, "kill", name) if _CONTAINER.match(name):
            engine = PurePath(program).name
            return (engine, "kill", name) if engine in _ENGINES else ()
    return ()


@dataclass(slots=True)
class _Log:
    """What a supervisor has written: of itself, of tasks that have ended, and of others."""

    pid: int = 0
    start: str = ""
    boot: str = ""
    host: str = ""
    kill: tuple[str, ...] = ()
    cancelled: bool = False
    broken: str = ""
    running: dict[int | None, tuple[int, str]] = field(default_factory=dict)
    ended: dict[int | None, Task] = field(default_factory=dict)

    def add(self, row: dict[str, object]) -> None:
        """Take a line in."""
        match row:
            case {"event": "supervisor", "pid": int(pid), "kill": list(words)}:
                self.pid, self.start = pid, str(row["start"])
                self.boot, self.host = str(row["boot"]), str(row["host"])
                self.kill = tuple(map(str, words))
            case {"event": "started", "index": int() | None as index, "pid": int(pid)}:
                self.running[index] = (pid, str(row["start"]))
            case {"event": "ended", "index": int() | None as index, "code": int() | None as code}:
                self.running.pop(index, None)
                state, reason = State(str(row["state"])), str(row["reason"])
                self.ended[index] = Task(index, state, code, reason)
            case {"event": "cancelled"}:
                self.cancelled = True
            case {"event": "broken"}:
                self.broken = str(row["reason"]).strip().rpartition("\n")[2]


def _read(record: JobRecord) -> _Log:
    path = record.directory / log_name(record.name)
    log = _Log()
    try:
        for row in _rows(path):
            log.add(row)
    except OSError as error:
        raise SchedulerError(f"reading {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, RecursionError) as error:
        raise SchedulerError(f"reading {path}: {error}") from error
    if not log.pid:
        raise SchedulerError(f"{path} says nothing of a supervisor")
    return log


def _rows(path: Path) -> Iterator[dict[str, object]]:
    if path.stat().st_size > _MOST_LOG:
        raise SchedulerError(f"{path} has more than {_MOST_LOG} bytes")
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):  # else it is being written
                row = json.loads(line)
                if isinstance(row, dict):
                    yield row


def _check_here(record: JobRecord, log: _Log) -> None:
    here = os.uname().nodename
    if log.boot != boot() and log.host != here:
        raise SchedulerError(
            f"{record.name} was started on {log.host}, and this is {here}", hint="ask there"
        )


def _task(index: int | None, log: _Log, alive: bool) -> Task:
    if (task := log.ended.get(index)) is not None:
        return task
    if alive:
        return Task(index, State.RUNNING if index in log.running else State.PENDING)
    if log.cancelled:
        return Task(index, State.CANCELLED)
    return Task(index, State.LOST, reason=log.broken or _GONE)
