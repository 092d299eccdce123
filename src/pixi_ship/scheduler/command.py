"""A scheduler's commands: what drivers run them with, wherever that is, and how it is done here."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pixi_ship.cache import replacing_directory
from pixi_ship.errors import SchedulerError
from pixi_ship.scheduler.receive import move_in, receive

LIMIT = 120  # seconds that a scheduler may take to answer
_BLOCK = 1 << 16


class Commands(Protocol):
    """A machine that a scheduler is asked from."""

    def output(self, words: Sequence[str], directory: Path | None = None) -> str:
        """What a command prints; raises SchedulerError where it is missing or fails."""

    def attempt(self, words: Sequence[str]) -> str | None:
        """What a command prints; None where it fails or is missing."""

    def unpack(self, words: Sequence[str], directory: Path, last: str) -> None:
        """Unpack the tar that a command writes into a directory here; raises SchedulerError.

        Nothing appears before all has come, and ``last`` after everything else.
        """

    def tail(self, path: Path, start: int) -> Iterator[bytes]:
        """What a file holds from a byte on, as far as it is written; nothing if there is none."""


@dataclass(frozen=True, slots=True)
class LocalCommands:
    """Runs programs of this machine with the variables in ``environment``."""

    environment: Mapping[str, str]

    def output(self, words: Sequence[str], directory: Path | None = None) -> str:
        """What a command prints; raises SchedulerError where it is missing or fails."""
        done = self._run(words, directory)
        if done.returncode:
            raise failed(words[0], done.returncode, done.stderr or done.stdout)
        return done.stdout

    def attempt(self, words: Sequence[str]) -> str | None:
        """What a command prints; None where it fails or is missing."""
        try:
            return self.output(words)
        except SchedulerError:
            return None

    def unpack(self, words: Sequence[str], directory: Path, last: str) -> None:
        """Unpack the tar that a command writes into a directory here; raises SchedulerError."""
        with replacing_directory(directory / "received") as fresh:
            try:
                status, why = receive(words, fresh, self.environment)
            except FileNotFoundError:
                raise _missing(words[0]) from None
            if status:
                raise SchedulerError(f"{words[0]} brought no files: {why}")
            move_in(fresh, directory, last)

    def tail(self, path: Path, start: int) -> Iterator[bytes]:
        """What a file holds from a byte on, as far as it is written; nothing if there is none."""
        with suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(start)
            while block := file.read(_BLOCK):
                yield block

    def _run(
        self, words: Sequence[str], directory: Path | None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                list(words),
                cwd=directory,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=LIMIT,
            )
        except FileNotFoundError:
            raise _missing(words[0]) from None
        except subprocess.TimeoutExpired:
            raise SchedulerError(f"{words[0]} did not answer in {LIMIT} s") from None


def failed(program: str, status: int, said: str) -> SchedulerError:
    """The error of a command that ended with a status other than 0, and the end of what it said."""
    lines = said.strip().splitlines()
    return SchedulerError(f"{program} failed with status {status}: {' '.join(lines[-3:])}")


def _missing(program: str) -> SchedulerError:
    return SchedulerError(
        f"there is no {program} on this machine",
        hint="submit from a login node or with --host, or see the files with --dry-run",
    )
