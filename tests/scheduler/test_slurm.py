"""Slurm is asked for what no file tells; the real one answers in tests/lab."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from pixi_ship.errors import SchedulerError
from pixi_ship.job.spec import JobFiles, Tasks
from pixi_ship.scheduler.record import JobRecord, SchedulerName, read_record
from pixi_ship.scheduler.slurm import Slurm
from pixi_ship.scheduler.state import State, Task

from .conftest import Programs, Recorded

GONE = "slurm_load_jobs error: Invalid job id specified\n"


@pytest.fixture
def slurm(programs: Programs) -> Slurm:
    """A controller that knows nothing, and no accounts."""
    programs.add("squeue", status=1, error=GONE)
    programs.add("scontrol", status=1, error=GONE)
    programs.add("scancel")
    return Slurm(programs.commands)


def one(slurm: Slurm, record: JobRecord) -> Task:
    (task,) = slurm.tasks(record)
    return task


@pytest.mark.parametrize(
    ("line", "state", "reason"),
    [
        ("N/A|PENDING|Resources", State.PENDING, "Resources"),
        ("N/A|PENDING|JobHeldUser", State.HELD, "JobHeldUser"),
        (
            "N/A|PENDING|launch failed requeued held",
            State.HELD,
            "launch failed requeued held",
        ),
        ("N/A|RUNNING|None", State.RUNNING, ""),
        ("N/A|COMPLETING|None", State.RUNNING, ""),
    ],
)
def test_the_queue(
    programs: Programs, slurm: Slurm, recorded: Recorded, line: str, state: State, reason: str
) -> None:
    programs.add("squeue", f"{line}\n")
    assert one(slurm, recorded(SchedulerName.SLURM, None)) == Task(None, state, reason=reason)


@pytest.mark.parametrize(("text", "state"), [("0\n", State.DONE), ("3\n", State.FAILED)])
def test_the_file_that_a_script_leaves(
    slurm: Slurm, recorded: Recorded, text: str, state: State
) -> None:
    record = recorded(SchedulerName.SLURM, None)
    (record.directory / "exit-code").write_text(text)
    assert one(slurm, record) == Task(None, state, int(text))


@pytest.mark.parametrize(
    ("fields", "state", "code", "reason"),
    [
        ("JobState=COMPLETED ExitCode=0:0", State.DONE, 0, ""),
        ("JobState=FAILED ExitCode=3:0", State.FAILED, 3, "failed"),
        ("JobState=FAILED ExitCode=0:9", State.FAILED, 137, "failed"),
        ("JobState=CANCELLED ExitCode=0:15", State.CANCELLED, 143, ""),
        ("JobState=OUT_OF_MEMORY ExitCode=0:125", State.FAILED, 253, "out of memory"),
        ("JobState=NODE_FAIL ExitCode=1:0", State.FAILED, 1, "node fail"),
        ("JobState=TIMEOUT ExitCode=0:15", State.FAILED, 143, "timeout"),
    ],
)
def test_what_the_controller_remembers(
    programs: Programs,
    slurm: Slurm,
    recorded: Recorded,
    fields: str,
    state: State,
    code: int,
    reason: str,
) -> None:
    record = recorded(SchedulerName.SLURM, None)
    programs.add("scontrol", f"JobId=12 JobName=fit {fields} BatchHost=node2 NodeList=node2\n")
    want = Task(None, state, code, reason, "node2")
    assert one(slurm, record) == want
    programs.add("scontrol", status=1, error=GONE)
    assert one(slurm, record) == want, "somebody asked while it knew"


def test_accounts(programs: Programs, slurm: Slurm, recorded: Recorded) -> None:
    record = recorded(SchedulerName.SLURM, Tasks(0, 1))
    programs.add("sacct", "12_0|COMPLETED|0:0|node1\n12_1|CANCELLED by 1000|0:0|node2\n")
    first, second = slurm.tasks(record)
    assert (first.state, first.node) == (State.DONE, "node1")
    assert (second.state, second.node) == (State.CANCELLED, "node2")


def test_an_array_from_three_sources(programs: Programs, slurm: Slurm, recorded: Recorded) -> None:
    record = recorded(SchedulerName.SLURM, Tasks(0, 3))
    programs.add("squeue", "3|PENDING|Priority\n2|RUNNING|None\n")
    (record.task_directory(0) / "exit-code").write_text("0\n")
    programs.add("scontrol", "JobId=14 ArrayJobId=12 ArrayTaskId=1 JobState=FAILED ExitCode=2:0\n")
    states = [(each.index, each.state, each.exit_code) for each in slurm.tasks(record)]
    assert states == [
        (0, State.DONE, 0),
        (1, State.FAILED, 2),
        (2, State.RUNNING, None),
        (3, State.PENDING, None),
    ]


@pytest.mark.parametrize("text", ["", "²\n", "9" * 5000, "1000\n", "-1\n", "\xff\n"])
def test_a_file_that_no_script_has_left(slurm: Slurm, recorded: Recorded, text: str) -> None:
    """What runs in a job's directory may write what it likes there."""
    record = recorded(SchedulerName.SLURM, None)
    (record.directory / "exit-code").write_bytes(text.encode("latin-1"))
    assert one(slurm, record).state is State.LOST


