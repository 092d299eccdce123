"""The lab's Slurm is a real one: jobs run on each node, fail, wait and are counted as elsewhere,
and without a shared filesystem their files come back in the ways shown here.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from lab.cluster import Lab
from lab.errors import LabError
from lab.service import wait_until
from lab.slurm import CPUS, GPU_NODE, GPU_TYPE, GPUS, NODES

from .slurm_jobs import reason, state, submit, wait, wait_for


@pytest.mark.parametrize("node", NODES)
def test_a_job_runs_on_each_node(nodes: Lab, node: str) -> None:
    assert nodes.submit.output("srun", "-w", node, "hostname").strip() == node


def test_one_job_on_all_nodes(nodes: Lab) -> None:
    said = nodes.submit.output("srun", f"--nodes={len(NODES)}", "hostname")
    assert sorted(said.split()) == list(NODES)


def test_an_array_and_exit_codes(nodes: Lab) -> None:
    job = submit(nodes, "exit $SLURM_ARRAY_TASK_ID", "--array=0-3", output="/scratch/%A_%a.out")
    ended = wait(nodes, job)
    assert {name: each.exit_code for name, each in ended.items()} == {
        f"{job}_{number}": f"{number}:0" for number in range(4)
    }
    assert ended[f"{job}_0"].state == "COMPLETED"
    assert {ended[f"{job}_{number}"].state for number in (1, 2, 3)} == {"FAILED"}


def test_a_signal_is_told_from_an_exit_code(nodes: Lab) -> None:
    job = submit(nodes, "kill -KILL $$")
    assert wait(nodes, job)[job].exit_code == "0:9"


def test_a_job_that_is_cancelled(nodes: Lab) -> None:
    job = submit(nodes, "sleep 1000")
    wait_for(nodes, job, "RUNNING")
    nodes.submit.output("scancel", job)
    assert wait(nodes, job)[job].state.startswith("CANCELLED")


def test_gpus_are_given_on_the_node_that_has_them(nodes: Lab) -> None:
    script = "hostname; echo $CUDA_VISIBLE_DEVICES"
    said = nodes.submit.output("srun", f"--gres=gpu:{GPU_TYPE}:{GPUS}", "sh", "-c", script)
    assert said.split() == [GPU_NODE, ",".join(map(str, range(GPUS)))]


def test_a_job_waits_for_busy_gpus(nodes: Lab) -> None:
    holder = submit(nodes, "sleep 1000", f"--gpus={GPUS}")
    wait_for(nodes, holder, "RUNNING")
    waiting = submit(nodes, "true", "--gpus=1")
    wait_for(nodes, submit(nodes, "true"), "COMPLETED")  # others pass it meanwhile
    assert (state(nodes, waiting), reason(nodes, waiting)) == ("PENDING", "Resources")
    nodes.submit.output("scancel", holder)
    assert wait(nodes, waiting)[waiting].node == GPU_NODE


@pytest.mark.parametrize(
    "option", [f"--gpus={GPUS + 1}", "--gpus=h100:1", "--mem=64G", f"--cpus-per-task={CPUS + 1}"]
)
def test_what_no_node_has_is_refused_at_once(nodes: Lab, option: str) -> None:
    with pytest.raises(LabError, match="Requested node configuration is not available"):
        submit(nodes, "true", option)


def test_what_the_partition_has_not_enough_of_waits_for_ever(nodes: Lab) -> None:
    """It might get more nodes one day, so this is not refused."""
    job = submit(nodes, "true", f"--nodes={len(NODES) + 1}")
    wait_for(nodes, submit(nodes, "true"), "COMPLETED")
    assert (state(nodes, job), reason(nodes, job)[:9]) == ("PENDING", "Partition")
    nodes.submit.output("scancel", job)


def test_nodes_see_no_files_of_the_submit_host(nodes: Lab) -> None:
    nodes.submit.write("/home/ordinary/here.txt", "of the submit host")
    nodes.submit.write("/scratch/here.txt", "of the submit host")
    script = "cat /home/ordinary/here.txt /scratch/here.txt"
    done = nodes.submit.run("srun", "--chdir=/", "sh", "-c", script)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.count("No such file or directory") == 2


def test_nodes_see_no_files_of_each_other(nodes: Lab) -> None:
    first, second = NODES[:2]
    nodes.submit.output("srun", "-w", first, "touch", "/scratch/mine")
    assert nodes.submit.run("srun", "-w", second, "ls", "/scratch/mine").returncode != 0
    assert nodes.submit.run("srun", "-w", first, "ls", "/scratch/mine").returncode == 0


def test_output_of_a_batch_job_stays_on_its_node(nodes: Lab) -> None:
    job = submit(nodes, "echo said; echo file >result.txt", f"--nodelist={NODES[1]}")
    assert wait(nodes, job)[job].node == NODES[1]
    path = f"/scratch/{job}.out"
    assert nodes.submit.run("ls", path).returncode != 0
    assert nodes.submit.output("srun", "-w", NODES[1], "cat", path) == "said\n"


def test_srun_brings_output_and_exit_code_back(nodes: Lab) -> None:
    """What `srun` is told to write, it writes where it runs, if the name asks for no task."""
    words = ("srun", "--output=out.%j", "--error=err.%j", "sh", "-c", "echo o; echo e >&2; exit 5")
    done = nodes.submit.run(*words, cwd="/scratch")
    assert done.returncode == 5
    names = nodes.submit.output("ls", "/scratch").split()
    found = sorted(name for name in names if name.startswith(("out.", "err.")))
    assert [nodes.submit.output("cat", f"/scratch/{name}")[0] for name in found] == ["e", "o"]
    nodes.submit.output("rm", *(f"/scratch/{name}" for name in found))


def test_files_go_there_by_sbcast_and_come_back_by_srun(nodes: Lab, tmp_path: Path) -> None:
    """An allocation whose command runs on the submit host: `sbcast` reads that host's files."""
    data = tmp_path / "bytes"
    data.write_bytes(hashlib.shake_128(b"bytes").digest(5_000_000))
    nodes.submit.copy_in(data, "/scratch")
    script = (
        "sbcast --force bytes /scratch/there && srun test ! -e /scratch/bytes &&"
        " srun --chdir=/scratch tar -c there | tar -x"
    )
    nodes.submit.output("salloc", "--quiet", "-w", NODES[0], "sh", "-c", script, cwd="/scratch")
    back = nodes.submit.copy_out("/scratch/there", tmp_path / "back")
    assert back.read_bytes() == data.read_bytes()


