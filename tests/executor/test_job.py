"""A job asks its scheduler no more than it must, calls tasks as that does, and believes neither a
queue that forgets nor a directory that is slow to show.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pixi_ship.errors import SchedulerError
from pixi_ship.executor import Job, JobFailed
from pixi_ship.executor import job as module
from pixi_ship.executor.job import Submission
from pixi_ship.executor.runner import RESULT
from pixi_ship.host.connection import HostError
from pixi_ship.job.spec import JobFiles, Tasks
from pixi_ship.scheduler.record import JobRecord, SchedulerName, recall_ended
from pixi_ship.scheduler.state import State, Task

DONE = json.dumps({"format": 1, "outcome": "returned"}).encode() + b"\n" + pickle.dumps(7)


class Driver:
    """Says one thing after the other, and the last for ever."""

    def __init__(
        self,
        *answers: Sequence[Task] | HostError,
        brings: Callable[[], None] | None = None,
    ) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.fetched = 0
        self.cancelled: list[str] = []
        self.brings = brings

    def submit(self, directory: Path, files: JobFiles) -> str:
        raise NotImplementedError

    def cancel(self, record: JobRecord) -> None:
        self.cancelled.append(record.identifier)

    def fetch(self, record: JobRecord) -> list[int | None]:
        self.fetched += 1
        if self.brings:
            self.brings()
        return []

    def tail(self, record: JobRecord, task: Task, name: str, start: int) -> Iterator[bytes]:
        raise AssertionError("nobody follows")

    def explained(self, record: JobRecord, tasks: list[Task]) -> list[Task]:
        return tasks

    def tasks(self, record: JobRecord) -> list[Task]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, HostError):
            raise answer
        return list(answer)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is good for the next question, and nothing is waited for."""
    monkeypatch.setattr(module, "_FRESH_ELSEWHERE", -1.0)
    monkeypatch.setattr(module, "_FRESH", {})
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(module, "_LATE", 0.0)


Recorded = Callable[..., JobRecord]


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    def make(name: SchedulerName, tasks: Tasks | None = None) -> JobRecord:
        record = JobRecord(tmp_path / "fit-1", name, "12", "fit", "sif:x", tasks, (RESULT,))
        for index in record.indices:
            record.task_directory(index).mkdir(parents=True, exist_ok=True)
        return record

    return make


def one(state: State, code: int | None = None, reason: str = "") -> list[Task]:
    return [Task(None, state, code, reason)]


def test_it_waits(recorded: Recorded) -> None:
    record = recorded(SchedulerName.SLURM)
    (record.directory / RESULT).write_bytes(DONE)
    driver = Driver(one(State.PENDING), one(State.RUNNING), one(State.DONE, 0))
    job = Job[int](Submission(record, driver))
    assert job.result() == 7
    assert driver.asked == 3
    assert (job.result(), job.state, job.done()) == (7, State.DONE, True)
    assert (driver.asked, driver.fetched) == (3, 0), "what has ended is not asked for again"


def test_a_host_that_is_out_of_reach(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """For some minutes, where it answered once; what never did is an error at once."""
    record = recorded(SchedulerName.SLURM)
    (record.directory / RESULT).write_bytes(DONE)
    gone = HostError("no route to cluster")
    driver = Driver(one(State.RUNNING), gone, gone, one(State.DONE, 0))
    assert Job[int](Submission(record, driver)).result() == 7
    with pytest.raises(HostError):
        Job[int](Submission(record, Driver(gone))).wait()
    monkeypatch.setattr(module, "_PATIENCE", -1.0)
    with pytest.raises(HostError):
        Job[int](Submission(record, Driver(one(State.RUNNING), gone))).wait()


def test_one_question_serves_an_array(recorded: Recorded) -> None:
    record = recorded(SchedulerName.SLURM, Tasks(0, 29))
    for index in record.indices:
        (record.task_directory(index) / RESULT).write_bytes(DONE)
    driver = Driver([Task(index, State.DONE, 0) for index in range(30)])
    submission = Submission(record, driver)
    assert [Job[int](submission, index).result() for index in range(30)] == [7] * 30
    assert driver.asked == 1


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        (SchedulerName.SLURM, "12_7"),
        (SchedulerName.LOCAL, "12_7"),
        (SchedulerName.HTCONDOR, "12.2"),
    ],
)
def test_what_a_task_is_called(recorded: Recorded, name: SchedulerName, identifier: str) -> None:
    """HTCondor counts processes from 0, whatever the array's numbers are."""
    driver = Driver([Task(each, State.RUNNING) for each in (1, 4, 7)])
    submission = Submission(recorded(name, Tasks(1, 7, 3)), driver)
    job = Job[int](submission, 7)
    assert job.job_id == identifier
    job.cancel()
    assert driver.cancelled == [identifier]
    submission.cancel(None)
    assert driver.cancelled[1:] == ["12"]


