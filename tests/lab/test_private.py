"""Images of a registry that wants a login: jobs run, and the login is nowhere but where it was put.

What a job needs of it is on the node already (a home that nodes share, here put there by the
test), or is not needed: the image is fetched where the job is submitted from, as a file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from lab.cluster import Lab
from lab.machine import HOME
from lab.registry import LOGIN

from ..contract.tools import output
from .conftest import PROFILE
from .test_submit import Submitter

NAME, PASSWORD = LOGIN
TOKEN = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
AUTHFILE = f"{HOME}/private/auth.json"
# Where schedulers keep what they were given, and what they say of it; and what jobs left.
KEPT = "/var/spool /var/log /var/lib/condor /etc/condor /scratch /tmp /home"


@pytest.fixture
def private(
    nodes: Lab, numpy_build: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """The lab with an image in the private registry, and its login on the submit host."""
    text = json.dumps({"auths": {nodes.private_registry: {"auth": TOKEN}}})
    here = tmp_path_factory.mktemp("login") / "auth.json"
    here.write_text(text)
    to = ("--plain-http", "--authfile", str(here), "--to", reference(nodes))
    output(*nodes.submit.with_network(*numpy_build, *to))
    nodes.submit.output("mkdir", "-p", f"{HOME}/private", f"{HOME}/.config/pixi-ship")
    nodes.submit.write(AUTHFILE, text)
    nodes.submit.write(f"{HOME}/.config/pixi-ship/site.toml", PROFILE)
    yield nodes
    for machine in (nodes.submit, *nodes.slurm_nodes):
        machine.output("rm", "-rf", f"{HOME}/private", f"{HOME}/.apptainer", "/scratch/images")


def reference(lab: Lab) -> str:
    return f"docker://{lab.private_registry}/lab/private:1"


def assert_secret_is_kept(lab: Lab) -> None:
    """Neither the password nor what HTTP makes of it is anywhere else, on any machine."""
    for machine in (lab.submit, *lab.slurm_nodes, *lab.condor_nodes):
        script = (
            f"grep -rlsaF -e {PASSWORD} -e {TOKEN} {KEPT} | "
            f"grep -v -e ^{AUTHFILE}$ -e ^{HOME}/.apptainer/docker-config.json$"
        )
        found = machine.run("sh", "-c", script, user="root", timeout=300).stdout
        assert found == "", f"{machine.name}: {found}"


def test_without_a_login(private: Lab) -> None:
    done = private.submit.run(
        *("pixi-ship", "submit", "slurm", reference(private), "--plain-http", "--", "greet")
    )
    assert done.returncode == 1
    assert private.private_registry in done.stderr


def test_slurm_with_a_login_on_the_nodes(private: Lab) -> None:
    """Apptainer's own, as `apptainer registry login` leaves it in a home that nodes share."""
    text = json.dumps({"auths": {private.private_registry: {"auth": TOKEN}}})
    for node in private.slurm_nodes:
        node.output("mkdir", "-p", f"{HOME}/.apptainer")
        node.write(f"{HOME}/.apptainer/docker-config.json", text)
    submitter = Submitter(private, "slurm", reference(private))
    job = submitter.submit("--authfile", AUTHFILE, command=["greet"])
    status, tasks = submitter.wait(job)
    assert status == 0, (tasks, submitter.run("logs", job, "--stderr").stdout)
    assert_secret_is_kept(private)


def test_htcondor_carries_the_image(private: Lab) -> None:
    """Fetched once on the submit host; the nodes need neither a login nor the registry."""
    pulled = private.submit.run(
        *("pixi-ship", "pull", "--quiet", reference(private), "--to", "images"),
        *("--plain-http", "--authfile", AUTHFILE),
        timeout=300,
    )
    assert pulled.returncode == 0, pulled.stderr
    submitter = Submitter(private, "htcondor", f"sif:{pulled.stdout.strip()}")
    job = submitter.submit(command=["greet"])
    assert submitter.wait(job)[0] == 0
    assert_secret_is_kept(private)
