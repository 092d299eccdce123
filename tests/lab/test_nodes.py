"""What images cost a node of Slurm: one transfer for all its jobs, and then what changed.

Bytes are those of the node's link, counted by the lab's switch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from lab.cluster import Lab
from lab.machine import HOME
from lab.slurm import CROWD, CROWDED_NODE
from lab.tool import TOOL_ON_NODES

from ..conftest import TestData
from ..contract.tools import output
from .test_submit import Submitter

IMAGES = "/scratch/images"
MANY = 100
# What schedulers say and manifests take beside blobs, for a hundred tasks.
SMALL = 3_000_000
PROFILE = f"""\
[slurm]
shared = false
scratch = "/scratch"
images = "{IMAGES}"
partition = "{CROWD}"
"""
WITH_TOOL = f"""\
lines = ['PATH="{TOOL_ON_NODES}:$PATH"']
"""


@pytest.fixture
def crowd(nodes: Lab, numpy_versions: list[str]) -> Iterator[Callable[..., Submitter]]:
    """Who submits to one node, without images; with pixi-ship there or not."""

    def made(image: str, *, tool: bool) -> Submitter:
        text = PROFILE + (WITH_TOOL if tool else "")
        nodes.submit.write(f"{HOME}/crowd.toml", text)
        return Submitter(nodes, "slurm", image)

    on_node(nodes, "rm -rf /scratch/images")
    yield made
    on_node(nodes, "rm -rf /scratch/images")


def on_node(lab: Lab, script: str) -> str:
    return lab.submit.output(
        *("srun", "--chdir=/", f"--partition={CROWD}", "-w", CROWDED_NODE, "sh", "-c", script),
    )


@pytest.fixture(scope="session")
def numpy_versions(lab: Lab, numpy_build: list[str], channel_data: TestData) -> list[str]:
    """Two versions of the numpy workspace, one package apart, in layers and as a SIF."""
    found = []
    for name in ("numpy", "numpy-updated"):
        words = list(numpy_build)
        words[words.index("--workspace") + 1] = str(channel_data.workspace(name))
        place = f"{lab.registry}/lab/versions:{name}"
        to = ("--plain-http", "--to", f"docker://{place}", "--to", f"oras://{place}-sif")
        output(*lab.submit.with_network(*words, *to))
        found.append(place)
    return found


def received(lab: Lab) -> int:
    return lab.traffic()[CROWDED_NODE].received


def run_one(submitter: Submitter, *options: str) -> int:
    """Run a job that uses the image; what its node received meanwhile."""
    before = received(submitter.lab)
    job = submitter.submit("--site", "crowd.toml", *options, command=["greet"])
    assert submitter.wait(job)[0] == 0
    return received(submitter.lab) - before


def size_of_images(lab: Lab) -> int:
    return int(on_node(lab, f"du -bc {IMAGES}/*.sif | tail -1").split()[0])


@pytest.mark.parametrize(
    ("kind", "tool"),
    [("docker", False), ("docker", True), ("oras", True)],
    ids=["layers by Apptainer", "layers by pixi-ship", "SIF by pixi-ship"],
)
def test_the_next_version_moves_what_changed(
    crowd: Callable[..., Submitter], numpy_versions: list[str], kind: str, tool: bool
) -> None:
    """The package that changed is a few kilobytes of ninety megabytes."""
    tag = "-sif" if kind == "oras" else ""
    old, new = (crowd(f"{kind}://{place}{tag}", tool=tool) for place in numpy_versions)
    first = run_one(old)
    assert first > 50_000_000
    assert run_one(old) < SMALL
    assert run_one(new) < SMALL


def test_a_hundred_jobs_on_one_node(
    crowd: Callable[..., Submitter], numpy_versions: list[str]
) -> None:
    submitter = crowd(f"oras://{numpy_versions[0]}-sif", tool=False)
    used = run_one(submitter, "--array", f"0-{MANY - 1}", "--memory", "50M")
    size = size_of_images(submitter.lab)
    assert size < used < 1.1 * size + SMALL
    left = on_node(submitter.lab, f"ls -A {IMAGES}").split()
    assert sorted(each[:7] for each in left) == [".lock", "sha256-"]


@pytest.mark.parametrize("tool", [False, True], ids=["by Apptainer", "by pixi-ship"])
def test_a_puller_that_is_killed(
    crowd: Callable[..., Submitter], numpy_versions: list[str], tool: bool
) -> None:
    """By SIGKILL, in mid-transfer: one of the others takes over."""
    submitter = crowd(f"docker://{numpy_versions[0]}", tool=tool)
    lab = submitter.lab
    job = submitter.submit(
        *("--site", "crowd.toml", "--array", "0-9", "--memory", "100M"), command=["greet"]
    )
    name = "pixi_ship pull" if tool else "apptainer .*pull"
    killed = _kill_one(lab, name)
    status, tasks = submitter.wait(job)
    bad = [each["index"] for each in tasks if each["state"] != "done"]
    assert len(bad) <= 1, (killed, tasks)
    assert status == (0 if not bad else status)
    assert run_one(submitter) < SMALL  # the image is there, and it works
    assert not [each for each in on_node(lab, f"ls {IMAGES}").split() if each.endswith(".tmp")]


def _kill_one(lab: Lab, pattern: str) -> str:
    """Kill the first process that pulls, once bytes have come; by its number."""
    node = next(each for each in lab.slurm_nodes if each.name == CROWDED_NODE)
    before = received(lab)
    for _ in range(600):
        numbers = node.run("pgrep", "-f", pattern).stdout.split()
        if numbers and received(lab) - before > 1_000_000:
            node.output("kill", "-KILL", numbers[0])
            return numbers[0]
        time.sleep(0.05)
    raise AssertionError("nobody pulled")
