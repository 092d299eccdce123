"""Functions as local jobs: arguments, results and exceptions come back as they are; arrays,
batches, time, cancelling, killed processes, and other processes that go on with a job.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pixi_ship
from pixi_ship.errors import SchedulerError, UsageError
from pixi_ship.executor import Executor, FunctionFailed, Job, JobFailed, RemoteTraceback
from pixi_ship.scheduler.record import read_record
from pixi_ship.scheduler.state import State
from pixi_ship.scheduler.supervisor import start_time

from .conftest import MakeExecutor

LIMIT = 60.0  # seconds that any of this may take
AWKWARD = ("two  words", "it's", '"q"', "$HOME", "`id`", "a\nb", "é→", "\\", "", "\0", "\ud800")


def until(holds: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < LIMIT, "it takes too long"
        time.sleep(0.02)


def pids(path: Path, count: int) -> list[int]:
    """Process ids that jobs write into a file, once they are there."""
    until(lambda: path.exists() and len(path.read_text().split()) >= count)
    return [int(row) for row in path.read_text().split()]


def test_arguments_and_results(make: MakeExecutor, study: ModuleType) -> None:
    named: dict[str, Any] = {"function": 1, "self": 2, "args": {"a": [None, 1.5, b"\0"]}}
    executor: Any = make()
    job = executor.submit(study.both, *AWKWARD, study.Both(1, x=2), **named)
    assert job.result(LIMIT) == study.Both(*AWKWARD, study.Both(1, x=2), **named)
    assert (job.state, job.done(), job.exit_code, job.exception()) == (State.DONE, True, 0, None)
    assert job.result() is job.result()
    assert job.job_id in repr(job)
    assert job.index is None


def test_what_it_printed(make: MakeExecutor, study: ModuleType, tmp_path: Path) -> None:
    job = make(name="talk").submit(study.say, "é", error="two")
    job.wait(LIMIT)
    assert (job.stdout(), job.stderr()) == ("é\n", "two")
    assert job.paths.directory == job.directory == tmp_path / "jobs" / "talk-1"
    assert job.paths.stdout.read_text() == "é\n"


def test_class_methods_and_functions_of_others(make: MakeExecutor, study: ModuleType) -> None:
    executor = make()
    assert executor.submit(study.Both.of, 1).result(LIMIT) == study.Both(1)
    assert executor.submit(json.dumps, [1], indent=1).result(LIMIT) == "[\n 1\n]"


def test_where_a_function_is(make: MakeExecutor, study: ModuleType, tmp_path: Path) -> None:
    """In its job's directory, with its code first, and no variable but those asked for."""
    job = make(env={"A": "x y"}).submit(study.facts)
    facts = job.result(LIMIT)
    assert facts["cwd"] == str(job.directory)
    assert facts["path"] == str(job.directory / "pixi_ship_function" / "code")
    assert facts["argv"] == [""]
    assert facts["env"]["A"] == "x y"
    assert "PYTEST_CURRENT_TEST" not in facts["env"]


