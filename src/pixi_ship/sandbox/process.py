"""Run one process to its end: its time, its output and what it leaves running are bounded."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

_KEPT_OUTPUT = 64 << 10  # bytes, from the end
_MAX_OUTPUT = 1 << 30  # bytes; who writes more is ended
_UMASK = 0o022
# The limits must hold before the command can start another process. POSIX counts files in blocks
# of 512 bytes; a limit that is lower already stays.
_BLOCK = 512  # bytes
_LIMITED = 'ulimit -c 0; ulimit -f "$0" 2>/dev/null; exec "$@"'
_POLL = 0.1  # seconds
_GRACE = 5.0  # seconds in which what was killed must be gone


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended; ``output`` is the end of what it wrote, both streams in one."""

    status: int
    output: str
    timed_out: bool = False
    wrote_too_much: bool = False


@dataclass(frozen=True, slots=True)
class _Output:
    """The end of what comes through a pipe, read by a thread of its own."""

    process: subprocess.Popen[bytes]
    pipe: int
    ended: Event = field(default_factory=Event)
    overflowed: Event = field(default_factory=Event)
    kept: deque[bytes] = field(default_factory=deque)

    def read(self) -> None:
        # What holds the pipe after the command's end must not hold us: no blocking read.
        kept = total = 0
        while True:
            if not select.select([self.pipe], [], [], _POLL)[0]:
                if self.ended.is_set():
                    return
                continue
            block = os.read(self.pipe, _KEPT_OUTPUT)
            if not block:
                return
            self.kept.append(block)
            kept += len(block)
            total += len(block)
            while kept - len(self.kept[0]) >= _KEPT_OUTPUT:
                kept -= len(self.kept.popleft())
            if total > _MAX_OUTPUT:
                self.overflowed.set()
                _end(self.process)
                return

    def text(self) -> str:
        return b"".join(self.kept)[-_KEPT_OUTPUT:].decode("utf-8", "replace")


def run_to_end(
    words: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path | None = None,
    timeout: float,
    largest_file: int,
    held: int | None = None,
) -> Outcome:
    """Run a command in a session of its own and wait; its process group ends with it.

    environment: all that it gets. timeout: seconds. largest_file: bytes. held: the write
    end of a pipe to hand on. Raises OSError where it cannot be started.
    """
    Path(words[0]).stat()  # raises what the shell would only print
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _LIMITED, str(largest_file // _BLOCK), *words],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=directory,
            umask=_UMASK,
            start_new_session=True,
            pass_fds=() if held is None else (held,),
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    try:
        return _waited(process, reading, timeout)
    finally:
        os.close(reading)


def _waited(process: subprocess.Popen[bytes], pipe: int, timeout: float) -> Outcome:
    output, timed_out = _Output(process, pipe), False
    reader = Thread(target=output.read, name="output")
    try:
        reader.start()
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
    finally:
        _end(process)
        process.wait()
        output.ended.set()
        if reader.ident is not None:
            reader.join(_GRACE)
    return Outcome(process.returncode, output.text(), timed_out, output.overflowed.is_set())


def _end(process: subprocess.Popen[bytes]) -> None:
    # The group, whose number is the process's own, outlives it where it has left something.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def gone(pipe: int) -> bool:
    """Whether nobody holds the other end of a pipe any more; waits some seconds for it."""
    while select.select([pipe], [], [], _GRACE)[0]:
        if not os.read(pipe, 4096):
            return True
    return False
