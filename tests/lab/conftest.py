"""The lab for as long as the tests run, and an image of ours to run jobs in."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from lab.cluster import DATA, Lab
from lab.machine import HOME, USER
from lab.slurm import wait_for_nodes as wait_for_slurm

from ..conftest import REPOSITORY, TestData
from ..contract.tools import output

PROFILE = """\
[slurm]
shared = false
scratch = "/scratch"
images = "/scratch/images"
"""
Pool: TypeAlias = tuple[Lab, str, str]
"""The lab, a scheduler of it, and an image that its nodes can have."""
BASE = f"oci:{REPOSITORY / '.test-data' / 'base'}:bookworm"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.lab)
            # One worker: there is one lab.
            item.add_marker(pytest.mark.xdist_group("lab"))


def lab_or_skip() -> Lab:
    """The lab in `$PIXI_SHIP_LAB` or `.test-data`, running or not.

    Skips where there is none, also where CI runs: it wants root, namespaces, another Debian suite
    in reach, and twenty minutes.
    """
    place = os.environ.get("PIXI_SHIP_LAB")
    lab = Lab(Path(place) if place else DATA)
    if reason := lab.missing():
        pytest.skip(reason)
    return lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """All machines of the lab, running. One that ran before the tests goes on after them."""
    lab = lab_or_skip()
    with lab.reserved():  # another session may have it
        ours = not lab.running
        lab.up()
        yield lab
        if ours:
            lab.down()


@pytest.fixture
def nodes(lab: Lab) -> Iterator[Lab]:
    """The lab with all nodes taking jobs and none in the queues, whatever a test does to it."""
    lab.up()
    wait_for_slurm(lab.submit)
    yield lab
    lab.submit.output("scancel", "--user", USER)
    lab.submit.run("condor_rm", USER)  # it complains where there are none


@pytest.fixture(scope="session")
def numpy_build(channel_data: TestData, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words of a build of the numpy workspace, but for where it goes."""
    return [
        *(sys.executable, "-m", "pixi_ship", "build", "--json"),
        *("--workspace", str(channel_data.workspace("numpy")), "--base", BASE),
        *("--cache-dir", str(tmp_path_factory.mktemp("lab-cache")), "--compression", "gzip"),
    ]


@pytest.fixture(scope="session")
def sif(lab: Lab, numpy_build: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where on the submit host a SIF file of the numpy workspace lies."""
    made = tmp_path_factory.mktemp("lab-sif") / "numpy.sif"
    output(*numpy_build, "--to", f"sif:{made}")
    lab.submit.copy_in(made)
    return f"/home/ordinary/{made.name}"


@pytest.fixture(scope="session")
def image(lab: Lab, numpy_build: list[str]) -> str:
    """The numpy workspace in the lab's registry, as HOST:PORT/NAME:TAG."""
    reference = f"{lab.registry}/lab/numpy:1"
    output(*lab.submit.with_network(*numpy_build, "--plain-http", "--to", f"docker://{reference}"))
    return reference


@pytest.fixture(scope="session")
def oras(lab: Lab, numpy_build: list[str]) -> str:
    """A SIF of the numpy workspace in the lab's registry."""
    reference = f"oras://{lab.registry}/lab/numpy:1-sif"
    output(*lab.submit.with_network(*numpy_build, "--plain-http", "--to", reference))
    return reference


@pytest.fixture(params=["htcondor", "slurm"])
def pool(request: pytest.FixtureRequest, nodes: Lab) -> Pool:
    """Each scheduler; HTCondor with a file that it transfers, Slurm with one in a registry."""
    if nodes.submit.run("python3", "-c", "import rattler").returncode:
        pytest.skip("no lab-tool here (make lab-up fetches it where a Python index is in reach)")
    nodes.submit.output("mkdir", "-p", f"{HOME}/.config/pixi-ship")
    nodes.submit.write(f"{HOME}/.config/pixi-ship/site.toml", PROFILE)
    if request.param == "htcondor":
        return nodes, "htcondor", f"sif:{request.getfixturevalue('sif')}"
    return nodes, "slurm", request.getfixturevalue("oras")
