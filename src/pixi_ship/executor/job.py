"""Jobs of functions: what they are doing, and what came of them.

Names are those of submitit and concurrent.futures, for who knows them.
"""

from __future__ import annotations

import io
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar, cast

from pixi_ship.errors import SchedulerError, UsageError
from pixi_ship.executor.failure import JobFailed
from pixi_ship.executor.outcome import Outcome, read_outcome
from pixi_ship.executor.runner import RESULT
from pixi_ship.executor.surroundings import surroundings
from pixi_ship.over_ssh import SchedulerOverSSH
from pixi_ship.scheduler.record import JobRecord, SchedulerName, read_record, remember_ended
from pixi_ship.scheduler.state import State, Task
from pixi_ship.submit import Scheduler

R = TypeVar("R")

_FRESH = {SchedulerName.LOCAL: 0.05}  # seconds for which an answer of the scheduler is good
_FRESH_ELSEWHERE = 0.5
_FIRST_PAUSE = 0.1  # between two questions while one waits
_LONGEST_PAUSE = {SchedulerName.LOCAL: 0.5}
_LONGEST_PAUSE_ELSEWHERE = 10.0
_PATIENCE = 300.0  # for which a host or scheduler may be out of reach
_LATE = 5.0  # for which a shared directory may not show what a node wrote
_MOST_LINES, _MOST_BYTES = 20, 4000  # of stderr in an error


@dataclass(frozen=True, slots=True)
class JobPaths:
    """Where a job's files are; what is not there was not written, or not brought yet."""

    directory: Path
    stdout: Path
    stderr: Path
    result: Path


class Submission:
    """A job as the scheduler has it, with one task or many; one question serves all."""

    def __init__(self, record: JobRecord | None = None, driver: Scheduler | None = None) -> None:
        self._record, self._driver = record, driver
        self._lock = threading.Lock()
        self._tasks: dict[int | None, Task] = {}
        self._cancelled: set[int | None] = set()
        self._asked = float("-inf")

    def submitted(self, record: JobRecord, driver: Scheduler) -> None:
        """From now on the scheduler has it."""
        self._record, self._driver = record, driver

    @property
    def record(self) -> JobRecord:
        """What is known of it; raises UsageError where its batch was not submitted."""
        if self._record is None:
            raise UsageError(
                "the job is of a batch that was not submitted",
                hint="ask after the end of 'with executor.batch()'",
            )
        return self._record

    @property
    def driver(self) -> Scheduler:
        """The scheduler; raises UsageError where its batch was not submitted."""
        if self._driver is None:
            raise AssertionError(f"a job without a scheduler, {self.record}")
        return self._driver

    def task(self, index: int | None) -> Task:
        """What a task is doing, as it was half a second ago at most."""
        with self._lock:
            known = self._tasks.get(index)
            if known is not None and known.state.is_final and known.state is not State.LOST:
                return known
            fresh = _FRESH.get(self.record.scheduler, _FRESH_ELSEWHERE)
            if known is None or time.monotonic() - self._asked > fresh:
                self._tasks = {task.index: task for task in self.driver.tasks(self.record)}
                self._remember_cancelled()
                self._asked = time.monotonic()
            return self._tasks[index]

    def _remember_cancelled(self) -> None:
        """Slurm knows nothing of a task that was cancelled before it began."""
        for index in self._cancelled:
            if self._tasks[index].state is State.LOST:
                self._tasks[index] = Task(index, State.CANCELLED)
                remember_ended(self.record, [self._tasks[index]])

    def fetch(self) -> None:
        """Bring here what nodes keep to themselves."""
        with self._lock:
            self.driver.fetch(self.record)

    def cancel(self, index: int | None) -> None:
        """End the whole job, or a task of an array."""
        record = self.record
        if index is not None:
            record = replace(record, identifier=_task_identifier(record, index))
        with self._lock:
            self.driver.cancel(record)
            self._cancelled.add(index)
            self._asked = float("-inf")


def _task_identifier(record: JobRecord, index: int) -> str:
    """What the scheduler calls a task; HTCondor counts from 0."""
    if record.scheduler is SchedulerName.HTCONDOR:
        return f"{record.identifier}.{record.indices.index(index)}"
    return f"{record.identifier}_{index}"


