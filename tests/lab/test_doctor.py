"""`pixi-ship doctor --site` on the submit host of real schedulers, and jobs with what it proposes.

The profile goes to where `submit` looks for one: what a person would do first at a new site.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from lab.cluster import Lab
from lab.machine import HOME
from lab.slurm import NODES

USUAL = f"{HOME}/.config/pixi-ship/site.toml"
PROPOSED = f"{HOME}/proposed.toml"


@pytest.fixture
def submit_host(nodes: Lab) -> Iterator[Lab]:
    """The tool is there, and the profile of other tests is put aside."""
    if nodes.submit.run("python3", "-c", "import rattler").returncode:
        pytest.skip("no lab-tool here (make lab-up fetches it where a Python index is in reach)")
    before = nodes.submit.run("cat", USUAL)
    nodes.submit.output("rm", "-f", USUAL, PROPOSED)
    yield nodes
    nodes.submit.output("rm", "-f", PROPOSED)
    if before.returncode == 0:
        nodes.submit.write(USUAL, before.stdout)


def test_what_the_lab_has(submit_host: Lab) -> None:
    words = ("pixi-ship", "doctor", "--site", "--json", "--write", PROPOSED)
    done = submit_host.submit.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    slurm, htcondor = document["slurm"], document["htcondor"]
    partitions = {each["name"]: each for each in slurm["partitions"]}
    assert partitions["main"]["is_default"]
    assert partitions["main"]["nodes"] == len(NODES)
    assert partitions["main"]["gres"] == ["gpu:a100:2"]
    assert (slurm["local"], slurm["pyxis"]) == ("/tmp", False)
    assert (htcondor["slots"], htcondor["apptainer"]) == (2, 2)
    assert [(each["capability"], each["count"]) for each in htcondor["gpus"]] == [(8.0, 2)]
    states = {each["subject"]: each["state"] for each in document["findings"]}
    assert (states["apptainer"], states["cache"]) == ("good", "good")
    assert document["profile"] == submit_host.submit.output("cat", PROPOSED)


def test_jobs_run_with_what_is_proposed(submit_host: Lab, image: str) -> None:
    """Nodes do not see the submit host's home, and the profile says so."""
    submit_host.submit.output("pixi-ship", "doctor", "--site", "--write", PROPOSED)
    submitted = submit_host.submit.run(
        *("pixi-ship", "submit", "slurm", f"docker://{image}", "--plain-http", "--site", PROPOSED),
        *("--memory", "200M", "--mail", "ordinary", "--", "python", "-c", "print(6 * 7)"),
    )
    assert submitted.returncode == 0, submitted.stderr
    job = submitted.stdout.strip()
    assert submit_host.submit.run("pixi-ship", "wait", job, timeout=300).returncode == 0
    submit_host.submit.output("pixi-ship", "fetch", job)
    assert submit_host.submit.output("cat", f"{job}/stdout.txt") == "42\n"


def test_a_registry_that_can_be_read(submit_host: Lab, image: str) -> None:
    done = submit_host.submit.run("pixi-ship", "doctor", f"docker://{image}", "--plain-http")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "readable, sha256:" in done.stdout


def test_a_rendered_job_is_taken(submit_host: Lab, image: str) -> None:
    """Files of `render`, submitted by the schedulers' own commands."""
    words = ("--plain-http", "--memory", "200M", "--array", "0-1", "--mail", "ordinary")
    for target, submit in (("slurm", "sbatch --test-only"), ("htcondor", "condor_submit")):
        place = f"{HOME}/rendered-{target}"
        submit_host.submit.output("rm", "-rf", place)
        submit_host.submit.output(
            *("pixi-ship", "render", target, f"docker://{image}", *words, "--to", place),
            *("--name", "fit", "--", "echo", "{index}"),
        )
        file = "fit.sbatch" if target == "slurm" else "fit.sub"
        more = "" if target == "slurm" else " -dry-run -"
        done = submit_host.submit.run("sh", "-c", f"cd {place} && {submit}{more} {file}")
        assert done.returncode == 0, done.stdout + done.stderr
