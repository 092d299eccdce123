"""The schedulers' own parsers take every file that is rendered, and read from it what was meant."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lab.cluster import Lab
from lab.machine import HOME
from lab.slurm import CPUS

from pixi_ship.job.htcondor import render_htcondor
from pixi_ship.job.site import Launcher, Site
from pixi_ship.job.slurm import render_slurm
from pixi_ship.job.spec import JobFiles, JobSpec

from ..job.cases import IMAGE, JOBS, SIF
from ..job.test_words import condor_words

FOLDER = f"{HOME}/rendered"
TEXTS = ["two words", "it's", '"q"', "ü→", "", "-x", "--", "\\", "#", "*", "a;b", "''", '""', "{x}"]


def fitting(job: JobSpec) -> JobSpec:
    """The job with inputs that are there, and resources that a node of the lab has."""
    resources = replace(job.resources, cpus=min(CPUS, job.resources.cpus), disk=None)
    inputs = tuple(f"{FOLDER}/{path.rpartition('/')[2]}" for path in job.inputs)
    image = SIF if job.image.digest else IMAGE
    return replace(job, resources=resources, inputs=inputs, image=image)


def put(lab: Lab, job: JobSpec, files: JobFiles) -> None:
    lab.submit.output("rm", "-rf", FOLDER)
    numbers = range(job.tasks.first, job.tasks.last + 1) if job.tasks else ()
    lab.submit.output("mkdir", "-p", FOLDER, *(f"{FOLDER}/task-{number}" for number in numbers))
    for path in job.inputs:
        lab.submit.output("touch", path)
    for name, text in files.files.items():
        lab.submit.write(f"{FOLDER}/{name}", text, mode=0o755)


def dry_run(lab: Lab, job: JobSpec) -> str:
    """The ClassAds that condor_submit would send."""
    put(lab, job, render_htcondor(job, Site(), FOLDER))
    words = ("condor_submit", "-dry-run", "-", f"{job.name}.sub")
    return lab.submit.output(*words, cwd=FOLDER)


@pytest.mark.parametrize("name", JOBS)
def test_condor_submit_takes_it(nodes: Lab, name: str) -> None:
    job = fitting(JOBS[name])
    said = dry_run(nodes, job)
    assert "ContainerImage=" in said
    assert f"{len(job.tasks) if job.tasks else 1} job(s) dry-run to cluster" in said


@pytest.mark.parametrize("name", JOBS)
def test_sbatch_takes_it(nodes: Lab, name: str) -> None:
    job = fitting(JOBS[name])
    put(nodes, job, render_slurm(job, Site(), FOLDER))
    done = nodes.submit.run("sbatch", "--test-only", f"{job.name}.sbatch", cwd=FOLDER)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("launcher", [Launcher.PYXIS, Launcher.PODMAN])
def test_sbatch_takes_other_launchers(nodes: Lab, launcher: Launcher) -> None:
    job = replace(fitting(JOBS["resources"]), image=IMAGE)
    put(nodes, job, render_slurm(job, Site(launcher=launcher), FOLDER))
    assert (
        nodes.submit.run("sbatch", "--test-only", f"{job.name}.sbatch", cwd=FOLDER).returncode == 0
    )


def test_condor_submit_reads_the_words(nodes: Lab) -> None:
    """What its own parser makes of ``arguments`` is decoded by its rules for ClassAds."""
    job = JobSpec(name="words", command=("show", *TEXTS), image=IMAGE)
    (line,) = (row for row in dry_run(nodes, job).splitlines() if row.startswith("Arguments="))
    # A ClassAd's string escapes quotes; within are the words without the outer quotes.
    value = line.partition("=")[2].strip()[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    doubled = value.replace('"', '""')
    assert condor_words(f'"{doubled}"') == list(job.command)
