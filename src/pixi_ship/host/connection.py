"""One connection to a host for many commands, also of many processes: passwords are typed once.

The first process leaves an ``ssh`` behind that holds the connection, and ends after ten minutes
without use; the others reach it by a socket in a directory that only this user can enter.
Source: ssh(1) ``-M``, ``-O``, ``-S``; ssh_config(5) ``ControlPersist``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from pixi_ship.cache import alone
from pixi_ship.errors import SchedulerError
from pixi_ship.host.address import checked_host

_PERSIST = 600  # seconds that a connection is kept for the next process
_LOGIN = 300  # seconds for a person to type passwords
_ASK = 20  # seconds for the ssh that holds the connection to say so
_MOST_SOCKET = 104 - 18  # bytes of sun_path (macOS), less what ssh adds while it makes it
_OPTIONS = (
    *("-T", "-x", "-a"),  # no terminal, no windows, no keys of this machine there
    *("-o", "ClearAllForwardings=yes", "-o", "PermitLocalCommand=no", "-o", "RemoteCommand=none"),
)
_MASTER = (
    *("-M", "-N", "-f", "-o", f"ControlPersist={_PERSIST}", "-o", "ConnectTimeout=30"),
    # A laptop that slept finds its connection dead, and not silent for ever.
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"),
)


class HostError(SchedulerError):
    """A host cannot be reached, or the connection to it broke."""


class Connection:
    """A connection to a host, opened when it is needed.

    environment: the variables that ``ssh`` and ``rsync`` are found and run with. sockets: a
    directory, made for this user alone. terminal: whether ``ssh`` may speak to a person while
    it connects; what it complains of is in the error otherwise.
    """

    def __init__(
        self, host: str, environment: Mapping[str, str], sockets: Path, *, terminal: bool = False
    ) -> None:
        self.host = checked_host(host)
        self.environment = dict(environment)
        self._directory = sockets / hashlib.sha256(host.encode()).hexdigest()[:12]
        self._socket = self._directory / "s"
        self._terminal = terminal

    def program(self, name: str) -> str:
        """Where a program of this machine is; raises SchedulerError."""
        found = shutil.which(name, path=self.environment.get("PATH", os.defpath))
        if found is None:
            raise SchedulerError(
                f"there is no {name} on this machine",
                hint=f"--host needs ssh and rsync: install {name}",
            )
        return found

    @property
    def words(self) -> list[str]:
        """``ssh`` and its options, without the host."""
        return [self.program("ssh"), "-S", str(self._socket).replace("%", "%%"), *_OPTIONS]

    def open(self) -> None:
        """Connect, unless a process of this user has done so; raises HostError."""
        words = self.words
        self._prepare()
        if self._answers(words):
            return
        with alone(self._directory):
            if not self._answers(words):  # nobody was quicker
                self._socket.unlink(missing_ok=True)
                self._connect(words)

    def close(self) -> None:
        """End the connection, also for other processes."""
        with suppress(OSError, subprocess.TimeoutExpired):
            self._control(self.words, "exit")

    def _answers(self, words: Sequence[str]) -> bool:
        try:
            return self._control(words, "check") == 0
        except subprocess.TimeoutExpired:
            return False

    def _control(self, words: Sequence[str], what: str) -> int:
        return subprocess.run(
            [*words, "-O", what, self.host],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_ASK,
        ).returncode

    def _connect(self, words: Sequence[str]) -> None:
        # Not by a pipe: older versions keep it open for as long as the connection lasts.
        with tempfile.TemporaryFile(dir=self._directory) as complaints:
            try:
                status = subprocess.run(
                    [*words, *_MASTER, self.host],
                    env=self.environment,
                    stdin=subprocess.DEVNULL,  # passwords are read from the terminal
                    stdout=subprocess.DEVNULL,
                    stderr=None if self._terminal else complaints,
                    timeout=_LOGIN,
                ).returncode
            except subprocess.TimeoutExpired:
                raise self._refused(f"no login in {_LOGIN} s") from None
            if status:
                usual = f"ssh ended with status {status}"
                raise self._refused(last_line(complaints) or usual)

    def _refused(self, why: str) -> HostError:
        return HostError(
            f"connecting to {self.host}: {why}",
            hint=f"'ssh {self.host}' must work first: it says more, and asks what is to be settled",
        )

    def _prepare(self) -> None:
        if len(os.fsencode(self._socket)) > _MOST_SOCKET:
            raise HostError(
                f"{self._socket} is too long a path for a socket",
                hint="set XDG_RUNTIME_DIR to a directory with a short path",
            )
        for directory in (self._directory.parent, self._directory):
            make_private(directory)


def socket_directory(environment: Mapping[str, str], user: int) -> Path:
    """Where a user's processes find each other's connections."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    return Path(runtime, "pixi-ship") if runtime else Path(f"/tmp/pixi-ship-{user}")  # noqa: S108


def make_private(directory: Path) -> None:
    """Make a directory that only this user can enter; raises HostError for one that is not so."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise HostError(
            f"making {directory} for the connection: {error.strerror}",
            hint="set XDG_RUNTIME_DIR to a directory of yours",
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise HostError(
            f"{directory} is not for this user alone, and a connection would stand open to others",
            hint="remove it, or set XDG_RUNTIME_DIR to a directory of yours",
        )


def last_line(complaints: IO[bytes]) -> str:
    """The last line of what a program complained of, from a file."""
    complaints.seek(0)
    lines = complaints.read(1 << 20).decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:500]
