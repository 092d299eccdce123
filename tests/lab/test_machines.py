"""The lab's machines are apart from each other and from this one; they die and come back, and
nothing of them stays when the lab goes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from lab.cluster import Lab
from lab.errors import LabError
from lab.machine import Machine
from lab.service import wait_until

from lab import htcondor, slurm

from ..conftest import REPOSITORY
from . import condor_jobs, slurm_jobs
from .conftest import lab_or_skip

SPACES = ("mnt", "uts", "ipc", "net", "pid")


def spaces(pid: int | str) -> dict[str, str]:
    """The namespaces of a process."""
    return {name: str(Path(f"/proc/{pid}/ns/{name}").readlink()) for name in SPACES}


def test_each_has_namespaces_and_a_name_of_its_own(lab: Lab) -> None:
    taken = [spaces("self")]
    for machine in lab.machines.values():
        assert machine.process is not None
        taken.append(spaces(machine.process.pid))
        assert machine.output("uname", "-n").strip() == machine.name
    for name in SPACES:
        assert len({each[name] for each in taken}) == len(taken)


def test_each_reaches_the_others_and_nothing_else(lab: Lab) -> None:
    ask = "import socket, sys; socket.create_connection((sys.argv[1], sys.argv[2]), 10).close()"
    for machine in lab.machines.values():
        machine.output("python3", "-c", ask, *lab.registry.split(":"))
        done = machine.run("python3", "-c", ask, "192.0.2.1", "80")  # RFC 5737: nobody's
        assert "Network is unreachable" in done.stderr
    here = {path.name for path in Path("/sys/class/net").iterdir()}
    assert not here & set(lab.machines)


def test_processes_of_others_are_not_seen(lab: Lab) -> None:
    names = lab.slurm_nodes[0].output("sh", "-c", "cat /proc/[0-9]*/comm").split()
    assert "slurmd" in names
    assert not {"slurmctld", "condor_master", "mariadbd"} & set(names)


def test_the_root_filesystem_stays_as_it_was(lab: Lab) -> None:
    node = lab.slurm_nodes[0]
    node.output("sh", "-c", "echo changed >/etc/hostname; touch /usr/bin/new", user="root")
    assert not (lab.root / "usr" / "bin" / "new").exists()
    assert "changed" not in (lab.root / "etc" / "hostname").read_text()
    assert node.output("cat", "/etc/hostname") == "changed\n"
    assert lab.submit.run("ls", "/usr/bin/new").returncode != 0


def test_files_go_in_and_out_whole(lab: Lab, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_bytes(bytes(range(256)) * 1000)
    (tree / "link").symlink_to("sub/file")
    lab.submit.copy_in(tree, "/scratch/in")
    assert lab.submit.output("stat", "-c", "%U", "/scratch/in/tree/sub/file") == "ordinary\n"
    back = lab.submit.copy_out("/scratch/in/tree", tmp_path / "back")
    assert (back / "sub" / "file").read_bytes() == (tree / "sub" / "file").read_bytes()
    assert (back / "link").readlink() == Path("sub/file")
    with pytest.raises(LabError, match="No such file"):
        lab.submit.copy_out("/scratch/none", tmp_path / "none")


def test_a_command_over_its_time_is_ended(lab: Lab) -> None:
    for limit in (2, 10, 60):  # seconds: a busy machine may take long to begin
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            lab.submit.run("sh", "-c", "echo begun; exec sleep 987", timeout=limit)
        if caught.value.stdout:
            break
    else:
        pytest.fail(f"the command did not begin within {limit} s")
    wait_until("it has gone", lambda: "sleep\0987" not in command_lines(lab.submit), "nothing")


def command_lines(machine: Machine) -> str:
    return machine.output("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null || true")


def test_bytes_are_those_of_the_link(lab: Lab) -> None:
    size = 20_000_000
    lab.submit.output("sh", "-c", f"head -c {size} /dev/zero >/scratch/zeros")
    words = ("salloc", "--quiet", "-w", "slurm1", "sbcast", "--force")
    before = lab.traffic()
    lab.submit.output(*words, "/scratch/zeros", "/scratch/zeros")
    after = lab.traffic()
    moved = {name: after[name] - before[name] for name in after}
    assert size < moved["slurm1"].received < 1.05 * size
    assert size < moved["submit"].sent < 1.05 * size
    assert moved["slurm2"].received < 100_000


def test_a_throttled_link_still_works(lab: Lab) -> None:
    lab.throttle("slurm1", 100)
    try:
        assert "rate 100Mbit" in queue_of("slurm1", lab)
        words = ("srun", "--chdir=/", "-w", "slurm1", "wc", "-c")
        assert lab.submit.output(*words, input=bytes(1_000_000)).strip() == "1000000"
    finally:
        lab.throttle("slurm1", None)
    assert "rate" not in queue_of("slurm1", lab)


def queue_of(machine: str, lab: Lab) -> str:
    """What the switch says of the link to a machine."""
    pid = json.loads((lab.folder / "state.json").read_text())["switch"]["pid"]
    words = ["nsenter", "--target", str(pid), "--net", "tc", "qdisc", "show", "dev", machine]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_a_killed_node_of_slurm_comes_back(nodes: Lab) -> None:
    """Its job is put into the queue again and runs when the node is back."""
    name = slurm.NODES[0]
    script = "if [ -e /scratch/$SLURM_JOB_ID.first ]; then exit 7; fi; sync\n"
    script += "touch /scratch/$SLURM_JOB_ID.first; sync; sleep 1000"
    job = slurm_jobs.submit(nodes, script, f"--nodelist={name}", "--requeue")
    node = nodes.machine(name)
    first = ("ls", f"/scratch/{job}.first")
    log = str(node.logs / "slurm" / "slurmd.log")
    wait_until("the job has begun", lambda: node.run(*first).returncode == 0, log)
    nodes.kill(name)
    assert not node.running
    with pytest.raises(LabError, match=f"{name} does not run"):
        node.output("true")
    log = str(nodes.submit.logs / "slurm" / "slurmctld.log")
    down = ("sinfo", "--noheader", "--nodes", name, "--Format=statelong")
    wait_until("the node is down", lambda: "down" in nodes.submit.output(*down), log, 180)
    nodes.restart(name)
    slurm.wait_for_nodes(nodes.submit)

    def again() -> bool:
        # Slurm waits two minutes before it tries a job again; its user need not.
        nodes.submit.run("scontrol", "update", f"JobId={job}", "StartTime=now")
        return slurm_jobs.state(nodes, job) != "PENDING"

    wait_until("the job is tried again", again, log, 300)
    ended = slurm_jobs.wait(nodes, job)[job]
    assert (ended.exit_code, ended.node) == ("7:0", name)
    assert slurm_jobs.shown(nodes, job, "Restarts") == "1"


def test_a_killed_node_of_htcondor_comes_back(nodes: Lab) -> None:
    """Its job is started again when the lease on the node has run out."""
    name = htcondor.NODES[0]
    description = f'executable = job.sh\nrequirements = Machine == "{name}"\nqueue'
    script = "[ ! -e /scratch/condor.first ] || exit 7; touch /scratch/condor.first; sleep 1000\n"
    jobs = condor_jobs.submit(nodes, description, job=script)
    node = nodes.machine(name)
    log = str(node.logs / "condor" / "StartLog")
    first = ("ls", "/scratch/condor.first")
    wait_until("the job has begun", lambda: node.run(*first).returncode == 0, log)
    nodes.kill(name)
    nodes.restart(name)
    htcondor.wait_for_nodes(nodes.submit)
    (ad,) = jobs.wait(patience=300)
    assert (ad["ExitCode"], ad["NumJobStarts"]) == (7, 2)
    node.output("rm", "/scratch/condor.first")


def test_up_where_it_is_up_changes_nothing(nodes: Lab) -> None:
    before = {name: machine.process for name, machine in nodes.machines.items()}
    again = Lab(nodes.folder.parent)
    assert not again.up()
    assert {name: machine.process for name, machine in again.machines.items()} == before


def test_the_commands(nodes: Lab) -> None:
    def said(*words: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "lab", "--data", str(nodes.folder.parent), *words]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    assert "was up" in said("up")
    assert "slot1@condor2" in said("status")
    assert {"submit", "slurm1", "registry"} <= {
        row.split()[0] for row in said("bytes").split("\n") if row
    }
    assert said("run", "slurm2", "id", "-un").strip() == "ordinary"
    assert said("--as", "root", "run", "slurm2", "id", "-un").strip() == "root"
    said("run", "slurm2", "sh", "-c", "exit 9", status=9)
    assert "no machine nope" in said("run", "nope", "true", status=1)


def test_without_a_root_filesystem_it_says_so(tmp_path: Path) -> None:
    lab_or_skip()
    lab = Lab(tmp_path)
    assert "no lab-root here (make lab-up" in str(lab.missing())
    with pytest.raises(LabError, match="no lab-root here"):
        lab.up()
    assert not lab.down()
    assert list(tmp_path.iterdir()) == []


def test_without_root_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "only root" in str(Lab(tmp_path).missing())


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Lab]:
    """A second lab on the same root filesystem; the two know nothing of each other."""
    root = lab_or_skip().root
    (tmp_path / "lab-root").symlink_to(root)
    lab = Lab(tmp_path)
    yield lab
    lab.down()


def left(namespaces: set[str]) -> list[str]:
    """The processes that are in any of these namespaces."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end meanwhile
            if namespaces & set(spaces(process.name).values()):
                found.append(f"{process.name} {(process / 'comm').read_text().strip()}")
    return found