def test_files_of_a_running_job_come_back_through_a_step_of_it(nodes: Lab, tmp_path: Path) -> None:
    """The job waits until it is told that its files were taken, then ends with its own status."""
    script = (
        "trap 'taken=1' USR1; mkdir $SLURM_JOB_ID; cd $SLURM_JOB_ID\n"
        "head -c 100000 /dev/urandom >result; touch ../$SLURM_JOB_ID.finished\n"
        'until [ -n "$taken" ]; do sleep 0.1; done; sha256sum <result; exit 3\n'
    )
    job = submit(nodes, script)
    wait_for(nodes, job, "RUNNING")
    step = ("srun", "--quiet", f"--jobid={job}", "--overlap", "--chdir=/scratch")
    ready = f"until [ -e {job}.finished ]; do sleep 0.1; done; tar -c {job}"
    nodes.submit.output("sh", "-c", '"$@" | tar -x', "sh", *step, "sh", "-c", ready, cwd="/tmp")
    nodes.submit.output("scancel", "--batch", "--signal=USR1", job)
    ended = wait(nodes, job)[job]
    assert (ended.state, ended.exit_code) == ("FAILED", "3:0")
    back = nodes.submit.copy_out(f"/tmp/{job}/result", tmp_path)
    said = nodes.submit.output("srun", "-w", ended.node, "cat", f"/scratch/{job}.out")
    assert said.split()[0] == hashlib.sha256(back.read_bytes()).hexdigest()


def test_files_of_an_ended_job_come_back_through_one_that_follows(nodes: Lab) -> None:
    job = submit(nodes, "echo late >$SLURM_JOB_ID.txt; exit 1", f"--nodelist={NODES[2]}")
    words = ("--quiet", f"--dependency=afterany:{job}", "-w", NODES[2], "--chdir=/scratch")
    assert nodes.submit.output("srun", *words, "cat", f"{job}.txt") == "late\n"


def test_sattach_follows_a_step(nodes: Lab) -> None:
    """It tells also what the step had said before."""
    until = "until [ -e $SLURM_JOB_ID.go ]; do sleep 0.1; done"
    script = f"srun sh -c 'echo one; touch $SLURM_JOB_ID.begun; {until}; echo two'"
    job = submit(nodes, script, f"--nodelist={NODES[0]}")
    node = nodes.slurm_nodes[0]
    begun = ("ls", f"/scratch/{job}.begun")
    # Earlier there is nothing to attach to yet.
    wait_until("the step has begun", lambda: not node.run(*begun).returncode, f"{node.logs}/slurm")
    words = nodes.submit.command("sattach", f"{job}.0")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "one\n"
        node.output("touch", f"/scratch/{job}.go")
        assert follower.stdout.read() == "two\n"
    assert wait(nodes, job)[job].state == "COMPLETED"


def test_small_files_travel_in_the_script(nodes: Lab) -> None:
    """Slurm takes a script to the node; 4 MB is the limit of its controller's defaults."""
    body = "x" * 1_000_000
    job = submit(nodes, f"sed '1,/^DATA$/d' \"$0\" | wc -c; exit\nDATA\n{body}")
    ended = wait(nodes, job)[job]
    path = f"/scratch/{job}.out"
    assert nodes.submit.output("srun", "-w", ended.node, "cat", path).strip() == str(len(body))
    with pytest.raises(LabError, match="too long"):
        submit(nodes, f"exit\n{body * 5}")
