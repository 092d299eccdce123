"""Processes that outlive the program that started them, ended by number and never by name."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

_DEAD = ("Z", "X")
_LOOK = 0.01  # seconds between two looks at a process that was told to end


@dataclass(frozen=True, slots=True)
class Process:
    """A process, known by its number and by when it started: numbers are used again.

    started: clock ticks since this machine booted, field 22 of proc_pid_stat(5).
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this number now; raises ProcessLookupError."""
        stat = _stat(pid)
        if stat is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(pid, stat[1])

    @classmethod
    def from_json(cls, document: Mapping[str, int]) -> Process:
        """The reverse of `to_json`."""
        return cls(document["pid"], document["started"])

    def to_json(self) -> dict[str, int]:
        """What the lab's state says of it."""
        return {"pid": self.pid, "started": self.started}

    def alive(self) -> bool:
        """Whether it runs."""
        stat = _stat(self.pid)
        return stat is not None and stat[1] == self.started and stat[0] not in _DEAD

    def kill(self, patience: float = 30.0) -> None:
        """End it at once and wait until it is gone; raises LabError after `patience` seconds."""
        end = time.monotonic() + patience
        while self.alive():
            if time.monotonic() > end:
                raise LabError(f"ending process {self.pid}: it still runs after {patience:.0f} s")
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            time.sleep(_LOOK)


def detach(what: str, command: Sequence[str], log: Path) -> Process:
    """Start a command that nobody waits for, and which prints its own process id when it is ready.

    log: what it says on stderr. Raises LabError when it ends instead.
    """
    with log.open("ab") as errors:
        starter = subprocess.Popen(
            ["setsid", "--fork", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd="/",
        )
    # One line, not all of it: `unshare` keeps its end of the pipe as long as the machine lives.
    with starter, starter.stdout or log.open("rb") as said:
        line = said.readline()
    try:
        return Process.of(int(line))
    except (ValueError, ProcessLookupError):
        raise LabError(f"starting {what}: it ended at once", hint=f"see {log}") from None


def _stat(pid: int) -> tuple[str, int] | None:
    """The state and the start of a process; None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name is in parentheses and may hold any character; the state follows it.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])