def mounts(folder: Path) -> list[str]:
    table = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in table if str(folder) in line]


def test_down_leaves_nothing(other: Lab, tmp_path: Path) -> None:
    links = sorted(Path("/sys/class/net").iterdir())
    assert other.up()
    taken = {
        space
        for machine in other.machines.values()
        if machine.process is not None
        for space in spaces(machine.process.pid).values()
    }
    assert len(left(taken)) > len(other.machines)
    assert sorted(Path("/sys/class/net").iterdir()) == links
    assert other.down()
    assert left(taken) == []
    assert mounts(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["lab-root"]
    assert not other.down()


def test_a_failed_up_ends_everything_and_names_a_log(
    other: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: set[str] = set()

    def fail(submit: Machine) -> None:
        for machine in other.machines.values():
            assert machine.process is not None
            taken.update(spaces(machine.process.pid).values())
        raise LabError("HTCondor has condor1: not so", hint=f"see {submit.logs}/condor/MasterLog")

    monkeypatch.setattr(htcondor, "wait_for_nodes", fail)
    with pytest.raises(LabError) as caught:
        other.up()
    assert left(taken) == []
    assert Path(str(caught.value.hint).removeprefix("see ")).read_text()
    kept = {path.name for path in (tmp_path / "lab" / "submit").iterdir()}
    assert kept == {"logs", "boot.log"}
    assert not other.running


def test_an_interrupted_up_is_cleared_by_the_next(
    other: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state that says less than all is up, with machines that run."""
    other.up()
    first = {name: machine.process for name, machine in other.machines.items()}
    state = other.folder / "state.json"
    state.write_text(state.read_text().replace('"complete": true', '"complete": false'))
    assert Lab(other.folder.parent).up()
    assert not any(process.alive() for process in first.values() if process)
