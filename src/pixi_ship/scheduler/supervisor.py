"""The process behind a job of the local scheduler: it starts the tasks, watches and ends them.

It is run as a file, by any Python from 3.11 on and with nothing but the standard library, in
the job's directory. What happens is appended to a log, one JSON object a line, which is all
that others know of it. Source of the process facts: proc_pid_stat(5), prctl(2), pidfd_open(2).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

CANCEL = "cancel"  # a file with the numbers of tasks that are to be cancelled
_GRACE = 10.0  # seconds that a task has from SIGTERM on
_ROUNDS = 100  # of looking for processes that are still there
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_STOPS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def start_time(pid: int) -> str | None:
    """When a process began, in the system's own terms; None where it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None if Path("/proc/self/stat").exists() else _start_by_ps(pid)
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _start_by_ps(pid: int) -> str | None:
    words = ("/bin/ps", "-o", "stat=,lstart=", "-p", str(pid))
    # Who asks may have another time zone and language than the one who submitted.
    same = {"LC_ALL": "C", "TZ": "UTC0"}
    said = subprocess.run(words, capture_output=True, text=True, env=same).stdout.split()
    return None if not said or said[0].startswith("Z") else " ".join(said[1:])


def boot() -> str:
    """What is the same until this machine starts anew, and on no other machine."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def send(pid: int, start: str, number: int, *, group: bool = False) -> bool:
    """Signal the process that began then, or its group; False where it has ended."""
    try:
        handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    except OSError:
        return False
    try:
        # The handle is of one process for good: what is looked at is what is signalled.
        if start_time(pid) != start:
            return False
        if group:
            os.killpg(pid, number)
        elif handle is not None:
            signal.pidfd_send_signal(handle, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        return False
    finally:
        if handle is not None:
            os.close(handle)
    return True


@dataclass(slots=True)
class _Task:
    """A task that runs; ends_by: when it is told to end, or made to."""

    index: int | None
    process: subprocess.Popen[bytes]
    ends_by: float
    reason: str = ""  # why it was told to end
    forced: bool = False


@dataclass(slots=True)
class _Supervisor:
    """The tasks of one job."""

    asked: argparse.Namespace
    log: int
    waiting: Iterator[int | None]
    running: dict[int, _Task] = field(default_factory=dict)
    stopping: bool = False

    def note(self, event: str, **facts: object) -> None:
        """Append to the log; one write, so that no reader finds half of two lines."""
        os.write(self.log, (json.dumps({"event": event, **facts}) + "\n").encode())

    def run(self, wakeup: int) -> None:
        """Until every task has ended."""
        self._fill()
        while self.running:
            now = time.monotonic()
            due = min(task.ends_by for task in self.running.values())
            select.select([wakeup], [], [], None if due == float("inf") else max(0.0, due - now))
            with suppress(BlockingIOError):
                for number in os.read(wakeup, 1 << 16):
                    self._heed(number)
            self._reap()
            self._end_late()
            self._fill()

    def _heed(self, number: int) -> None:
        if number in _STOPS and not self.stopping:
            self.stopping = True
            self.note("cancelled")
            self.waiting = iter(())
            for task in self.running.values():
                self._end(task, "cancelled")
        elif number == signal.SIGUSR1:
            with suppress(OSError, ValueError):
                self._cancel({int(row) for row in Path(CANCEL).read_text().split()})

    def _cancel(self, chosen: Set[int | None]) -> None:
        rest = []
        for index in self.waiting:
            if index in chosen:
                self.note("ended", index=index, state="cancelled", code=None, reason="")
            else:
                rest.append(index)
        self.waiting = iter(rest)
        for task in self.running.values():
            if task.index in chosen:
                self._end(task, "cancelled")

    def _fill(self) -> None:
        while len(self.running) < self.asked.at_once:
            try:
                index = next(self.waiting)
            except StopIteration:
                return
            self._start(index)

    def _start(self, index: int | None) -> None:
        folder = Path() if index is None else Path(f"task-{index}")
        words = ["/bin/sh", self.asked.script, *([] if index is None else [str(index)])]
        try:
            folder.mkdir(exist_ok=True)
            (folder / "exit-code").unlink(missing_ok=True)
            with (folder / "stdout.txt").open("wb") as out, (folder / "stderr.txt").open("wb") as e:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=e,
                    start_new_session=True,
                    preexec_fn=_dies_with(os.getpid()),
                )
        except OSError as error:
            self.note("ended", index=index, state="failed", code=None, reason=str(error))
            return
        limit = self.asked.time
        ends_by = time.monotonic() + limit if limit else float("inf")
        self.running[process.pid] = _Task(index, process, ends_by)
        self.note("started", index=index, pid=process.pid, start=start_time(process.pid))

    def _end(self, task: _Task, reason: str) -> None:
        """Ask a task to end, and soon make it."""
        if not task.reason:
            task.reason = reason
            task.ends_by = time.monotonic() + self.asked.grace
            first = task.process.pid
            behind = _descendants(first) if self.asked.behind else []
            for pid in behind:
                _kill(pid, signal.SIGTERM)
            if not behind:
                _kill_group(first, signal.SIGTERM)

    def _end_late(self) -> None:
        now = time.monotonic()
        for task in [each for each in self.running.values() if each.ends_by <= now]:
            if not task.reason:
                self._end(task, "timeout")
            elif not task.forced:
                task.forced = True
                task.ends_by = float("inf")
                kill_container(self.asked.kill, task.index)
                _kill_group(task.process.pid, signal.SIGKILL)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if task := self.running.pop(pid, None):
                    task.process.returncode = os.waitstatus_to_exitcode(status)
                    self._ended(task, task.process.returncode)

    def _ended(self, task: _Task, status: int) -> None:
        # What it left in the background is no task's; the group is there for as long as one is.
        _kill_group(task.process.pid, signal.SIGKILL)
        code = status if status >= 0 else 128 - status
        state = "failed" if code or task.reason else "done"
        if task.reason == "cancelled":
            state = "cancelled"
        else:
            folder = Path() if task.index is None else Path(f"task-{task.index}")
            with suppress(OSError):
                (folder / "exit-code").write_text(f"{code}\n")
        reason = "" if state == "cancelled" else task.reason
        self.note("ended", index=task.index, state=state, code=code, reason=reason)


def _dies_with(parent: int) -> Callable[[], None]:
    """What a child does before its program: it is told to end when this process is killed."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare() -> None:
        if library is not None:
            library.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


