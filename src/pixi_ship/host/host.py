"""Scripts and files to and from a host, by the connection that is open to it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pixi_ship.cache import replacing_directory
from pixi_ship.errors import SchedulerError
from pixi_ship.host import script
from pixi_ship.host.address import place
from pixi_ship.host.connection import Connection, HostError, last_line
from pixi_ship.scheduler.command import LIMIT, failed
from pixi_ship.scheduler.receive import move_in, receive

_BLOCK = 1 << 16
_LOST = 255  # of ssh: not the command's status, but an error of its own
_MISSING = 127
# Statuses of rsync (rsync(1), "EXIT VALUES") that tell of the connection: socket and stream
# errors, and time-outs. What vanished meanwhile is no error.
_RSYNC_LOST = frozenset({10, 12, 30, 35, _LOST})
_RSYNC_DONE = frozenset({0, 24})
_CLEAN_SHELL = "is your shell clean"


@dataclass(frozen=True, slots=True)
class Copy:
    """What goes to a host. options: of ``rsync``. sources: here. target: there."""

    options: tuple[str, ...]
    sources: tuple[str, ...]
    target: str

    def words(self, host: str) -> list[str]:
        """The words of ``rsync``, whose arguments no shell there gets to see (``-s``)."""
        return ["rsync", "-s", *self.options, *self.sources, place(host, self.target)]


class Host:
    """A host, as scripts and files of a job see it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def name(self) -> str:
        """As ``ssh`` takes it."""
        return self._connection.host

    def run(self, body: str, limit: float = LIMIT) -> tuple[int, str, str]:
        """Run a script: its status, output, and complaints. Raises HostError after ``limit`` s."""
        self._connection.open()
        with _stored(script.whole(body)) as stdin:
            try:
                done = subprocess.run(
                    self._line,
                    env=self._connection.environment,
                    stdin=stdin,
                    capture_output=True,
                    encoding="utf-8",
                    errors="replace",
                    timeout=limit,
                )
            except subprocess.TimeoutExpired:
                self._connection.close()
                raise HostError(f"{self.name} did not answer in {limit:g} s") from None
        answer = script.split_answer(done.stdout)
        if answer is None:
            raise self._lost(done.returncode, (done.stderr or done.stdout).strip()[-500:])
        return answer[1], answer[0], done.stderr

    def send(self, copy: Copy) -> None:
        """Copy to the host; raises HostError, SchedulerError."""
        self._rsync(copy.words(self.name)[1:])

    def bring(self, directory: str, here: Path, rules: str) -> None:
        """Copy files of a directory there into one here, by filter rules.

        Of symbolic links those that stay in the directory come. Each file appears when it is
        whole. Raises HostError, SchedulerError.
        """
        options = ("-s", "-rltE", "--safe-links", "--from0", "--exclude-from=-")
        self._rsync([*options, place(self.name, f"{directory}/"), f"{here}/"], rules)

    def unpack(self, words: Sequence[str], directory: Path, last: str) -> None:
        """Unpack the tar that a command there writes into a directory here."""
        self._connection.open()
        with (
            _stored(script.bare(script.command(words))) as stdin,
            replacing_directory(directory / "received") as fresh,
        ):
            status, why = receive(self._line, fresh, self._connection.environment, stdin)
            if status == _LOST:
                raise self._lost(status, why)
            if status:
                raise SchedulerError(f"{words[0]} on {self.name} brought no files: {why}")
            move_in(fresh, directory, last)

    def tail(self, path: str, start: int) -> Iterator[bytes]:
        """What a file there holds from a byte on, in blocks; nothing if there is none."""
        self._connection.open()
        with (
            _stored(script.bare(script.tail(path, start))) as stdin,
            tempfile.TemporaryFile() as complaints,
        ):
            with subprocess.Popen(
                self._line,
                env=self._connection.environment,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=complaints,
                bufsize=0,
            ) as process:
                while process.stdout and (block := process.stdout.read(_BLOCK)):
                    yield block
            if process.returncode == _LOST:
                raise self._lost(_LOST, last_line(complaints))
            if process.returncode:
                raise failed(f"tail on {self.name}", process.returncode, last_line(complaints))

    @property
    def _line(self) -> list[str]:
        return [*self._connection.words, self.name, "sh"]

    def _rsync(self, words: Sequence[str], rules: str = "") -> None:
        shell = " ".join(map(_shell_word, self._connection.words))
        program = self._connection.program("rsync")
        self._connection.open()
        with _stored(rules) as stdin, tempfile.TemporaryFile() as complaints:
            status = subprocess.run(
                [program, "-e", shell, *words],
                env=self._connection.environment,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
            ).returncode
            complaints.seek(0)
            said = complaints.read(1 << 20).decode("utf-8", "replace").strip()
        if status in _RSYNC_DONE:
            return
        if status == _MISSING:
            raise no_rsync(self.name)
        if _CLEAN_SHELL in said:
            raise SchedulerError(
                f"the login shell on {self.name} prints something before rsync can speak",
                hint="let its start-up files print to terminals alone",
            )
        if status in _RSYNC_LOST:
            raise self._lost(status, said.partition("\n")[0])
        raise failed(f"rsync with {self.name}", status, said)

    def _lost(self, status: int, why: str) -> HostError:
        broke = status in _RSYNC_LOST or status < 0
        what = f"the connection to {self.name} broke" if broke else f"{self.name} runs no script"
        return HostError(
            f"{what}: {why or f'it ended with status {status}'}",
            hint="run the same again when it can be reached",
        )


def no_rsync(host: str) -> SchedulerError:
    """The error of a host that cannot be given files."""
    return SchedulerError(f"there is no rsync on {host}", hint="have it installed there")


def _shell_word(word: str) -> str:
    """A word in ``rsync -e``: quoted, with its quotes doubled."""
    return "'" + word.replace("'", "''") + "'"


@contextmanager
def _stored(text: str) -> Iterator[IO[bytes]]:
    """A file with this text, to be read: a pipe might fill before anybody reads it."""
    with tempfile.TemporaryFile() as file:
        file.write(os.fsencode(text))
        file.seek(0)
        yield file