class Job(Generic[R]):
    """A call that was submitted, or one of many that were submitted as an array."""

    def __init__(self, submission: Submission, index: int | None = None) -> None:
        self._submission = submission
        self._index = index
        self._outcome: Outcome | None = None

    @classmethod
    def load(cls, directory: str | Path, index: int | None = None) -> Job[object]:
        """The job in a directory, from any process; index: which of an array.

        Raises SchedulerError where there is none, UsageError for an index that it has not.
        """
        submission = _loaded(directory)
        record = submission.record
        if index not in record.indices:
            numbers = f"{record.indices[0]} to {record.indices[-1]}"
            hint = f"give index, {numbers}" if record.tasks else "it is no array"
            raise UsageError(f"the job in {record.directory} has no task {index}", hint=hint)
        return Job(submission, index)

    @classmethod
    def load_array(cls, directory: str | Path) -> list[Job[object]]:
        """Every job of the array in a directory, from any process; raises SchedulerError."""
        submission = _loaded(directory)
        return [Job(submission, index) for index in submission.record.indices]

    def __repr__(self) -> str:
        try:
            return f"<Job {self.job_id} in {self.directory}>"
        except UsageError:
            return f"<Job {self._index} of a batch>"

    @property
    def job_id(self) -> str:
        """What the scheduler calls it; of an array ``ID_INDEX``, or as HTCondor has it."""
        record = self._submission.record
        if self._index is None:
            return record.identifier
        return _task_identifier(record, self._index)

    @property
    def index(self) -> int | None:
        """Which of an array it is; None where it stands alone."""
        return self._index

    @property
    def directory(self) -> Path:
        """The directory of its own, where what it wrote is."""
        return self._submission.record.task_directory(self._index)

    @property
    def paths(self) -> JobPaths:
        """Where its files are."""
        there = self.directory
        return JobPaths(there, there / "stdout.txt", there / "stderr.txt", there / RESULT)

    @property
    def state(self) -> State:
        """What it is doing; raises SchedulerError."""
        return self._submission.task(self._index).state

    @property
    def exit_code(self) -> int | None:
        """How its process ended, as far as that is known; raises SchedulerError."""
        return self._submission.task(self._index).exit_code

    def done(self) -> bool:
        """Whether it has ended, well or not; raises SchedulerError."""
        return self.state.is_final

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or is held; raises TimeoutError, SchedulerError.

        timeout: in seconds; None for as long as it takes. A host that has answered once may be
        out of reach for some minutes.
        """
        name = self._submission.record.scheduler
        longest = _LONGEST_PAUSE.get(name, _LONGEST_PAUSE_ELSEWHERE)
        pause, started, answered = _FIRST_PAUSE, time.monotonic(), float("-inf")
        while True:
            try:
                task = self._submission.task(self._index)
            except SchedulerError:
                if time.monotonic() - answered > _PATIENCE:
                    raise
            else:
                answered = time.monotonic()
                if _over(task):
                    return
            left = None if timeout is None else timeout - (time.monotonic() - started)
            if left is not None and left <= 0:
                raise TimeoutError(f"{self._what} has not ended in {timeout:g} s")
            time.sleep(pause if left is None else min(pause, left))
            pause = min(pause * 1.3, longest)

    def result(self, timeout: float | None = None) -> R:
        """What the function returned; waits for it.

        Raises what the function raised; FunctionFailed where that cannot come back as it is;
        JobFailed where the job ended without; TimeoutError, SchedulerError.
        """
        outcome = self._ended(timeout)
        if outcome.error is not None:
            raise outcome.error
        return cast(R, outcome.value)

    def exception(self, timeout: float | None = None) -> Exception | None:
        """What :meth:`result` would raise, None for nothing; waits for it.

        Raises TimeoutError, SchedulerError.
        """
        return self._ended(timeout).error

    def stdout(self) -> str:
        """What it has printed, as far as that is here; raises SchedulerError."""
        return self._text(self.paths.stdout)

    def stderr(self) -> str:
        """What it wrote to standard error, as far as that is here; raises SchedulerError."""
        return self._text(self.paths.stderr)

    def cancel(self) -> None:
        """End it; of an array this one alone. Raises SchedulerError."""
        self._submission.cancel(self._index)

    @property
    def _what(self) -> str:
        return f"{self._submission.record.name} (job {self.job_id})"

    def _ended(self, timeout: float | None) -> Outcome:
        if self._outcome is None:
            self.wait(timeout)
            if (outcome := self._left()) is None:
                task = self._submission.task(self._index)
                outcome = self._failed(task)
                if not task.state.is_final or task.state is State.LOST:
                    return outcome  # a held job may be released, a lost one found
            self._outcome = outcome
        return self._outcome

    def _left(self) -> Outcome | None:
        """What it left, once it is here."""
        if not self.paths.result.exists():
            self._submission.fetch()
        shared = self._submission.record.scheduler is SchedulerName.SLURM
        ran = self._submission.task(self._index).exit_code in (0, 1)
        until = time.monotonic() + (_LATE if shared and ran else 0)
        while (outcome := read_outcome(self.directory, self._what)) is None:
            if time.monotonic() >= until:
                return None
            with suppress(OSError):
                list(self.directory.iterdir())  # NFS then asks its server
            time.sleep(_FIRST_PAUSE)
        return outcome

    def _failed(self, task: Task) -> Outcome:
        error = JobFailed(self._what, task.state, task.exit_code, task.reason, self._last_words())
        return Outcome(error=error)

    def _last_words(self) -> str:
        text = self._text(self.paths.stderr, _MOST_BYTES)
        lines = text.splitlines()[-_MOST_LINES:]
        # Nothing that a terminal would take for a command.
        return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines)

    def _text(self, path: Path, most: int | None = None) -> str:
        """What a file holds; most: bytes, of its end."""
        if not path.exists() and self.done():
            self._submission.fetch()
        try:
            with path.open("rb") as file:
                if most is not None:
                    file.seek(max(0, path.stat().st_size - most))
                return io.TextIOWrapper(file, "utf-8", "replace").read()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise SchedulerError(f"reading {path}: {error.strerror or error}") from error


def _over(task: Task) -> bool:
    return task.state.is_final or task.state is State.HELD


def _loaded(directory: str | Path) -> Submission:
    around = surroundings()
    record = read_record(around.directory / directory)
    host = record.there.host if record.there else None
    driver = around.scheduler(record.scheduler, host)
    if isinstance(driver, SchedulerOverSSH):
        record = driver.resumed(record)
    return Submission(record, driver)
