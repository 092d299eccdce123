"""Jobs of the local scheduler, as real processes: what they leave, how many run at once, that they
end when told to and nothing of them stays, and that what was killed is not said to run.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.errors import SchedulerError, UsageError
from pixi_ship.job.local import LocalStart, render_local
from pixi_ship.job.site import Site
from pixi_ship.job.spec import ImageKind, JobImage, JobSpec, Resources, Tasks
from pixi_ship.scheduler import supervisor
from pixi_ship.scheduler.command import LocalCommands
from pixi_ship.scheduler.local import Local
from pixi_ship.scheduler.record import JobRecord, SchedulerName, read_record
from pixi_ship.scheduler.state import State, Task
from pixi_ship.scheduler.supervisor import start_time
from pixi_ship.submit import render, submit

COMMANDS = LocalCommands({"PATH": "/usr/bin:/bin", "LEFT": "seen"})
IMAGE = JobImage(ImageKind.HERE, "oci:image:1")
START = LocalStart("env -i PATH=/usr/bin:/bin")
WORDS = ["two words", "it's", '"q"', "$HOME", "$(id)", "a\nb", "ü→", "", "-x", "--", "\\", "#", "*"]
SHOW = "import json, sys; print(json.dumps(sys.argv[1:]))"
LIMIT = 60.0  # seconds that any of this may take


def spec(*command: str, **given: Any) -> JobSpec:
    return JobSpec(name="fit", command=command, image=IMAGE, **given)


@dataclass(frozen=True)
class Here:
    """Jobs in one directory; more: words for their supervisors."""

    above: Path
    more: tuple[str, ...] = ("--grace", "0.3")

    def submit(self, job: JobSpec, start: LocalStart = START) -> JobRecord:
        files = render(SchedulerName.LOCAL, job, Site(), self.above / "fit-1", lambda *_: start)
        (self.above / "fit-1").mkdir()
        (self.above / "fit-1" / "fit.sh").write_text(files.files["fit.sh"])
        words = (*files.submit[:3], *self.more, *files.submit[3:])
        directory = self.above / "fit-1"
        number = Local(COMMANDS).submit(directory, replace(files, submit=words))
        record = JobRecord(directory, SchedulerName.LOCAL, number, "fit", "oci:x", job.tasks)
        record.save()
        return record


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    yield Here(tmp_path)
    for path in tmp_path.glob("*/job.json"):
        record = read_record(path.parent)
        Local(COMMANDS).cancel(replace(record, identifier=record.identifier.partition("_")[0]))
        ended(record)


def tasks(record: JobRecord) -> list[Task]:
    return Local(COMMANDS).tasks(record)


def until(holds: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < LIMIT, "it takes too long"
        time.sleep(0.02)


def ended(record: JobRecord) -> list[Task]:
    until(lambda: all(task.state.is_final for task in tasks(record)))
    return tasks(record)


def numbers(path: Path, count: int) -> list[int]:
    """Process ids that tasks write into a file, once they are there."""
    until(lambda: path.exists() and len(path.read_text().split()) >= count)
    return [int(row) for row in path.read_text().split()]


def alive(*pids: int) -> list[int]:
    return [pid for pid in pids if start_time(pid) is not None]


def test_what_a_job_leaves(here: Here) -> None:
    record = here.submit(spec(sys.executable, "-c", f"{SHOW}; sys.stderr.write('two')", *WORDS))
    assert ended(record) == [Task(None, State.DONE, 0)]
    read = {each: (record.directory / each).read_text() for each in ("stdout.txt", "stderr.txt")}
    assert (json.loads(read["stdout.txt"]), read["stderr.txt"]) == (WORDS, "two")
    assert (record.directory / "exit-code").read_text() == "0\n"


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -KILL $$", 137)])
def test_how_a_job_ends(here: Here, script: str, code: int) -> None:
    record = here.submit(spec("sh", "-c", script))
    assert ended(record) == [Task(None, State.FAILED, code)]
    assert (record.directory / "exit-code").read_text() == f"{code}\n"


def test_by_hand(here: Here) -> None:
    record = here.submit(
        spec("sh", "-c", 'echo "$1 in $PWD"', "-", "{item}", tasks=Tasks(0, 1), items=("a b", "$x"))
    )
    ended(record)
    done = subprocess.run(
        ["sh", record.directory / "fit.sh", "1"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"$x in {record.directory}/task-1\n"
    assert (record.directory / "task-0" / "stdout.txt").read_text().startswith("a b in ")


def test_an_array(here: Here, tmp_path: Path) -> None:
    """Numbers as asked for, inputs in each directory, and no more at once than was said."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "it's").write_text("x")
    log = tmp_path / "log"
    script = f'echo s >>"{log}"; ls data >made; sleep 0.05; echo e >>"{log}"; exit "$1"'
    chosen = Tasks(1, 15, 2, 3)
    record = here.submit(
        spec("sh", "-c", script, "-", "{index}", tasks=chosen, inputs=(str(tmp_path / "data"),))
    )
    assert ended(record) == [Task(n, State.FAILED, n) for n in range(1, 16, 2)]
    assert {(record.directory / f"task-{n}" / "made").read_text() for n in (1, 15)} == {"it's\n"}
    running, most = 0, 0
    for line in log.read_text().split():
        running += 1 if line == "s" else -1
        most = max(most, running)
    assert 1 <= most <= 3