SILENT = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"


def test_a_controller_that_does_not_answer(
    programs: Programs, slurm: Slurm, recorded: Recorded
) -> None:
    """Nobody may take that for the end of a job; what is known without it is told."""
    record = recorded(SchedulerName.SLURM, Tasks(0, 1))
    programs.add("squeue", status=1, error=SILENT)
    programs.add("scontrol", "JobId=14 ArrayJobId=12 ArrayTaskId=1 JobState=RUNNING ExitCode=0:0\n")
    (record.task_directory(0) / "exit-code").write_text("0\n")
    with pytest.raises(SchedulerError, match=r"squeue failed .* Unable to contact"):
        slurm.tasks(record)
    (record.task_directory(1) / "exit-code").write_text("3\n")
    assert [each.state for each in slurm.tasks(record)] == [State.DONE, State.FAILED]


@pytest.mark.parametrize("word", ["COMPLETING", "SUSPENDED", "CONFIGURING", "REQUEUED"])
def test_a_task_that_the_controller_has_not_ended(
    programs: Programs, slurm: Slurm, recorded: Recorded, word: str
) -> None:
    """It has not failed: how it ends is told later, by the file that it leaves."""
    record = recorded(SchedulerName.SLURM, None)
    programs.add("squeue", status=1, error=SILENT)
    programs.add("scontrol", f"JobId=12 JobState={word} ExitCode=0:0\n")
    with pytest.raises(SchedulerError, match="Unable to contact"):
        slurm.tasks(record)
    (record.directory / "exit-code").write_text("0\n")
    assert one(slurm, record).state is State.DONE


def test_a_task_that_nobody_knows(slurm: Slurm, recorded: Recorded) -> None:
    record = recorded(SchedulerName.SLURM, None)
    assert one(slurm, record).state is State.LOST


@pytest.mark.parametrize("said", ["12\n", "12;cluster\n"])
def test_submit(programs: Programs, slurm: Slurm, recorded: Recorded, said: str) -> None:
    programs.add("sbatch", said)
    directory = recorded(SchedulerName.SLURM, None).directory
    assert slurm.submit(directory, JobFiles({}, ("sbatch", "--parsable", "x"))) == "12"


def test_an_answer_that_is_no_number(programs: Programs, slurm: Slurm, recorded: Recorded) -> None:
    programs.add("sbatch", "Submitted, perhaps\n")
    directory = recorded(SchedulerName.SLURM, None).directory
    with pytest.raises(SchedulerError, match="want a job's number"):
        slurm.submit(directory, JobFiles({}, ("sbatch",)))


