"""Run a command and take its time, processor time, memory and disk.

`python bench/measure.py COMMAND...` does that and prints the sample as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

CORES = 2
INTERVAL = 0.1  # seconds between two looks at memory and disk


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. Seconds and bytes; ``cpu`` is user and system time of all its processes."""

    wall: float
    cpu: float
    rss: int
    worker_rss: int
    disk: int
    output: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians of the runs of one case, with the spread of ``wall``."""

    runs: int
    wall: float
    wall_min: float
    wall_max: float
    cpu: float
    rss: int
    worker_rss: int
    disk: int

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Summary:
        """Put the runs together."""
        walls = [each.wall for each in samples]
        return cls(
            runs=len(samples),
            wall=statistics.median(walls),
            wall_min=min(walls),
            wall_max=max(walls),
            cpu=statistics.median(each.cpu for each in samples),
            rss=int(statistics.median(each.rss for each in samples)),
            worker_rss=int(statistics.median(each.worker_rss for each in samples)),
            disk=int(statistics.median(each.disk for each in samples)),
        )

    def to_json(self) -> dict[str, object]:
        """For the report on disk."""
        return asdict(self)


class CommandFailed(RuntimeError):
    """A measured command did not end well."""


def use_two_cores() -> int:
    """Keep this process and what it starts on two cores; returns how many it has."""
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    return len(cores)


def run(command: Sequence[str | Path], *, watched: Iterable[Path] = ()) -> Sample:
    """Run a command to its end; raises CommandFailed with what it complained about.

    watched: the directories whose use of disk counts. Memory is the peak of the largest
    process, and beside it the sum of the peaks of those that it started.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as complaints:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
        )
        watch = _Watch(process.pid, tuple(watched))
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.end()
        if process.returncode != 0:
            complaints.seek(0)
            words = " ".join(str(word) for word in command)
            raise CommandFailed(f"{words}\n  exit {process.returncode}: {complaints.read()}")
        output.seek(0)
        return Sample(
            wall=wall,
            cpu=usage.ru_utime + usage.ru_stime,
            rss=_bytes(usage),
            worker_rss=sum(watch.workers.values()),
            disk=watch.disk,
            output=output.read(),
        )


def run_apart(command: Sequence[str | Path], *, directory: Path | None = None) -> Sample:
    """As :func:`run`, from a process of its own that is small.

    What the system tells as a child's peak is at least what its parent had when it started it:
    from a large process the memory of small ones cannot be seen. Raises CommandFailed.
    """
    apart = [sys.executable, str(Path(__file__).resolve()), *map(str, command)]
    done = subprocess.run(apart, capture_output=True, text=True, cwd=directory)
    if done.returncode != 0:
        words = " ".join(str(word) for word in command)
        raise CommandFailed(done.stderr.strip() or f"{words}\n  exit {done.returncode}")
    return Sample(**json.loads(done.stdout))


def _bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss if os.uname().sysname == "Darwin" else usage.ru_maxrss * 1024


class _Watch:
    """A thread that looks at a process' children and at directories, again and again."""

    def __init__(self, pid: int, directories: tuple[Path, ...]) -> None:
        self.workers: dict[int, int] = {}  # process → its peak, in bytes
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
        while not self._ended.wait(INTERVAL):
            for child in _children(self._pid):
                self.workers[child] = max(self.workers.get(child, 0), _peak(child))
            self.disk = max(self.disk, used(self._directories))
        self.disk = max(self.disk, used(self._directories))


def _children(pid: int) -> Iterator[int]:
    """The processes that ``pid`` started and that still run (Linux; elsewhere none)."""
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            yield from map(int, (task / "children").read_text().split())
    except OSError:
        return


def _peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def used(directories: Iterable[Path]) -> int:
    """Bytes on disk below directories, whoever adds or removes files meanwhile."""
    total = 0
    for directory in directories:
        for root, _, names in os.walk(directory):
            for name in names:
                try:
                    total += os.lstat(os.path.join(root, name)).st_blocks * 512  # noqa: PTH118
                except OSError:
                    continue
    return total


@dataclass(slots=True)
class Surroundings:
    """How busy the machine is while something is measured, looked at again and again."""

    loads: list[float] = field(default_factory=list)
    free: list[float] = field(default_factory=list)

    def look(self) -> None:
        """Once before the first round and once after each."""
        self.loads.append(os.getloadavg()[0])
        self.free.append(free_cores())

    def __str__(self) -> str:
        return (
            f"Load {min(self.loads):.1f}-{max(self.loads):.1f} (our own included); between "
            f"rounds, two busy processes got {', '.join(f'{each:.1f}' for each in self.free)} "
            "cores."
        )

    def to_json(self) -> dict[str, object]:
        """For the report on disk."""
        return {"load": self.loads, "free_cores": self.free}


def free_cores() -> float:
    """How many of two cores this process would get right now: 2.0 on an idle machine."""
    script = (
        "import time\n"
        "start = time.perf_counter()\n"
        "while time.process_time() < 0.5: pass\n"
        "print(0.5 / (time.perf_counter() - start))"
    )
    command = ["python3", "-I", "-S", "-c", script]
    burning = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(CORES)]
    return sum(min(1.0, float(each.communicate()[0])) for each in burning)


def _main() -> None:
    try:
        print(json.dumps(asdict(run(sys.argv[1:]))))
    except CommandFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main()