def _kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _kill_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def kill_container(words: Sequence[str], index: int | None) -> None:
    """Have a container engine end a task's container, which is no child of anybody here.

    words: a command whose last word a task's number completes.
    """
    if words:
        name = words[-1] + ("" if index is None else f"-{index}")
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [*words[:-1], name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=60,
            )


def _descendants(root: int) -> list[int]:
    """All that came from a process, and what was left to it."""
    above: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = path.read_text("utf-8", "replace").rpartition(")")[2].split()
            if fields[0] not in "ZX":
                above[int(path.parent.name)] = int(fields[1])
    found, new = set[int](), {root}
    while new:
        new = {pid for pid, parent in above.items() if parent in new} - found
        found |= new
    return sorted(found)


def _end_all() -> None:
    for _ in range(_ROUNDS):
        left = _descendants(os.getpid())
        if not left:
            return
        for pid in left:
            _kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)


def _numbers(text: str | None) -> Iterator[int | None]:
    if text is None:
        yield None
        return
    first, last, step = map(int, text.split(":"))
    yield from range(first, last + 1, step)


def _asked(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the tasks of a job here, in the background.")
    parser.add_argument("--tasks", metavar="FIRST:LAST:STEP", help="of an array")
    parser.add_argument("--at-once", type=int, metavar="N", help="tasks, at most")
    parser.add_argument("--cpus", type=int, default=1, metavar="N", help="of a task")
    parser.add_argument("--time", type=int, metavar="SECONDS", help="of a task")
    parser.add_argument("--grace", type=float, default=_GRACE, metavar="SECONDS", help="to end in")
    parser.add_argument(
        "--behind", action="store_true", help="SCRIPT becomes what dies without its command"
    )
    parser.add_argument("--kill", default=(), type=json.loads, metavar="JSON", help="a command")
    parser.add_argument("script", metavar="SCRIPT")
    parser.add_argument("log", metavar="LOG")
    asked = parser.parse_args(words)
    if asked.at_once is None:
        asked.at_once = max(1, _cores() // asked.cpus)
    return asked


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _facts(asked: argparse.Namespace) -> Mapping[str, object]:
    own = os.getpid()
    there = {"pid": own, "start": start_time(own), "boot": boot(), "host": os.uname().nodename}
    return {**there, "kill": list(asked.kill)}


def _supervise(asked: argparse.Namespace, told: int) -> None:
    """All that happens in the process that stays; told: where it says that it is there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    supervisor = _Supervisor(asked, os.open(asked.log, flags, 0o644), _numbers(asked.tasks))
    wakeup, other = os.pipe()
    for end in (wakeup, other):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(other, warn_on_full_buffer=False)
    for number in (*_STOPS, signal.SIGUSR1, signal.SIGCHLD):
        signal.signal(number, lambda number, frame: None)
    # An engine's own processes outlive its containers, and serve other jobs too.
    ours = sys.platform == "linux" and not asked.kill
    if ours:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    supervisor.note("supervisor", **_facts(asked))
    os.write(told, str(os.getpid()).encode())
    os.close(told)
    try:
        supervisor.run(wakeup)
    except BaseException:
        supervisor.note("broken", reason=traceback.format_exc())
        raise
    finally:
        if ours:
            _end_all()
    supervisor.note("finished")


def main(words: Sequence[str] | None = None) -> int:
    """Leave a supervisor behind in a session of its own, and print its process id."""
    asked = _asked(words)
    listen, told = os.pipe()
    if os.fork():
        os.close(told)
        with os.fdopen(listen, "rb") as said:
            pid = said.read()
        if not pid:
            sys.stderr.write("the job's supervisor did not start\n")
            return 1
        sys.stdout.write(f"{pid.decode()}\n")
        return 0
    status = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        _supervise(asked, told)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
