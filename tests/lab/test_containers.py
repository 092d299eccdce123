"""Jobs of both schedulers run what pixi-ship makes: a SIF file that Apptainer mounts on the node,
and an image that the node pulls from a registry.
"""

from __future__ import annotations

import pytest
from lab.cluster import Lab
from lab.slurm import NODES

from . import condor_jobs

GREETING = "hello world from greet 1.0 in /app/.pixi/envs/default"
SUM = "import numpy; print(numpy.ones((3, 3)).sum())"


def test_a_sif_file_in_a_slurm_job(nodes: Lab, sif: str) -> None:
    script = (
        f"sbcast --force {sif} /scratch/numpy.sif &&"
        f' srun --chdir=/scratch apptainer exec numpy.sif python -c "{SUM}"'
    )
    before = nodes.traffic()
    words = ("salloc", "--quiet", "-w", NODES[1], "sh", "-c", script)
    assert nodes.submit.output(*words) == "9.0\n"
    size = int(nodes.submit.output("stat", "-c", "%s", sif))
    received = {name: each - before[name] for name, each in nodes.traffic().items()}
    assert size < received[NODES[1]].received < 1.05 * size + 1_000_000
    assert received[NODES[0]].received < 1_000_000


@pytest.mark.parametrize("node", ["condor1", "condor2"])
def test_a_sif_file_in_an_htcondor_job(nodes: Lab, sif: str, node: str) -> None:
    """The container universe takes the file there and starts the job in it."""
    description = (
        f"universe = container\ncontainer_image = {sif}\nexecutable = job.sh\n"
        f'requirements = Machine == "{node}"\nqueue'
    )
    jobs = condor_jobs.submit(nodes, description, job=f'hostname; greet; python -c "{SUM}"\n')
    (ad,) = jobs.wait()
    assert ad["ExitCode"] == 0, jobs.read("0.err")
    assert jobs.read("0.out").splitlines() == [node, GREETING, "9.0"]


def test_an_image_pulled_by_podman_in_a_slurm_job(nodes: Lab, image: str) -> None:
    before = nodes.traffic()["registry"]
    pull = ("srun", "--chdir=/scratch", "-w", NODES[2], "podman", "run", "--quiet", "--rm")
    said = nodes.submit.output(*pull, image, "greet", timeout=300)
    assert said.splitlines()[-1] == GREETING
    assert (nodes.traffic()["registry"] - before).sent > 50_000_000
    nodes.submit.output("srun", "--chdir=/scratch", "-w", NODES[2], "podman", "rmi", image)


def test_an_image_pulled_by_apptainer_in_an_htcondor_job(nodes: Lab, image: str) -> None:
    description = (
        f"universe = container\ncontainer_image = docker://{image}\nexecutable = job.sh\n"
        "request_disk = 2G\nqueue"
    )
    before = nodes.traffic()["registry"]
    jobs = condor_jobs.submit(nodes, description, job="greet\n")
    (ad,) = jobs.wait(patience=600)
    assert ad["ExitCode"] == 0, jobs.read("0.err")
    assert jobs.read("0.out").strip() == GREETING
    assert (nodes.traffic()["registry"] - before).sent > 50_000_000


def test_pixi_ship_on_the_submit_host(nodes: Lab, image: str) -> None:
    """It sees the registry and the schedulers' commands as a person there does."""
    if nodes.submit.run("python3", "-c", "import rattler").returncode:
        pytest.skip("no lab-tool here (make lab-up fetches it where a Python index is in reach)")
    said = nodes.submit.output("pixi-ship", "inspect", "--plain-http", f"docker://{image}")
    assert "numpy" in said
    variables = nodes.submit.output("env").split()
    assert not [each for each in variables if each.startswith("PYTHON")]
