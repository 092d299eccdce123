"""The lab's HTCondor is a real one: jobs run on each node, their files go there and come back
without a shared filesystem, and GPUs are matched by what jobs ask of them.
"""

from __future__ import annotations

import pytest
from lab.cluster import Lab
from lab.htcondor import GPU_CAPABILITY, GPU_MEMORY, GPU_NODE, GPU_RUNTIME, GPUS, NODES
from lab.service import wait_until

from .condor_jobs import submit


def where(ad: dict[str, object]) -> str:
    """The machine that ran a job."""
    return str(ad["LastRemoteHost"]).rpartition("@")[2]


@pytest.mark.parametrize("node", NODES)
def test_a_job_runs_on_each_node(nodes: Lab, node: str) -> None:
    only = f'executable = job.sh\nrequirements = Machine == "{node}"\nqueue'
    jobs = submit(nodes, only, job="hostname; id -un\n")
    (ad,) = jobs.wait()
    assert (where(ad), ad["ExitCode"]) == (node, 0)
    assert jobs.read("0.out").split() == [node, "ordinary"]


def test_a_queue_of_several_and_exit_codes(nodes: Lab) -> None:
    description = "executable = job.sh\narguments = $(Process)\nqueue 4"
    jobs = submit(nodes, description, job="exit $1\n")
    assert [(ad["ExitCode"], ad["JobStatus"]) for ad in jobs.wait()] == [
        (code, 4) for code in range(4)
    ]


def test_a_signal_is_told_from_an_exit_code(nodes: Lab) -> None:
    (ad,) = submit(nodes, "executable = job.sh\nqueue", job="kill -KILL $$\n").wait()
    assert (ad["ExitBySignal"], ad["ExitSignal"]) == (True, 9)


def test_files_are_transferred(nodes: Lab) -> None:
    """What is named goes there and comes back; the rest of either machine is not seen."""
    script = (
        "ls /home/ordinary; cat other.sh >back.txt; echo not asked for >left.txt;"
        " mkdir sub; echo deep >sub/deep.txt\n"
    )
    description = (
        "executable = job.sh\ntransfer_input_files = other.sh\n"
        "transfer_output_files = back.txt, sub\nqueue"
    )
    jobs = submit(nodes, description, job=script, other="input\n")
    (ad,) = jobs.wait()
    assert ad["ExitCode"] == 0
    assert jobs.read("0.out") == ""  # a home with nothing in it
    assert jobs.read("back.txt") == "#!/bin/sh\ninput\n"
    assert jobs.read("sub/deep.txt") == "deep\n"
    assert "left.txt" not in jobs.listed()


def test_a_missing_output_file_holds_the_job(nodes: Lab) -> None:
    jobs = submit(nodes, "executable = job.sh\ntransfer_output_files = no\nqueue", job="true\n")
    log = str(nodes.submit.logs / "condor" / "SchedLog")
    wait_until("the job is held", lambda: jobs.status() == "held", log)
    assert "no" in str(jobs.queued()["HoldReason"])
    nodes.submit.output("condor_rm", jobs.cluster)


def gpus(capability: float, memory: int, runtime: float, number: int = 1) -> str:
    return (
        f"executable = job.sh\nrequest_gpus = {number}\ngpus_minimum_capability = {capability}\n"
        f"gpus_minimum_memory = {memory}\ngpus_minimum_runtime = {runtime}\nqueue"
    )


def test_gpus_are_matched(nodes: Lab) -> None:
    asked = gpus(GPU_CAPABILITY, GPU_MEMORY, GPU_RUNTIME / 1000, GPUS)
    jobs = submit(nodes, asked, job="echo $CUDA_VISIBLE_DEVICES\n")
    (ad,) = jobs.wait()
    assert where(ad) == GPU_NODE
    assert len(jobs.read("0.out").split(",")) == GPUS


@pytest.mark.parametrize(
    "asked",
    [
        gpus(GPU_CAPABILITY + 1, 1, 1),
        gpus(1, GPU_MEMORY + 1, 1),
        gpus(1, 1, GPU_RUNTIME / 1000 + 1),
        gpus(1, 1, 1, GPUS + 1),
    ],
    ids=["capability", "memory", "runtime", "number"],
)
def test_gpus_that_no_node_has_leave_a_job_idle(nodes: Lab, asked: str) -> None:
    jobs = submit(nodes, asked, job="true\n")
    # One that is submitted later and has run shows that a negotiation has passed it by.
    submit(nodes, "executable = job.sh\nqueue", job="true\n").wait()
    log = str(nodes.submit.logs / "condor" / "NegotiatorLog")
    wait_until("the job was looked at", lambda: "LastRejMatchTime" in jobs.queued(), log)
    assert jobs.status() == "idle"
    nodes.submit.output("condor_rm", jobs.cluster)