def test_how_many_at_once_by_itself() -> None:
    def words(**given: Any) -> str:
        return " ".join(render_local(spec("x", **given), "/j", START, ()).submit)

    assert words(tasks=Tasks(0, 9)) == "--tasks 0:9:1 --cpus 1 fit.sh fit.supervisor.log"
    assert "--at-once 1 " in words(tasks=Tasks(0, 9), resources=Resources(gpus=1))
    assert "--at-once 4 --time 60" in words(
        tasks=Tasks(0, 9, 1, 4), resources=Resources(gpus=1, cpus=2, time=60)
    )


def test_cores_limit_it(here: Here) -> None:
    """Tasks that want more cores than there are run one by one."""
    script = "echo s >>../log; sleep 0.1; echo e >>../log"
    cpus = 2 * (os.cpu_count() or 1)
    job = spec("sh", "-c", script, tasks=Tasks(0, 3), resources=Resources(cpus=cpus))
    record = here.submit(job)
    ended(record)
    assert (record.directory / "log").read_text().split() == ["s", "e"] * 4


@pytest.mark.parametrize("script", ["sleep 600", "trap '' TERM; sleep 600; sleep 600"])
def test_time(here: Here, script: str) -> None:
    """Also for one that does not listen."""
    record = here.submit(spec("sh", "-c", script, resources=Resources(time=1)))
    (task,) = ended(record)
    code = 137 if "trap" in script else 143
    assert task == Task(None, State.FAILED, code, "timeout")


def test_time_to_clean_up(tmp_path: Path) -> None:
    script = "trap 'echo cleaned >made; exit 0' TERM; echo $$ >pid; sleep 600 & wait"
    record = Here(tmp_path, ()).submit(spec("sh", "-c", script))
    numbers(record.directory / "pid", 1)
    Local(COMMANDS).cancel(record)
    assert ended(record) == [Task(None, State.CANCELLED, 0)]
    assert (record.directory / "made").read_text() == "cleaned\n"
    assert not (record.directory / "exit-code").exists()


ESCAPE = (
    "setsid sleep 600 & echo $! >>../pids; sleep 600 & echo $! >>../pids; echo $$ >>../pids; wait"
)


def test_cancel_ends_all_that_came_of_a_job(here: Here) -> None:
    """Also what left its session, and tasks that have not begun; from what is on disk alone."""
    record = here.submit(spec("sh", "-c", ESCAPE, tasks=Tasks(0, 5, 1, 2)))
    pids = numbers(record.directory / "pids", 6)
    assert [task.state for task in tasks(record)] == [State.RUNNING] * 2 + [State.PENDING] * 4
    Local(COMMANDS).cancel(read_record(record.directory))
    assert {task.state for task in ended(record)} == {State.CANCELLED}
    until(lambda: not alive(*pids, int(record.identifier)))
    assert len((record.directory / "pids").read_text().split()) == 6, "none has begun since"
    Local(COMMANDS).cancel(record)  # of what has ended: nothing


def test_nothing_stays_of_a_job_that_ended(here: Here) -> None:
    record = here.submit(spec("sh", "-c", "mkdir -p x; cd x; " + ESCAPE.replace("wait", "exit 0")))
    ended(record)
    pids = numbers(record.directory / "pids", 3)
    until(lambda: not alive(*pids))