def test_files(make: MakeExecutor, study: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("in")
    executor = make(inputs=["in.txt"], outputs=["out.txt"])
    assert executor.submit(study.read, "in.txt").result(LIMIT) == "in"
    job = executor.submit(study.write, "out.txt", "out")
    job.wait(LIMIT)
    assert (job.directory / "out.txt").read_text() == "out"
    assert read_record(job.directory).outputs == ("out.txt", "pixi_ship_result.pickle")


def test_code_as_it_was(make: MakeExecutor, study: ModuleType, tmp_path: Path) -> None:
    """What is changed after the submission reaches no job."""
    modules = tmp_path / "modules"
    executor = make(code=[modules / "study.py", "modules/helper.py"], at_once=1)
    job = executor.submit(study.parent, 4)
    (modules / "helper.py").write_text("def twice(n):\n    return 0\n")
    assert job.result(LIMIT) == 8
    error = make().submit(study.parent, 4).exception(LIMIT)
    assert isinstance(error, ModuleNotFoundError)
    assert "send it along with code=" in error.__notes__[0]


def test_exceptions_come_back(make: MakeExecutor, study: ModuleType) -> None:
    job = make().submit(study.fail, "careful")
    with pytest.raises(study.Careful) as caught:
        job.result(LIMIT)
    assert caught.value.args == ("on purpose", 7)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    shown = str(caught.value.__cause__)
    assert "ZeroDivisionError" in shown
    assert "1 / 0" in shown
    assert (job.state, job.exit_code) == (State.FAILED, 1)
    assert "study.Careful" in job.stderr()
    assert job.exception() is caught.value


def test_exceptions_that_cannot_come_back(make: MakeExecutor, study: ModuleType) -> None:
    jobs = make().map_array(study.fail, ["odd", "exit", "lambda"])
    errors = [job.exception(LIMIT) for job in jobs]
    assert all(isinstance(error, FunctionFailed) for error in errors)
    assert [job.state for job in jobs] == [State.FAILED, State.FAILED, State.DONE]
    with pytest.raises(FunctionFailed, match="raised SystemExit: 3"):
        jobs[1].result()


@pytest.mark.parametrize(
    ("kind", "state", "code"), [("kill", State.FAILED, 137), ("os._exit", State.DONE, 0)]
)
def test_jobs_without_a_result(
    make: MakeExecutor, study: ModuleType, kind: str, state: State, code: int
) -> None:
    with pytest.raises(JobFailed) as caught:
        make().submit(study.fail, kind).result(LIMIT)
    error = caught.value
    assert (error.state, error.status) == (state, code)
    assert f"is {state} with exit code {code}, and left no result" in str(error)
    if kind == "kill":
        assert str(error).endswith("the end of its stderr:\nlast words  [31m")


def test_thirty(make: MakeExecutor, study: ModuleType) -> None:
    """One job of the scheduler, with each its own arguments, result and directory."""
    jobs = make(at_once=8).map_array(study.both, range(30), (str(n) for n in range(99)))
    assert [job.result(LIMIT) for job in jobs] == [study.Both(n, str(n)) for n in range(30)]
    assert len({job.job_id.partition("_")[0] for job in jobs}) == 1
    assert [job.directory.name for job in jobs] == [f"task-{n}" for n in range(30)]
    assert [job.index for job in jobs] == list(range(30))


def test_no_rows(make: MakeExecutor, study: ModuleType, tmp_path: Path) -> None:
    assert make().map_array(study.both, []) == []
    assert not (tmp_path / "jobs").exists()


def test_a_batch(make: MakeExecutor, study: ModuleType) -> None:
    """One array of different calls; nothing can be asked before."""
    executor = make()
    with executor.batch():
        first, second = executor.submit(study.both, 1), executor.submit(json.dumps, [2])
        for ask in (lambda: first.state, lambda: first.job_id, first.result, first.cancel):
            with pytest.raises(UsageError, match="of a batch that was not submitted"):
                ask()
        assert "of a batch" in repr(first)
        with pytest.raises(UsageError, match="within a batch"), executor.batch():
            pass
    assert (first.result(LIMIT), second.result(LIMIT)) == (study.Both(1), "[2]")
    assert first.job_id[:-1] == second.job_id[:-1]
    assert executor.submit(study.both, 3).result(LIMIT) == study.Both(3)


def test_a_batch_that_raises(make: MakeExecutor, study: ModuleType, tmp_path: Path) -> None:
    executor = make()
    jobs = []

    def collect() -> None:
        with executor.batch():
            jobs.append(executor.submit(study.both, 1))
            raise KeyError

    with pytest.raises(KeyError):
        collect()
    with executor.batch():
        pass
    assert not (tmp_path / "jobs").exists()
    with pytest.raises(UsageError):
        jobs[0].wait()


def test_parameters(make: MakeExecutor, study: ModuleType) -> None:
    executor = make(name="first", cpus=1)
    executor.update_parameters(name="second", time="1h")
    job = executor.submit(study.both)
    assert job.directory.name == "second-1"
    for wrong, words in (
        ({"memroy": "1G"}, "no parameter 'memroy'"),
        ({"memory": "many"}, "memory 'many' is no amount"),
        ({"time": "60"}, "time '60' is no duration"),
        ({"cpus": 0}, "cpus is 0"),
        ({"gpus": -1}, "gpus is -1"),
        ({"at_once": 0}, "at_once is 0"),
        ({"at_once": -1}, "at_once is -1"),
        ({"time": 60}, "time is 60, want text"),
        ({"memory": 8}, "memory is 8, want text"),
        ({"gpu_capability": 8.0}, r"gpu_capability is 8\.0, want text"),
        ({"outputs": "out.txt"}, r"outputs is 'out\.txt', want a list"),
        ({"inputs": "in.txt"}, r"inputs is 'in\.txt', want a list"),
        ({"inputs": Path("in.txt")}, "want a list"),
        ({"after": "12"}, "after is '12', want a list"),
        ({"after": [12]}, r"after is \[12\], want a list"),
        ({"env": {"A": 1}}, "env is no mapping of text to text"),
        ({"env": ["A"]}, "env is no mapping of text to text"),
    ):
        with pytest.raises(UsageError, match=words):
            executor.update_parameters(**wrong)
    assert executor.submit(study.both).directory.name == "second-2", "and nothing has changed"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"scheduler": "sge"}, "'sge' is no scheduler"),
        ({"runtime": "rkt"}, "'rkt' is no runtime"),
        ({"image": "image"}, "image"),
        ({"host": "login"}, "for this machine alone"),
        ({"site": ["none.toml"]}, "none.toml"),
        ({"site": "none.toml"}, r"site is 'none\.toml', want a list"),
        ({"code": "study.py"}, r"code is 'study\.py', want a list"),
    ],
)
def test_what_an_executor_cannot_be(make: MakeExecutor, given: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make(**given)


def test_what_cannot_be_submitted(make: MakeExecutor, study: ModuleType, tmp_path: Path) -> None:
    for executor, words in (
        (make(inputs=["gone"]), "there is no input 'gone'"),
        (make(code=["gone.py"]), r"gone\.py: No such file"),
        (make(outputs=["../x"]), "not in the job's directory"),
        (make(after=["1"]), "waits for no other"),
    ):
        with pytest.raises(UsageError, match=words):
            executor.submit(study.both)
    with pytest.raises(UsageError, match="lambda"):
        make().submit(lambda: 1)
    with pytest.raises(UsageError, match="pickling the arguments of both"):
        make().submit(study.both, lambda: 1)
    assert not list(tmp_path.glob("jobs/*")), "and nothing is left of it"


def test_what_the_scheduler_cannot_do_is_said(make: MakeExecutor, study: ModuleType) -> None:
    with pytest.warns(UserWarning, match="not held to --memory") as caught:
        make(memory="1G").submit(study.both)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make().submit(study.both)


def test_waiting(make: MakeExecutor, study: ModuleType) -> None:
    job = make().submit(study.sleep)
    for wait in (job.wait, job.result, job.exception):
        with pytest.raises(TimeoutError, match=r"has not ended in 0\.1 s"):
            wait(0.1)
    with pytest.raises(TimeoutError):
        job.wait(0)
    assert (job.state, job.done()) == (State.RUNNING, False)
    assert job.stdout() == ""


def test_time(make: MakeExecutor, study: ModuleType) -> None:
    error = make(time="1s").submit(study.sleep).exception(LIMIT)
    assert isinstance(error, JobFailed)
    assert (error.state, error.reason, error.status) == (State.FAILED, "timeout", 143)


def test_cancel(make: MakeExecutor, study: ModuleType, tmp_path: Path) -> None:
    """Of an array one alone; and nothing of it stays."""
    log = tmp_path / "pids"
    jobs = make(at_once=2).map_array(study.sleep, [str(log)] * 3)
    running = pids(log, 2)
    jobs[0].cancel()
    error = jobs[0].exception(LIMIT)
    assert isinstance(error, JobFailed)
    assert error.state is State.CANCELLED
    third = pids(log, 3)[2]
    assert jobs[1].state is State.RUNNING
    for job in jobs[1:]:
        job.cancel()
    for job in jobs:
        with pytest.raises(JobFailed, match="is cancelled"):
            job.result(LIMIT)
    until(lambda: not any(start_time(pid) for pid in (*running, third)))


def test_a_supervisor_that_is_killed(make: MakeExecutor, study: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "pids"
    job = make().submit(study.sleep, str(log))
    running = pids(log, 1)
    os.kill(int(job.job_id), signal.SIGKILL)
    with pytest.raises(JobFailed, match=r"is lost \(its supervisor was killed\)"):
        job.result(LIMIT)
    until(lambda: not any(start_time(pid) for pid in running))


LOAD = """\
import json, sys
import pixi_ship
job = pixi_ship.Job.load(sys.argv[1])
array = pixi_ship.Job.load_array(sys.argv[2])
one = pixi_ship.Job.load(sys.argv[2], 1)
print(json.dumps([job.result(60), [each.result(60) for each in array], one.result(60), one.job_id]))
"""


def test_another_process(make: MakeExecutor, study: ModuleType) -> None:
    """Goes on with jobs, by their directories, while the first one waits too."""
    executor = make()
    job, array = executor.submit(json.dumps, 1), executor.map_array(json.dumps, [2, 3])
    words = (str(job.directory), str(array[0].directory.parent))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *words], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == ["1", ["2", "3"], "3", array[1].job_id]
    assert job.result(LIMIT) == "1"


def test_what_cannot_be_loaded(make: MakeExecutor, study: ModuleType, tmp_path: Path) -> None:
    executor = make()
    one, many = executor.submit(json.dumps, 1), executor.map_array(json.dumps, [2, 3])
    with pytest.raises(UsageError, match="has no task None") as caught:
        Job.load(many[0].directory.parent)
    assert "give index, 0 to 1" in str(caught.value.hint)
    for index in (2, -1):
        with pytest.raises(UsageError, match=f"has no task {index}"):
            Job.load(many[0].directory.parent, index)
    with pytest.raises(UsageError, match="has no task 0"):
        Job.load(one.directory, 0)
    with pytest.raises(SchedulerError, match="is no job's directory"):
        Job.load("nowhere")
    one.wait(LIMIT)
    relative = one.directory.relative_to(tmp_path)
    assert Job.load(relative).result() == "1"


def test_a_log_of_its_own(make: MakeExecutor, study: ModuleType) -> None:
    """Functions write logs that are named as they are."""
    job = make(name="train").submit(study.write, "train.log", "epoch 1\n")
    assert job.result(LIMIT) == "train.log"
    assert (job.directory / "train.log").read_text() == "epoch 1\n"
    assert job.state is State.DONE


def test_only_its_own_directory_is_read(make: MakeExecutor, study: ModuleType) -> None:
    """A task's result that lies elsewhere is none of it."""
    jobs = make(at_once=1).map_array(json.dumps, [0, 1])
    assert jobs[0].result(LIMIT) == "0"
    jobs[1].wait(LIMIT)
    jobs[1].paths.result.unlink()
    with pytest.raises(JobFailed, match="left no result"):
        jobs[1].result()


def test_threads(make: MakeExecutor, study: ModuleType) -> None:
    """Many may submit and wait at the same time."""
    executor = make()
    found: dict[int, Any] = {}

    def work(number: int) -> None:
        found[number] = executor.submit(study.both, number).result(LIMIT)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: study.Both(number) for number in range(6)}


def test_the_protocol(make: MakeExecutor, study: ModuleType) -> None:
    """Of both directions, as a byte at the start of each pickle says."""
    for protocol in (4, 5):
        job = make(protocol=protocol).submit(study.both, b"x")
        job.wait(LIMIT)
        sent = job.directory / "sent" / "pixi_ship_function" / "arguments.pickle"
        assert sent.read_bytes()[:2] == bytes([0x80, protocol])
        _, _, data = job.paths.result.read_bytes().partition(b"\n")
        assert data[:2] == bytes([0x80, protocol])
        assert pickle.loads(data) == study.Both(b"x")


def test_it_is_typed(make: MakeExecutor) -> None:
    """What mypy takes here is a test too: it checks this file."""

    def submit(executor: Executor) -> None:
        job: pixi_ship.Job[str] = executor.submit(json.dumps, [1], indent=1)
        result: str = job.result()
        executor.submit(json.dumps, indents=1)  # type: ignore[call-arg]
        jobs: list[pixi_ship.Job[str]] = executor.map_array(json.dumps, [result])
        del jobs

    assert callable(submit)


def test_no_secret_is_shown(make: MakeExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    executor = make()
    assert "hunter2" not in repr(executor) + repr(vars(executor))
