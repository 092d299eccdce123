"""What comes back from a host: what is asked for, and nothing outside of the job's directory.

The host is a real sshd with a real rsync. It may be anybody's: what it sends can neither leave
the job's directory nor change what is known of the job here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pixi_ship.errors import SchedulerError
from pixi_ship.host.commands import HostCommands
from pixi_ship.host.connection import HostError
from pixi_ship.job.spec import Tasks
from pixi_ship.over_ssh import SchedulerOverSSH
from pixi_ship.scheduler.record import JobRecord, SchedulerName, There, read_record
from pixi_ship.scheduler.state import State

from .cluster import NAME, Cluster, eventually

Recorded = Callable[..., JobRecord]
AWKWARD = [
    "a*b",
    "a[1]",
    "a?",
    "back\\slash",
    "two words",
    "it's",
    "- dash",
    "; rm",
    "#",
    "ü",
    "deep/er/x",
]


@pytest.fixture
def recorded(cluster: Cluster, tmp_path: Path) -> Recorded:
    """A function that makes the record of a job in ``fit-1``, there and here."""

    def make(
        *,
        tasks: Tasks | None = None,
        outputs: tuple[str, ...] = (),
        inputs: tuple[str, ...] = (),
        fetch: tuple[tuple[str, ...], str] | None = None,
    ) -> JobRecord:
        there = There(NAME, str(cluster.jobs / "fit-1"), inputs)
        here = tmp_path / "fit-1"
        record = JobRecord(
            *(here, SchedulerName.SLURM, "12", "fit", "sif:x", tasks, outputs, fetch, there)
        )
        for index in record.indices:
            record.task_directory(index).mkdir(parents=True)
            (cluster.jobs / "fit-1" / record.task_directory(index).relative_to(here)).mkdir(
                parents=True
            )
        record.save()
        return record

    return make


def driver(cluster: Cluster) -> SchedulerOverSSH:
    return SchedulerOverSSH(SchedulerName.SLURM, cluster.host())


def files(root: Path) -> dict[str, str]:
    found = {path.relative_to(root): path for path in root.rglob("*") if path.is_file()}
    return {str(name): path.read_text() for name, path in found.items() if name.name != "job.json"}


def leave(directory: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)


def test_a_record_with_a_host_goes_on_in_another_process(recorded: Recorded) -> None:
    record = recorded(inputs=("a", "b c"))
    assert read_record(record.directory) == record


def test_outputs_that_are_named(cluster: Cluster, recorded: Recorded) -> None:
    """By any name; what looks alike stays there."""
    record = recorded(outputs=(*AWKWARD, "never made"))
    there = cluster.jobs / "fit-1"
    alike = ["aXb", "a1", "aX", "backslash", "deep/other", "deep/er/y", "two", "fit.sbatch"]
    leave(there, {name: f"<{name}>" for name in (*AWKWARD, *alike)})
    leave(there, {"exit-code": "0\n", "stdout.txt": "said", "stderr.txt": ""})
    assert driver(cluster).fetch(record) == [None]
    want = {name: f"<{name}>" for name in AWKWARD} | {"exit-code": "0\n", "stdout.txt": "said"}
    assert files(record.directory).items() >= want.items()
    assert not set(alike) & set(files(record.directory))


def test_an_output_that_is_a_directory(cluster: Cluster, recorded: Recorded) -> None:
    record = recorded(outputs=("out[1]",))
    leave(cluster.jobs / "fit-1", {"exit-code": "0\n", "out[1]/a/b": "1", "out1/c": "2"})
    driver(cluster).fetch(record)
    found = files(record.directory)
    assert found["out[1]/a/b"] == "1"
    assert "out1/c" not in found


def test_all_but_the_inputs_where_none_is_named(cluster: Cluster, recorded: Recorded) -> None:
    record = recorded(inputs=("data*",))
    inputs = {".inputs/data*": "big", "data*/one": "big"}
    leave(cluster.jobs / "fit-1", {"exit-code": "3\n", "deep/made": "1", "data2": "2", **inputs})
    driver(cluster).fetch(record)
    assert {"deep/made", "data2"} <= set(files(record.directory))
    assert not set(inputs) & set(files(record.directory))


@pytest.mark.parametrize("outputs", [("n", "w*d[1]\\"), ()])
def test_of_an_array_what_has_ended(
    cluster: Cluster, recorded: Recorded, outputs: tuple[str, ...]
) -> None:
    record = recorded(tasks=Tasks(1, 3), outputs=outputs, inputs=("in*",))
    there = cluster.jobs / "fit-1"
    for index in (1, 2, 3):
        leave(there / f"task-{index}", {"n": str(index), "stdout.txt": "said"})
        leave(there / f"task-{index}", {"w*d[1]\\": "wild", "in*": "big"})
    for index, code in ((1, "0"), (3, "5")):
        leave(there / f"task-{index}", {"exit-code": code})
    cluster.add("squeue", "echo '2|RUNNING|None'\n")
    found = driver(cluster)
    states = [(each.index, each.state) for each in found.tasks(record)]
    assert states == [(1, State.DONE), (2, State.RUNNING), (3, State.FAILED)]
    assert not (record.directory / "task-1" / "n").exists()
    assert found.fetch(record) == [1, 3]
    got = files(record.directory)
    assert (got["task-1/n"], got["task-3/n"], "task-2/n" in got) == ("1", "3", False)
    assert (got["task-1/w*d[1]\\"], "task-1/in*" in got) == ("wild", False)


def test_what_a_host_cannot_send(cluster: Cluster, recorded: Recorded) -> None:
    """Links that lead out, and what is known of the job here; its own other files may come."""
    record = recorded()
    there = cluster.jobs / "fit-1"
    leave(there, {"exit-code": "0\n", "job.json": "{}", "ended.json": "{}", "made": "1"})
    (there / "out").symlink_to("/etc/passwd")
    (there / "up").symlink_to("../..")
    (there / "within").symlink_to("made")
    os.mkfifo(there / "pipe")
    driver(cluster).fetch(record)
    assert read_record(record.directory) == record
    names = {path.name for path in record.directory.iterdir()}
    assert names >= {"made", "within"}
    assert not names & {"out", "up", "pipe"}
    assert (record.directory / "ended.json").read_text() != "{}"


def test_a_directory_that_is_gone(cluster: Cluster, recorded: Recorded) -> None:
    record = recorded()
    (cluster.jobs / "fit-1").rmdir()
    with pytest.raises(SchedulerError, match=f"rsync with {NAME} failed with status 23: .*fit-1"):
        driver(cluster).tasks(record)


NODES = (("srun", "--quiet"), "$HOME/scratch")


def test_from_nodes_that_keep_it(cluster: Cluster, recorded: Recorded) -> None:
    """The same words as on the login node, whose answer comes through the connection."""
    record = recorded(outputs=("a b", "deep"), fetch=NODES)
    kept = cluster.home / "scratch" / "12"
    leave(kept, {"stdout.txt": "said", "exit-code": "0\n", "a b": "1", "deep/x": "2", "other": "3"})
    cluster.add("srun", 'shift 3; exec "$@"\n')
    cluster.add("squeue", "exit 1\n")
    cluster.add("scontrol", "echo 'JobId=12 JobState=COMPLETED ExitCode=0:0 BatchHost=n1'\n")
    assert driver(cluster).fetch(record) == [None]
    got = files(record.directory)
    assert {"a b": "1", "deep/x": "2", "stdout.txt": "said"}.items() <= got.items()
    assert "other" not in got
    assert not kept.exists(), "what was brought is removed"


def test_a_cut_on_the_way_from_a_node(cluster: Cluster, recorded: Recorded) -> None:
    """Half a tar is no tar: nothing appears, nothing is removed there, and it works again."""
    record = recorded(outputs=("big",), fetch=NODES)
    kept = cluster.home / "scratch" / "12"
    leave(kept, {"stdout.txt": "said", "exit-code": "0\n", "big": "x" * 100_000})
    slow = f'shift 3\n"$@" | {{ head -c 60000; touch {cluster.state}/half; sleep 60; }}\n'
    cluster.add("srun", slow)
    cluster.add("squeue", "exit 1\n")
    cluster.add("scontrol", "echo 'JobId=12 JobState=COMPLETED ExitCode=0:0 BatchHost=n1'\n")
    raised: list[HostError] = []

    def fetch() -> None:
        try:
            driver(cluster).fetch(record)
        except HostError as error:
            raised.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    eventually((cluster.state / "half").exists)
    assert cluster.cut()
    thread.join(30)
    assert f"the connection to {NAME} broke" in str(raised[0])
    assert set(files(record.directory)) <= {"ended.json"}
    assert kept.exists()
    cluster.add("srun", 'shift 3; exec "$@"\n')
    assert driver(cluster).fetch(record) == [None]
    assert files(record.directory)["big"] == "x" * 100_000


def test_a_command_that_sends_no_tar(cluster: Cluster, tmp_path: Path) -> None:
    commands = HostCommands(cluster.host())
    with pytest.raises(SchedulerError, match=f"sh on {NAME} brought no files: no such node"):
        commands.unpack(("sh", "-c", "echo no such node >&2; exit 1"), tmp_path, "stdout.txt")
    with pytest.raises(SchedulerError, match=f"there is no srun on {NAME}|srun: not found"):
        commands.unpack(("srun",), tmp_path, "stdout.txt")
    assert list(tmp_path.iterdir()) == []


def test_the_end_of_a_file(cluster: Cluster) -> None:
    """Byte by byte as it is, however long."""
    commands = HostCommands(cluster.host())
    path = cluster.home / "it's a log"
    data = bytes(range(256)) * 2000
    path.write_bytes(data)
    assert b"".join(commands.tail(path, 0)) == data
    assert b"".join(commands.tail(path, 511_990)) == data[511_990:]
    assert b"".join(commands.tail(path, len(data))) == b""
    assert b"".join(commands.tail(cluster.home / "none", 0)) == b""
    path.chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(SchedulerError, match=f"tail on {NAME}"):
            list(commands.tail(path, 0))
