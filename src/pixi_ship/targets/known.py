"""The targets there are, by the name that they have on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pixi_ship.job.site import Site
from pixi_ship.job.spec import JobFiles, JobSpec
from pixi_ship.targets.dask_jobqueue import PYTHON, render_dask_jobqueue
from pixi_ship.targets.kubernetes import render_kubernetes
from pixi_ship.targets.nextflow import render_nextflow
from pixi_ship.targets.snakemake import render_snakemake


@dataclass(frozen=True, slots=True)
class Target:
    """What writes one file of a job; command: the one where none is given.

    render: takes the job, the site's profile, and the absolute path of where the file is to be.
    """

    render: Callable[[JobSpec, Site, str], JobFiles]
    command: tuple[str, ...] = ()


TARGETS: Mapping[str, Target] = {
    "kubernetes": Target(render_kubernetes),
    "snakemake": Target(render_snakemake),
    "nextflow": Target(render_nextflow),
    "dask-jobqueue": Target(render_dask_jobqueue, PYTHON),
}
