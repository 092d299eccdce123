"""`pixi-ship submit` and what follows it, on real schedulers without a shared filesystem.

It runs on the submit host as a person would run it there. HTCondor brings files itself; for
Slurm a profile says that nodes keep them, so inputs travel in the script and `fetch` brings
what tasks leave.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from lab.cluster import Lab
from lab.machine import HOME
from lab.slurm import GPUS, NODES
from lab.slurm import wait_for_nodes as wait_for_slurm

from .conftest import Pool

SHOW = "import json, sys; print(json.dumps(sys.argv[1:]))"
WORDS = ["two words", "it's", '"q"', "$HOME", "$(id)", "a\nb", "ü→", "", "-x", "--", "\\", "#", "*"]


@dataclass(frozen=True)
class Submitter:
    """The tool on the submit host, and an image that a scheduler's nodes can have."""

    lab: Lab
    scheduler: str
    image: str

    def run(self, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return self.lab.submit.run("pixi-ship", *words, timeout=timeout)

    def submit(self, *options: str, command: Sequence[str]) -> str:
        """Submit; the job's directory on the submit host."""
        words = ("submit", self.scheduler, self.image, "--plain-http", "--memory", "200M")
        done = self.run(*words, *options, "--", *command)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def wait(self, job: str) -> tuple[int, list[dict[str, Any]]]:
        """The exit code and what each task has come to; then what they left is here."""
        done = self.run("wait", job, "--json")
        tasks = json.loads(done.stdout)["tasks"]
        assert self.run("fetch", job).returncode == 0
        return done.returncode, tasks

    def read(self, path: str) -> str:
        return self.lab.submit.output("cat", path)


@pytest.fixture
def submitter(pool: Pool) -> Submitter:
    return Submitter(*pool)


def test_numpy_with_an_input_and_an_output(submitter: Submitter) -> None:
    script = "import numpy, sys\nnumpy.savetxt('sum.txt', [numpy.loadtxt(sys.argv[1]).sum()])\n"
    submitter.lab.submit.write(f"{HOME}/add.py", script)
    submitter.lab.submit.write(f"{HOME}/data.txt", "1 2\n3 4\n")
    job = submitter.submit(
        *("--input", "add.py", "--input", "data.txt", "--output", "sum.txt"),
        command=["python", "add.py", "data.txt"],
    )
    assert submitter.wait(job)[0] == 0
    assert float(submitter.read(f"{job}/sum.txt")) == 10


def test_words_arrive_unchanged(submitter: Submitter) -> None:
    job = submitter.submit(command=["python", "-c", SHOW, *WORDS])
    assert submitter.wait(job)[0] == 0
    assert json.loads(submitter.read(f"{job}/stdout.txt")) == WORDS


def test_variables_arrive_unchanged(submitter: Submitter) -> None:
    show = "import os, json; print(json.dumps([os.environ[name] for name in ('ONE', 'TWO')]))"
    job = submitter.submit(
        *("--env", 'ONE=it\'s $5 "here"', "--env", "TWO=a\nb"), command=["python", "-c", show]
    )
    assert submitter.wait(job)[0] == 0
    assert json.loads(submitter.read(f"{job}/stdout.txt")) == ['it\'s $5 "here"', "a\nb"]


def test_an_array_of_thirty(submitter: Submitter) -> None:
    """Numbers of their own, outputs of their own, and one that fails."""
    code = "import sys; n = int(sys.argv[1]); open('n', 'w').write(str(n * n)); sys.exit(n == 7)"
    job = submitter.submit(
        *("--array", "1-30", "--output", "n"), command=["python", "-c", code, "{index}"]
    )
    status, tasks = submitter.wait(job)
    assert status == 1
    assert [each["index"] for each in tasks] == list(range(1, 31))
    assert [each["index"] for each in tasks if each["state"] != "done"] == [7]
    found = [submitter.read(f"{job}/task-{number}/n") for number in range(1, 31)]
    assert found == [str(number * number) for number in range(1, 31)]


def test_an_array_of_which_few_run_at_once(submitter: Submitter) -> None:
    """Numbers that do not begin at 0, nor follow each other."""
    job = submitter.submit("--array", "1-9:4%2", command=["python", "-c", SHOW, "n={index}"])
    status, tasks = submitter.wait(job)
    assert (status, [each["index"] for each in tasks]) == (0, [1, 5, 9])
    found = [json.loads(submitter.read(f"{job}/task-{number}/stdout.txt")) for number in (1, 5, 9)]
    assert found == [["n=1"], ["n=5"], ["n=9"]]


@pytest.mark.parametrize("items", [["a.root", "b/c.root"], ["it's $5", "a  b", "ü"]])
def test_items(submitter: Submitter, items: list[str]) -> None:
    submitter.lab.submit.write(f"{HOME}/items", "\n".join(items) + "\n")
    job = submitter.submit(
        "--foreach", "items", command=["python", "-c", SHOW, "<{item}>", "{index}"]
    )
    assert submitter.wait(job)[0] == 0
    found = [json.loads(submitter.read(f"{job}/task-{n}/stdout.txt")) for n in range(len(items))]
    assert found == [[f"<{item}>", str(number)] for number, item in enumerate(items)]


def test_a_job_that_fails(submitter: Submitter) -> None:
    code = "import sys; print('why', file=sys.stderr); sys.exit(3)"
    job = submitter.submit(command=["python", "-c", code])
    status, (task,) = submitter.wait(job)
    assert (status, task["state"], task["exit_code"]) == (3, "failed", 3)
    assert submitter.run("logs", job, "--stderr").stdout == "why\n"


def test_a_job_that_is_cancelled(submitter: Submitter) -> None:
    job = submitter.submit(command=["sleep", "1000"])
    assert submitter.run("cancel", job).returncode == 0
    status, (task,) = submitter.wait(job)
    assert status != 0
    assert task["state"] == "cancelled"


def test_an_array_that_is_cancelled(submitter: Submitter) -> None:
    """Also the tasks that had not begun, which the schedulers forget first."""
    job = submitter.submit("--array", "0-9%2", command=["sleep", "1000"])
    assert submitter.run("cancel", job).returncode == 0
    status, tasks = submitter.wait(job)
    assert status != 0
    assert {each["state"] for each in tasks} == {"cancelled"}


def test_another_process_follows_the_log(submitter: Submitter) -> None:
    """Also one that the node keeps, and then once more when all has ended."""
    code = "import time; print('one', flush=True); time.sleep(3); print('two', flush=True)"
    job = submitter.submit(command=["python", "-c", code])
    for words in (("--follow",), ("--follow",), ()):
        followed = submitter.run("logs", *words, job)
        assert (followed.returncode, followed.stdout) == (0, "one\ntwo\n"), followed.stderr


def test_gpus(submitter: Submitter) -> None:
    code = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES', ''))"
    job = submitter.submit("--gpus", "1", command=["python", "-c", code])
    assert submitter.wait(job)[0] == 0
    assert submitter.read(f"{job}/stdout.txt").strip() != ""


def test_gpus_that_nobody_has(submitter: Submitter) -> None:
    """Slurm refuses at once, HTCondor lets the job wait, and says what it lacks when asked."""
    words = ("submit", submitter.scheduler, submitter.image, "--plain-http")
    done = submitter.run(*words, "--gpus", str(GPUS + 7), "--", "true")
    if submitter.scheduler == "slurm":
        assert done.returncode == 1
        assert "Requested node configuration is not available" in done.stderr
        return
    job = done.stdout.strip()
    waited = submitter.run("wait", job, "--timeout", "10")
    assert waited.returncode == 1
    assert "has not ended in 10 s" in waited.stderr
    assert f"no slot has GPUs >= {GPUS + 7}" in submitter.run("status", job).stdout
    assert submitter.run("cancel", job).returncode == 0


def test_a_node_fetches_the_image_once(nodes: Lab, oras: str) -> None:
    """Tasks that start together on nodes without the image: its bytes once a node."""
    submitter = Submitter(nodes, "slurm", oras)
    left = "/scratch/images/sha256-0.sif.1.tmp"
    for name in NODES:
        script = f"rm -rf /scratch/images; mkdir -p /scratch/images; touch {left}"
        nodes.submit.output("srun", "--chdir=/", "-w", name, "sh", "-c", script)
    before = nodes.traffic()
    job = submitter.submit("--array", "0-11", command=["greet"])
    assert submitter.wait(job)[0] == 0
    found = nodes.submit.output(
        *("srun", "--chdir=/", f"--nodes={len(NODES)}", "sh", "-c"),
        "ls -s --block-size=1 /scratch/images/*.sif || true",
    )
    size = max(int(line.split()[0]) for line in found.splitlines())
    used = [name for name in NODES if (nodes.traffic()[name] - before[name]).received > size // 2]
    assert used
    for name in used:
        assert (nodes.traffic()[name] - before[name]).received < 1.1 * size + 2_000_000
        there = nodes.submit.output("srun", "--chdir=/", "-w", name, "ls", "-A", "/scratch/images")
        assert not [each for each in there.split() if "tmp" in each or "apptainer" in each]


def test_a_node_that_dies(nodes: Lab, oras: str) -> None:
    """The task is run anew on another node."""
    submitter = Submitter(nodes, "slurm", oras)
    code = "import os, time; print(os.uname().nodename, flush=True); time.sleep(15)"
    job = submitter.submit(command=["python", "-c", code])
    number = json.loads(submitter.read(f"{job}/job.json"))["id"]
    place = ""
    while not place:
        place = nodes.submit.output("squeue", "--noheader", "--jobs", number, "--format=%N").strip()
    nodes.kill(place)
    try:
        assert submitter.wait(job)[0] == 0
        assert submitter.read(f"{job}/stdout.txt").strip() != place
    finally:
        nodes.restart(place)
        wait_for_slurm(nodes.submit)