def on_node(record: JobRecord) -> JobRecord:
    found = JobRecord(
        *(record.directory, record.scheduler, record.identifier, record.name, record.image, None),
        *(record.outputs, (("srun", "--quiet"), "/scratch/jobs")),
    )
    found.save()
    return found


def tar_of(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def test_fetch(programs: Programs, slurm: Slurm, recorded: Recorded) -> None:
    record = on_node(recorded(SchedulerName.SLURM, None))
    programs.add("scontrol", "JobId=12 JobState=COMPLETED ExitCode=0:0 BatchHost=node2\n")
    programs.add("srun")
    (programs.folder / "srun.out").write_bytes(tar_of({"stdout.txt": b"said", "out": b"made"}))
    assert slurm.fetch(record) == [None]
    assert (record.directory / "out").read_bytes() == b"made"
    pack, remove = (each for each in programs.calls.read_text().splitlines() if "srun" in each)
    assert '-w node2 sh -c cd "/scratch/jobs/12" && for each in stdout.txt' in pack
    assert 'rm -rf "/scratch/jobs/12"' in remove
    assert slurm.fetch(record) == [], "it is here already"


@pytest.mark.parametrize("name", ["-n", "a\\tb", "-e x"])
def test_the_name_of_an_output_is_no_word_for_echo(
    programs: Programs, slurm: Slurm, recorded: Recorded, tmp_path: Path, name: str
) -> None:
    """What is not packed would be removed from the node with the rest."""
    scratch = tmp_path / "scratch"
    record = replace(
        on_node(recorded(SchedulerName.SLURM, None)),
        outputs=(name,),
        fetch=(("srun",), str(scratch)),
    )
    (scratch / "12").mkdir(parents=True)
    (scratch / "12" / "stdout.txt").write_text("said")
    (scratch / "12" / name).write_text("made")
    programs.add("scontrol", "JobId=12 JobState=COMPLETED ExitCode=0:0 BatchHost=node2\n")
    srun = programs.folder / "srun"
    srun.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    srun.chmod(0o755)
    assert slurm.fetch(record) == [None]
    assert (record.directory / name).read_text() == "made"


def test_what_a_node_sends_stays_in_the_directory(
    programs: Programs, slurm: Slurm, recorded: Recorded
) -> None:
    record = on_node(recorded(SchedulerName.SLURM, None))
    programs.add("scontrol", "JobId=12 JobState=COMPLETED ExitCode=0:0 BatchHost=node2\n")
    programs.add("srun")
    (programs.folder / "srun.out").write_bytes(tar_of({"../outside": b"x"}))
    with pytest.raises(SchedulerError, match="brought no files"):
        slurm.fetch(record)
    assert not (record.directory.parent / "outside").exists()
    assert "rm -rf" not in programs.calls.read_text(), "what was not brought stays on the node"


def test_the_record_goes_on_in_another_process(recorded: Recorded) -> None:
    record = on_node(recorded(SchedulerName.SLURM, None))
    assert read_record(record.directory) == record
    array = recorded(SchedulerName.HTCONDOR, Tasks(1, 9, 2))
    assert read_record(array.directory) == array


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 2}'])
def test_a_record_that_is_none(recorded: Recorded, text: str) -> None:
    record = recorded(SchedulerName.SLURM, None)
    (record.directory / "job.json").write_text(text)
    with pytest.raises(SchedulerError, match=r"job\.json"):
        read_record(record.directory)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "--user=me"),
        ("id", "12 13"),
        ("tasks", {"first": 0, "last": 9, "step": 0}),
        ("tasks", {"first": 9, "last": 0, "step": 1}),
        ("tasks", {"first": 0, "last": 10**30, "step": 1}),
        ("tasks", {"first": 0, "last": float("inf"), "step": 1}),
    ],
)
def test_a_record_that_no_submission_has_written(
    recorded: Recorded, key: str, value: object
) -> None:
    record = recorded(SchedulerName.SLURM, None)
    path = record.directory / "job.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(SchedulerError, match=r"reading .*job\.json: (the|cannot)"):
        read_record(record.directory)