def test_cancel_one_task(here: Here) -> None:
    record = here.submit(spec("sh", "-c", ESCAPE, tasks=Tasks(0, 3, 1, 2)))
    numbers(record.directory / "pids", 6)
    Local(COMMANDS).cancel(replace(record, identifier=f"{record.identifier}_3"))
    until(lambda: tasks(record)[3].state is State.CANCELLED)
    assert {task.state for task in tasks(record)[:2]} == {State.RUNNING}, "nobody waits for these"
    Local(COMMANDS).cancel(replace(record, identifier=f"{record.identifier}_0"))
    numbers(record.directory / "pids", 9)  # task 2 has the free place
    until(lambda: tasks(record)[0].state.is_final)
    assert [task.state for task in tasks(record)][:3] == [
        *(State.CANCELLED, State.RUNNING, State.RUNNING)
    ]
    pid = json.loads((record.directory / "fit.supervisor.log").read_text().splitlines()[0])["pid"]
    assert alive(pid) == [pid]
    Local(COMMANDS).cancel(replace(record, identifier=f"{record.identifier}_1"))
    until(lambda: tasks(record)[3].state.is_final)
    assert [task.state for task in tasks(record)][2:] == [State.RUNNING, State.CANCELLED]


def test_a_supervisor_that_is_killed(here: Here) -> None:
    """Its tasks are lost, and end; nobody waits for them for ever."""
    record = here.submit(
        spec("sh", "-c", "echo $$ >>../pids; exec sleep 600", tasks=Tasks(0, 3, 1, 2))
    )
    pids = numbers(record.directory / "pids", 2)
    os.kill(int(record.identifier), signal.SIGKILL)
    until(lambda: all(task.state.is_final for task in tasks(record)))
    assert {(task.state, task.reason) for task in tasks(record)} == {
        (State.LOST, "its supervisor was killed")
    }
    until(lambda: not alive(*pids))


def test_what_a_killed_supervisor_left_behind(here: Here) -> None:
    """What does not listen goes on, and cancel ends it."""
    record = here.submit(spec("sh", "-c", "trap '' TERM; echo $$ >pids; sleep 600; sleep 600"))
    pids = numbers(record.directory / "pids", 1)
    os.kill(int(record.identifier), signal.SIGKILL)
    ended(record)
    assert alive(*pids) == pids
    Local(COMMANDS).cancel(record)
    until(lambda: not alive(*pids))


def rewrite(record: JobRecord, **facts: object) -> None:
    """Have the log's first line, and every start of a task, say something else."""
    path = record.directory / "fit.supervisor.log"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row.update({key: value for key, value in facts.items() if key in row})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_process_id_that_was_given_again(here: Here) -> None:
    """Another process has the number now: it is no supervisor, and not killed."""
    record = here.submit(spec("true"))
    ended(record)
    until(lambda: not alive(int(record.identifier)))
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as other:
        path = record.directory / "fit.supervisor.log"
        first = {**json.loads(path.read_text().splitlines()[0]), "pid": other.pid}
        task = {"event": "started", "index": None, "pid": other.pid, "start": "7"}
        path.write_text(f"{json.dumps(first)}\n{json.dumps(task)}\n")
        assert [task.state for task in tasks(record)] == [State.LOST]
        Local(COMMANDS).cancel(record)
        assert other.poll() is None
        other.kill()


def test_after_the_machine_started_anew(here: Here) -> None:
    record = here.submit(spec("sleep", "600"))
    until(lambda: [task.state for task in tasks(record)] == [State.RUNNING])
    original = (record.directory / "fit.supervisor.log").read_text()
    rewrite(record, boot="another")
    assert [task.state for task in tasks(record)] == [State.LOST]
    Local(COMMANDS).cancel(record)
    rewrite(record, host="elsewhere")
    for ask in (Local(COMMANDS).tasks, Local(COMMANDS).cancel):
        with pytest.raises(SchedulerError, match="was started on elsewhere"):
            ask(record)
    (record.directory / "fit.supervisor.log").write_text(original)
    assert [task.state for task in tasks(record)] == [State.RUNNING]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "says nothing"),
        ("{\n", "reading"),
        ("[]\n7\n", "says nothing"),
        ('{"event": "supervisor", "pid": 1, "kill": []}\n', "reading"),
    ],
)
def test_a_log_that_is_none(here: Here, text: str, words: str) -> None:
    record = here.submit(spec("true"))
    ended(record)
    until(lambda: not alive(int(record.identifier)))
    path = record.directory / "fit.supervisor.log"
    original = path.read_text()
    path.write_text(text)
    with pytest.raises(SchedulerError, match=words):
        tasks(record)
    path.write_text(original + '{"event": "ended", "index"')
    assert tasks(record) == [Task(None, State.DONE, 0)], "the last line is being written"


