"""Run a command and take its time, processor time, memory and disk, of all its processes.

Apptainer has its work done by processes of processes; :func:`bench.measure.run` looks at the
first only. Here they all count, and whatever ends the one that measures ends them too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.measure import CommandFailed, Sample, used
from bench.workspaces import ROOT

_INTERVAL = 0.1  # seconds between two looks at least
_SHARE = 20  # a look may take one part in so many of the time: there are two cores
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Command:
    """Words, variables (None: those of this process), and the directories that it may fill.

    directory: where it runs; None for the root of the repository.
    """

    words: tuple[str | Path, ...]
    env: Mapping[str, str] | None = None
    watched: tuple[Path, ...] = ()
    directory: Path | None = None


def run(command: Command) -> Sample:
    """Run a command to its end; raises CommandFailed with what it complained about.

    Of the sample ``rss`` is the most that all its processes had in memory at one time, and
    ``disk`` by how much the watched directories grew; both are looked at again and again.
    """
    before = used(command.watched)
    os.sync()  # or it would wait for what the last one wrote
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as complaints:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command.words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
            env=command.env,
            cwd=command.directory or ROOT,
            start_new_session=True,
        )
        watch = _Watch(process.pid, command.watched)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            # The group is its own, and its number not free before the process is waited for.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            watch.end()
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        complaints.seek(0)
        said = output.read()
        if process.returncode != 0:
            words = " ".join(str(word) for word in command.words)
            text = complaints.read()
            raise CommandFailed(f"{words}\n  exit {process.returncode}: {text or said}")
        # The largest process alone, where the system saw more of it than the looks did.
        memory = max(watch.memory, usage.ru_maxrss * 1024)
        cpu = usage.ru_utime + usage.ru_stime
        return Sample(wall, cpu, memory, 0, max(0, watch.disk - before), said)


class _Watch:
    """A thread that looks at the memory of processes and at directories, again and again."""

    def __init__(self, pid: int, directories: tuple[Path, ...]) -> None:
        self.memory = 0
        self.disk = 0
        self._pid = pid
        self._directories = directories
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Take a last look and stop."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        pause = _INTERVAL / 2  # the first look soon: some take no longer
        while not self._ended.wait(pause):
            start = time.perf_counter()
            self.memory = max(self.memory, sum(map(_resident, _family(self._pid))))
            self.disk = max(self.disk, used(self._directories))
            pause = max(_INTERVAL, _SHARE * (time.perf_counter() - start))
        self.disk = max(self.disk, used(self._directories))


def _family(pid: int) -> Iterator[int]:
    """A process and all that it and those started, as far as they still run (Linux)."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [word for task in tasks for word in (task / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield from _family(int(child))


def _resident(pid: int) -> int:
    """Bytes of memory; what processes share counts in each of them."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
