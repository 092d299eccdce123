"""HTCondor's event log tells what became of each task; the real one is read in tests/lab."""

from __future__ import annotations

import pytest

from pixi_ship.errors import SchedulerError
from pixi_ship.job.spec import JobFiles, Tasks
from pixi_ship.scheduler.htcondor import HTCondor
from pixi_ship.scheduler.record import JobRecord, SchedulerName
from pixi_ship.scheduler.state import State, Task, exit_code_of

from .conftest import Programs, Recorded

WORDS = {
    "000": "Job submitted from host: <10.0.0.1:9618?addrs=10.0.0.1-9618>",
    "001": "Job executing on host: <10.0.0.2:9618>\n\tSlotName: slot1_1@node",
    "004": "Job was evicted.\n\t(0) CPU times",
    "005 3": "Job terminated.\n\t(1) Normal termination (return value 3)\n\t\tUsr 0 00:00:00",
    "005 0": "Job terminated.\n\t(1) Normal termination (return value 0)\n\t\tUsr 0 00:00:00",
    "005 k": "Job terminated.\n\t(0) Abnormal termination (signal 9)\n\t(0) No core file",
    "006": "Image size of job updated: 3",
    "009": "Job was aborted.\n\tvia condor_rm (by user me)",
    "012": "Job was held.\n\tError from slot1: no such image\n\tCode 13 Subcode 2",
    "013": "Job was released.\n\tvia condor_release",
}
STORIES = {
    "nothing yet": ((), State.PENDING, None),
    "submitted": (("000",), State.PENDING, None),
    "running": (("000", "001", "006"), State.RUNNING, None),
    "done": (("000", "001", "005 0"), State.DONE, 0),
    "failed": (("000", "001", "005 3"), State.FAILED, 3),
    "killed by a signal": (("000", "001", "005 k"), State.FAILED, 137),
    "removed": (("000", "001", "009"), State.CANCELLED, None),
    "held": (("000", "001", "012"), State.HELD, None),
    "held and released": (("000", "012", "013"), State.PENDING, None),
    "evicted and run anew": (("000", "001", "004", "001"), State.RUNNING, None),
}


def event(kind: str, process: int = 0, cluster: int = 12) -> str:
    number = kind.partition(" ")[0]
    return f"{number} ({cluster:03}.{process:03}.000) 2026-11-23 17:00:00 {WORDS[kind]}\n...\n"


def tasks(record: JobRecord, log: str, programs: Programs) -> list[Task]:
    (record.directory / "fit.log").write_text(log)
    return HTCondor(programs.commands).tasks(record)


@pytest.mark.parametrize(("story", "state", "code"), STORIES.values(), ids=STORIES)
def test_stories(
    programs: Programs, recorded: Recorded, story: tuple[str, ...], state: State, code: int | None
) -> None:
    record = recorded(SchedulerName.HTCONDOR, None)
    (task,) = tasks(record, "".join(map(event, story)), programs)
    assert (task.index, task.state, task.exit_code) == (None, state, code)


def test_an_array(programs: Programs, recorded: Recorded) -> None:
    """Processes count from 0, tasks as the array says; other jobs share the log."""
    record = recorded(SchedulerName.HTCONDOR, Tasks(1, 7, 3))
    log = [event("000", process) for process in range(3)]
    log += [event("005 3", 1), event("005 0", 0), event("005 3", 2, cluster=120)]
    found = tasks(record, "".join(log), programs)
    assert [(each.index, each.state, each.exit_code) for each in found] == [
        (1, State.DONE, 0),
        (4, State.FAILED, 3),
        (7, State.PENDING, None),
    ]
    assert exit_code_of(found) == 3