def test_a_job_that_is_another_users(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    record = here.submit(spec("sleep", "600"))

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as patch:
        patch.setattr(signal, "pidfd_send_signal", refuse)
        with pytest.raises(SchedulerError, match=r"cancelling job .*: Operation not permitted"):
            Local(COMMANDS).cancel(record)


def test_a_start_time_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is the same for all who ask, wherever they say they are."""
    found = set()
    for zone in ("UTC0", "XST-9"):
        monkeypatch.setenv("TZ", zone)
        found.add(supervisor._start_by_ps(os.getpid()))
    assert len(found) == 1
    assert None not in found


def test_it_goes_on_after_the_one_who_submitted(here: Here) -> None:
    """A session of its own, whose parent is not this process, with nothing of it open."""
    record = here.submit(spec("sleep", "600"))
    pid = int(record.identifier)
    assert os.getsid(pid) == pid
    assert int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) != os.getpid()
    assert {str(Path(f"/proc/{pid}/fd/{each}").readlink()) for each in range(3)} == {"/dev/null"}


def test_a_script_that_cannot_be_started(here: Here) -> None:
    record = here.submit(spec("true"), LocalStart("/nowhere/runtime"))
    (task,) = ended(record)
    assert (task.state, task.exit_code) == (State.FAILED, 127)
    assert "/nowhere/runtime" in (record.directory / "stderr.txt").read_text()


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that notes what it is asked, in PATH."""
    engine = tmp_path / "podman"
    engine.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return engine


def test_containers_are_killed_by_their_engine(here: Here, engine: Path, tmp_path: Path) -> None:
    """By name, where the client does not listen; and after the supervisor was killed."""
    name = "pixi-ship-0123456789abcdef"
    start = replace(START, kill=(str(engine), "kill", name))
    script = "trap '' TERM; echo $$ >>../pids; sleep 600; sleep 600"
    record = here.submit(spec("sh", "-c", script, tasks=Tasks(0, 1, 1, 2)), start)
    numbers(record.directory / "pids", 2)
    Local(COMMANDS).cancel(replace(record, identifier=f"{record.identifier}_1"))
    until(lambda: tasks(record)[1].state.is_final)
    os.kill(int(record.identifier), signal.SIGKILL)
    ended(record)
    Local(COMMANDS).cancel(record)
    assert (tmp_path / "asked").read_text().splitlines() == [*(f"kill {name}-1", f"kill {name}-0")]


@pytest.mark.parametrize("known", [True, False])
def test_a_log_cannot_name_a_command(here: Here, engine: Path, tmp_path: Path, known: bool) -> None:
    """Jobs write into their directories: cancel runs the engine that is found here, or nothing."""
    record = here.submit(spec("sh", "-c", "echo $$ >pids; exec sleep 600"))
    numbers(record.directory / "pids", 1)
    os.kill(int(record.identifier), signal.SIGKILL)
    ended(record)
    own = record.directory / "podman"
    own.write_text(f"#!/bin/sh\ntouch {tmp_path}/harm\n")
    own.chmod(0o755)
    name = "pixi-ship-0123456789abcdef"
    rewrite(record, kill=[str(own), "kill", name] if known else ["touch", str(tmp_path / "harm")])
    Local(COMMANDS).cancel(record)
    assert not (tmp_path / "harm").exists()
    assert (tmp_path / "asked").exists() == known


def test_what_cannot_be() -> None:
    with pytest.raises(UsageError, match="waits for no other"):
        render_local(spec("true", after=("1",)), "/jobs/fit-1", START, ())
    wanted = Resources(memory=1 << 30, gpus=1, gpu_memory=1 << 30)
    assert render_local(spec("true", resources=wanted), "/jobs/fit-1", START, ()).notes == (
        "jobs on this machine are not held to --memory, --gpu-memory",
    )


def test_a_job_that_cannot_be_rendered_leaves_nothing(tmp_path: Path) -> None:
    def fill(job: JobSpec, directory: Path) -> JobSpec:
        (directory / "sent").mkdir()
        return replace(job, after=("1",))

    words: Sequence[Any] = (SchedulerName.LOCAL, spec("true"), Site(), tmp_path / "jobs", COMMANDS)
    with pytest.raises(UsageError):
        submit(*words, start=lambda *_: START, fill=fill)
    assert list((tmp_path / "jobs").iterdir()) == []
