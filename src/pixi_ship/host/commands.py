"""A scheduler's commands on a host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pixi_ship.errors import SchedulerError
from pixi_ship.host import script
from pixi_ship.host.connection import HostError
from pixi_ship.host.host import Host
from pixi_ship.scheduler.command import failed

_MISSING = 127  # POSIX.1-2017 "Exit Status for Commands"


class HostCommands:
    """Runs programs of a host (:class:`~pixi_ship.scheduler.command.Commands`).

    A connection that breaks is a HostError everywhere, so that nobody takes it for the
    scheduler's answer. keeps: what a command that runs in a directory prints is kept there as
    well, in script.ANSWER.
    """

    def __init__(self, host: Host, *, keeps: bool = False) -> None:
        self._host = host
        self._keeps = keeps

    def output(self, words: Sequence[str], directory: Path | None = None) -> str:
        """What a command prints; raises SchedulerError where it is missing or fails."""
        if directory is not None and self._keeps:
            body = script.kept_command(words, str(directory))
        else:
            body = script.command(words, None if directory is None else str(directory))
        status, said, complaints = self._host.run(body)
        if status == _MISSING:
            raise SchedulerError(
                f"there is no {words[0]} on {self._host.name}",
                hint="give a login node of the cluster to --host",
            )
        if status:
            raise failed(f"{words[0]} on {self._host.name}", status, complaints or said)
        return said

    def attempt(self, words: Sequence[str]) -> str | None:
        """What a command prints; None where it fails or is missing. Raises HostError."""
        try:
            return self.output(words)
        except HostError:
            raise
        except SchedulerError:
            return None

    def unpack(self, words: Sequence[str], directory: Path, last: str) -> None:
        """Unpack the tar that a command writes into a directory here; raises SchedulerError."""
        self._host.unpack(words, directory, last)

    def tail(self, path: Path, start: int) -> Iterator[bytes]:
        """What a file there holds from a byte on; nothing if there is none."""
        return self._host.tail(str(path), start)
