"""What is rendered, to the byte: files in golden/, to be read by people.

    REWRITE_GOLDEN=1 python -m pytest tests/job/test_golden.py

writes them anew; then look at what changed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pixi_ship.errors import UsageError
from pixi_ship.job.htcondor import render_htcondor
from pixi_ship.job.site import Launcher, Site
from pixi_ship.job.slurm import render_slurm
from pixi_ship.job.spec import JobFiles, JobSpec, image_at_url
from pixi_ship.targets.kubernetes import render_kubernetes
from pixi_ship.targets.nextflow import render_nextflow
from pixi_ship.targets.snakemake import render_snakemake

from .cases import IMAGE, JOBS, LAUNCHERS, SITE
from .golden_files import assert_golden

GOLDEN = Path(__file__).with_name("golden")
DIRECTORY = "/home/me/jobs/fit-1"


def held(name: str, files: JobFiles) -> None:
    assert_golden(GOLDEN / f"{name}.txt", files)


@pytest.mark.parametrize("name", JOBS)
def test_htcondor(name: str) -> None:
    held(f"htcondor-{name}", render_htcondor(JOBS[name], Site(), DIRECTORY))


@pytest.mark.parametrize("name", JOBS)
def test_slurm(name: str) -> None:
    held(f"slurm-{name}", render_slurm(JOBS[name], Site(), DIRECTORY))


@pytest.mark.parametrize("launcher", [Launcher.PYXIS, Launcher.PODMAN])
def test_launchers(launcher: Launcher) -> None:
    held(f"slurm-{launcher}", render_slurm(JOBS["resources"], LAUNCHERS[launcher], DIRECTORY))


def test_a_site() -> None:
    held("htcondor-site", render_htcondor(JOBS["items"], SITE, DIRECTORY))
    held("slurm-site", render_slurm(JOBS["plain"], SITE, DIRECTORY))


def test_a_partition_on_the_way_to_a_node() -> None:
    """No shell reads those words, so that quotes would be part of the name."""
    site = Site(shared=False, partition="gpu*", account="a b")
    files = render_slurm(JOBS["plain"], site, DIRECTORY)
    assert files.fetch is not None
    assert files.fetch[0][-2:] == ("--partition=gpu*", "--account=a b")
    assert "#SBATCH --partition='gpu*'\n" in files.files["fit.sbatch"]


@pytest.mark.parametrize("launcher", [Launcher.PYXIS, Launcher.PODMAN])
def test_launchers_that_take_no_sif(launcher: Launcher) -> None:
    with pytest.raises(UsageError, match=f"{launcher} cannot start oras://"):
        render_slurm(JOBS["array"], LAUNCHERS[launcher], DIRECTORY)


def test_a_sif_at_a_url() -> None:
    """HTCondor transfers it to each job; Slurm has nothing that would."""
    image = image_at_url("osdf:///ospool/ap20/data/me/fit.sif")
    assert image is not None
    job = JobSpec(name="fit", command=("true",), image=image)
    text = render_htcondor(job, Site(), DIRECTORY).files["fit.sub"]
    assert f"container_image          = {image.place}\n" in text
    with pytest.raises(UsageError, match="Slurm fetches no files"):
        render_slurm(job, Site(), DIRECTORY)
    for render in (render_snakemake, render_nextflow, render_kubernetes):
        with pytest.raises(UsageError, match="osdf:"):
            render(job, Site(), DIRECTORY)


@pytest.mark.parametrize(
    "text",
    [
        "https://me:secret@example.org/a.sif",
        "https://example.org/a.sif?signature=abc",
        "https://example.org/$(HOME)/a.sif",
        "https://example.org/a.tar",
        "ftp://example.org/a.sif",
        "docker://example.org/a.sif",
    ],
)
def test_what_is_no_url_of_a_sif(text: str) -> None:
    """Neither what holds a secret, which job files would show, nor what HTCondor would expand."""
    assert image_at_url(text) is None


def test_dependencies() -> None:
    job = JobSpec(name="fit", command=("true",), image=IMAGE, after=("12", "13"))
    found = render_slurm(job, Site(), DIRECTORY)
    assert found.submit == ("sbatch", "--parsable", "--dependency=afterok:12:13", "fit.sbatch")
    with pytest.raises(UsageError, match="DAGMan"):
        render_htcondor(job, Site(), DIRECTORY)


@pytest.mark.parametrize("path", ["/data/a,b", "/data/$(HOME)", '/data/"a"', "/data/a\nb"])
def test_paths_that_htcondor_cannot_be_given(path: str) -> None:
    job = JobSpec(name="fit", command=("true",), image=IMAGE, inputs=(path,))
    with pytest.raises(UsageError, match="cannot be given the path"):
        render_htcondor(job, Site(), DIRECTORY)


@pytest.mark.parametrize(
    "directory", ["/home/a b", "/home/100%", "/home/'", "/home/c#", "/home/a\nb"]
)
def test_directories_that_slurm_cannot_name(directory: str) -> None:
    with pytest.raises(UsageError, match="where Slurm writes"):
        render_slurm(JOBS["plain"], Site(), directory)