def test_a_task_that_was_cancelled_before_it_began(recorded: Recorded) -> None:
    """Slurm forgets it at once; what is known of it stays with the job."""
    record = recorded(SchedulerName.SLURM, Tasks(0, 1))
    driver = Driver([Task(0, State.PENDING), Task(1, State.LOST)])
    job = Job[int](Submission(record, driver), 1)
    states = [job.state]
    job.cancel()
    assert [*states, job.state] == [State.LOST, State.CANCELLED]
    assert recall_ended(record) == {1: Task(1, State.CANCELLED)}
    with pytest.raises(JobFailed, match="is cancelled, and left no result"):
        job.result()


@pytest.mark.parametrize(
    ("state", "code", "reason", "words"),
    [
        (State.HELD, None, "no such image", r"is held \(no such image\), and left no result"),
        (State.LOST, None, "", "is lost, and left no result"),
        (State.FAILED, 253, "out of memory", r"is failed with exit code 253 \(out of memory\)"),
    ],
)
def test_jobs_without_a_result(
    recorded: Recorded, state: State, code: int | None, reason: str, words: str
) -> None:
    driver = Driver(one(state, code, reason))
    job = Job[int](Submission(recorded(SchedulerName.SLURM), driver))
    with pytest.raises(JobFailed, match=words) as caught:
        job.result()
    error = caught.value
    assert (error.state, error.status, error.reason) == (state, code, reason)
    assert (job.exception() is error) == (state is State.FAILED)
    assert driver.fetched > 0, "it may lie on a node"
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.state, copy.status) == (str(error), state, code)


@pytest.mark.parametrize("state", [State.HELD, State.LOST])
def test_a_job_that_goes_on(recorded: Recorded, state: State) -> None:
    """Somebody released it, or the scheduler is there again."""
    record = recorded(SchedulerName.SLURM)
    driver = Driver(one(state))
    job = Job[int](Submission(record, driver))
    assert isinstance(job.exception(), JobFailed)
    (record.directory / RESULT).write_bytes(DONE)
    driver.answers = [one(State.RUNNING), one(State.DONE, 0)]
    assert job.result() == 7


def test_the_end_of_stderr(recorded: Recorded) -> None:
    record = recorded(SchedulerName.SLURM)
    lines = "".join(f"line {number}\n" for number in range(99)) + "\x1b[31mred\r\n"
    (record.directory / "stderr.txt").write_text(lines)
    job = Job[int](Submission(record, Driver(one(State.FAILED, 9))))
    error = job.exception()
    assert isinstance(error, JobFailed)
    assert error.stderr.splitlines()[0] == "line 80"
    assert error.stderr.splitlines()[-1] == " [31mred"
    assert "\x1b" not in str(error)
    with (record.directory / "stderr.txt").open("ab") as file:
        file.truncate(1 << 40)  # more than fits into memory
        file.seek(0, 2)
        file.write("\nthe é end\n".encode())
    error = Job[int](Submission(record, Driver(one(State.FAILED, 9)))).exception()
    assert isinstance(error, JobFailed)
    assert error.stderr.splitlines()[-1] == "the é end"


def test_output_that_cannot_be_read(recorded: Recorded) -> None:
    record = recorded(SchedulerName.SLURM)
    (record.directory / "stdout.txt").mkdir()
    job = Job[int](Submission(record, Driver(one(State.DONE, 0))))
    with pytest.raises(SchedulerError, match=r"reading .*stdout\.txt: Is a directory"):
        job.stdout()


def test_what_lies_on_a_node_is_brought(recorded: Recorded) -> None:
    record = recorded(SchedulerName.SLURM)

    def bring() -> None:
        (record.directory / RESULT).write_bytes(DONE)
        (record.directory / "stdout.txt").write_text("said")

    driver = Driver(one(State.RUNNING), one(State.DONE, 0), brings=bring)
    job = Job[int](Submission(record, driver))
    assert job.stdout() == ""
    assert driver.fetched == 0, "it runs"
    assert job.result() == 7
    assert (job.stdout(), driver.fetched) == ("said", 1)


def test_a_directory_that_is_slow_to_show(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node of Slurm wrote the result, and the file server tells it later."""
    monkeypatch.setattr(module, "_LATE", 600.0)
    record = recorded(SchedulerName.SLURM)
    (record.directory / RESULT).write_bytes(b"")
    seen: list[float] = []

    def sleep(seconds: float) -> None:
        seen.append(seconds)
        if len(seen) == 3:
            (record.directory / RESULT).write_bytes(DONE)

    monkeypatch.setattr(time, "sleep", sleep)
    assert Job[int](Submission(record, Driver(one(State.DONE, 0)))).result() == 7
    assert len(seen) == 3