@pytest.mark.parametrize(
    "row", [{"index": []}, {"exit_code": "x"}, {"node": 7}, {"state": "x"}, {"reason": None}]
)
def test_an_end_that_nobody_has_written(
    slurm: Slurm, recorded: Recorded, row: dict[str, object]
) -> None:
    record = recorded(SchedulerName.SLURM, None)
    known = {"index": None, "state": "failed", "exit_code": 3, "reason": "", "node": "n1"}
    path = record.directory / "ended.json"
    path.write_text(json.dumps({"tasks": [known]}))
    assert one(slurm, record) == Task(None, State.FAILED, 3, "", "n1")
    path.write_text(json.dumps({"tasks": [{**known, **row}]}))
    assert one(slurm, record).state is State.LOST


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (State.RUNNING, "--jobid=12_3 --overlap --chdir=/"),
        (State.DONE, "--chdir=/ -w n1"),
    ],
)
def test_a_log_that_its_node_keeps(
    programs: Programs, slurm: Slurm, recorded: Recorded, state: State, step: str
) -> None:
    """Byte for byte, also what is no text, and from where somebody has read it to."""
    record = replace(
        recorded(SchedulerName.SLURM, Tasks(1, 4)),
        fetch=(("srun", "--quiet", "--chdir=/"), "/scratch/jobs"),
    )
    programs.add("srun", base64.b64encode(b"\xff\xfe two\n").decode())
    task = Task(3, state, node="n1")
    assert b"".join(slurm.tail(record, task, "stdout.txt", 4)) == b"\xff\xfe two\n"
    (call,) = programs.calls.read_text().splitlines()
    assert step in call
    assert 'tail -c +5 "/scratch/jobs/12/task-3/stdout.txt"' in call
    (record.task_directory(3) / "stdout.txt").write_bytes(b"brought")
    assert b"".join(slurm.tail(record, task, "stdout.txt", 4)) == b"ght"


def test_a_log_of_a_task_that_has_not_begun(slurm: Slurm, recorded: Recorded) -> None:
    record = replace(recorded(SchedulerName.SLURM, None), fetch=(("srun",), "/scratch"))
    assert list(slurm.tail(record, Task(None, State.PENDING), "stdout.txt", 0)) == []


@pytest.mark.parametrize("numbers", ["1-9:4,12%2", "1,5,9,12"])
def test_tasks_that_were_cancelled_before_they_began(
    programs: Programs, slurm: Slurm, recorded: Recorded, numbers: str
) -> None:
    """They are one line, of the controller or of the accounts."""
    record = recorded(SchedulerName.SLURM, Tasks(1, 12))
    line = f"JobId=12 ArrayJobId=12 ArrayTaskId={numbers} JobState=CANCELLED ExitCode=0:0\n"
    programs.add("scontrol", line)
    assert _cancelled(slurm, record) == [1, 5, 9, 12]


def test_tasks_that_the_accounts_know_as_cancelled(
    programs: Programs, slurm: Slurm, recorded: Recorded
) -> None:
    record = recorded(SchedulerName.SLURM, Tasks(1, 12))
    programs.add(
        "sacct", "12_[1-9:4,12%2]|CANCELLED by 1000|0:0|None assigned\n12_2|COMPLETED|0:0|n1\n"
    )
    assert _cancelled(slurm, record) == [1, 5, 9, 12]
    assert slurm.tasks(record)[1] == Task(2, State.DONE, 0, node="n1")


def _cancelled(slurm: Slurm, record: JobRecord) -> list[int | None]:
    return [task.index for task in slurm.tasks(record) if task.state is State.CANCELLED]