def test_an_array_that_was_removed_before_all_of_it_began(
    programs: Programs, recorded: Recorded
) -> None:
    """Of tasks that max_materialize kept back no event tells, but the end of the cluster."""
    record = recorded(SchedulerName.HTCONDOR, Tasks(0, 3))
    end = "036 (012.-01.-01) 2026-11-23 17:00:00 Cluster removed\n\tMaterialized 2 jobs.\n...\n"
    log = [event("000", 0), event("005 0", 0), event("000", 1), end]
    assert [each.state for each in tasks(record, "".join(log), programs)] == [
        State.DONE,
        State.PENDING,  # its own event is still to come
        State.CANCELLED,
        State.CANCELLED,
    ]


def test_why_it_is_held(programs: Programs, recorded: Recorded) -> None:
    record = recorded(SchedulerName.HTCONDOR, None)
    (task,) = tasks(record, event("000") + event("012"), programs)
    assert task.reason == "Error from slot1: no such image"


def test_an_event_that_is_being_written(programs: Programs, recorded: Recorded) -> None:
    record = recorded(SchedulerName.HTCONDOR, None)
    (task,) = tasks(record, event("000") + event("005 3").removesuffix("...\n"), programs)
    assert task.state is State.PENDING


@pytest.mark.parametrize("said", ["12.0 - 12.29\n", "12.0\n", "Submitting\n12.0 - 12.0\n"])
def test_submit(programs: Programs, recorded: Recorded, said: str) -> None:
    record = recorded(SchedulerName.HTCONDOR, None)
    programs.add("condor_submit", said)
    files = JobFiles({}, ("condor_submit", "-terse", "fit.sub"))
    assert HTCondor(programs.commands).submit(record.directory, files) == "12"
    assert programs.calls.read_text() == "condor_submit -terse fit.sub\n"


def test_a_submission_that_is_refused(programs: Programs, recorded: Recorded) -> None:
    record = recorded(SchedulerName.HTCONDOR, None)
    programs.add("condor_submit", status=1, error="ERROR: no such universe\n")
    with pytest.raises(SchedulerError, match="status 1: ERROR: no such universe"):
        HTCondor(programs.commands).submit(record.directory, JobFiles({}, ("condor_submit",)))


def test_a_machine_without_htcondor(programs: Programs, recorded: Recorded) -> None:
    record = recorded(SchedulerName.HTCONDOR, None)
    with pytest.raises(SchedulerError, match="there is no condor_rm on this machine") as error:
        HTCondor(programs.commands).cancel(record)
    assert "--dry-run" in str(error.value.hint)


ANALYSIS = """\
Job 12.000 defines the following attributes:

    RequestDisk = MAX({ 1024,(TransferInputSizeMB + 1) * 1.25 }) * 1024 (kb)
    RequestGPUs = 9
    RequestMemory = 100 (mb)

The Requirements expression for job 12.000 reduces to these conditions:

        Slots
Step   Matched  Condition
----- --------- ---------
[0]           2  TARGET.Arch == "X86_64"
[7]           2  TARGET.Memory >= RequestMemory
[9]           0  TARGET.GPUs >= RequestGPUs

012.000:  Run analysis summary ignoring user priority.  Of 2 slots on 2 machines,
      2 slots are rejected by your job's requirements

WARNING:  Be advised:
   No machines matched the job's constraints
"""


def test_why_a_job_waits_in_vain(programs: Programs, recorded: Recorded) -> None:
    """As HTCondor 25.14 says it of a pool with two GPUs."""
    programs.add("condor_q", ANALYSIS)
    record = recorded(SchedulerName.HTCONDOR, None)
    driver = HTCondor(programs.commands)
    (task,) = driver.explained(record, driver.tasks(record))
    assert (task.state, task.reason) == (State.PENDING, "no slot has GPUs >= 9")
    assert "condor_q -better-analyze 12.0" in programs.calls.read_text()


@pytest.mark.parametrize("said", ["", ANALYSIS.replace("No machines", "2 machines")])
def test_a_job_that_may_yet_start(programs: Programs, recorded: Recorded, said: str) -> None:
    programs.add("condor_q", said)
    record = recorded(SchedulerName.HTCONDOR, None)
    driver = HTCondor(programs.commands)
    tasks = driver.tasks(record)
    assert driver.explained(record, tasks) == tasks
