"""Become the runtime, or stand before it: the exit code is the command's, signals reach it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pixi_ship.runtime.find import RuntimeMissing
from pixi_ship.runtime.invocation import Invocation

# Python ignores these two; a program that inherits that would not end at a closed pipe.
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)
_PASSED_ON = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT),
)
_OF_TERMINALS = frozenset({signal.SIGINT, signal.SIGQUIT})
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def become(invocation: Invocation, caller: Mapping[str, str]) -> NoReturn:
    """Go on as the runtime's process, which then gets every signal and gives the exit code."""
    for each in _IGNORED:
        signal.signal(each, signal.SIG_DFL)
    os.execve(invocation.words[0], invocation.words, invocation.environment(caller))  # noqa: S606


def succeeds(invocation: Invocation, caller: Mapping[str, str], *, quiet: bool = True) -> bool:
    """Run a command that is no job to its end; quiet: what it complains of is not shown."""
    done = subprocess.run(
        invocation.words,
        env=invocation.environment(caller),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
    )
    return done.returncode == 0


def supervise(invocation: Invocation, caller: Mapping[str, str], *, terminal: bool) -> int:
    """Run bubblewrap and hand signals on to the command in it; returns the exit code.

    Bubblewrap itself dies of a signal and leaves its command behind, so this process stays,
    and is told the command's number by ``--info-fd``. terminal: Ctrl-C comes from one, which
    tells the command without our doing.
    """
    _adopt_orphans()
    told, info = os.pipe()
    words = [invocation.words[0], "--info-fd", str(info), *invocation.words[1:]]
    command = _Command(terminal)
    before = {each: signal.signal(each, command.hand_on) for each in _PASSED_ON}
    try:
        process = subprocess.Popen(
            words, env=invocation.environment(caller), pass_fds=[info], restore_signals=True
        )
        os.close(info)
        with os.fdopen(told, "rb") as said:
            command.started(said.read(1 << 16))
        return command.exit_code(process.wait())
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class _Command:
    """The command behind bubblewrap."""

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._pid: int | None = None
        self._waiting: list[int] = []

    def started(self, info: bytes) -> None:
        """Take bubblewrap's word for the process; there is none where it could not begin."""
        with suppress(ValueError, KeyError, TypeError):
            self._pid = int(json.loads(info)["child-pid"])
            for each in self._waiting:
                _send(self._pid, each)

    def hand_on(self, number: int, frame: FrameType | None) -> None:
        """A signal handler."""
        if self._terminal and number in _OF_TERMINALS:
            return
        if self._pid is None:
            self._waiting.append(number)
        else:
            _send(self._pid, number)

    def exit_code(self, status: int) -> int:
        """The command's, also where bubblewrap itself died of what the terminal sent to both."""
        if status < 0 and self._pid is not None:
            with suppress(ChildProcessError):
                _, found = os.waitpid(self._pid, 0)
                status = os.waitstatus_to_exitcode(found)
        return status if status >= 0 else 128 - status


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _adopt_orphans() -> None:
    """Let a command that lost bubblewrap become a child of this process."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def load_image(load: Invocation, archive: Path, caller: Mapping[str, str]) -> None:
    """Bring an archive into an engine's store, after which nobody needs it.

    Raises RuntimeMissing where the engine refuses.
    """
    if not succeeds(load, caller, quiet=False):
        raise RuntimeMissing(
            f"{Path(load.words[0]).name} did not take the image", hint=f"it was told: {load}"
        )
    archive.unlink(missing_ok=True)
