"""A job as a cluster of Dask workers in the image.

Source: dask-jobqueue 0.9, ``SLURMCluster``, ``HTCondorCluster`` and "How to configure". The
module that is written has a function for each scheduler, to be called by the program that uses
the workers; that one runs on the machine that submits, with the same Dask as in the image.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from pixi_ship.errors import UsageError
from pixi_ship.job.quantity import MIB, rounded_up, slurm_time
from pixi_ship.job.quote import condor_environment, fits_condor
from pixi_ship.job.script import export_lines
from pixi_ship.job.site import Launcher, Site
from pixi_ship.job.slurm import sif_lines
from pixi_ship.job.spec import JobFiles, JobSpec

PYTHON = ("python",)
"""The command of a worker where none is given."""

_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_]+")
_LEAST_DISK = 1024  # MiB, where none is asked for: HTCondorCluster wants to be told
_Row = tuple[str, str]  # a name, and an expression of Python


def render_dask_jobqueue(job: JobSpec, site: Site, directory: str) -> JobFiles:
    """Write a module that starts workers; raises UsageError for what they cannot be given.

    The command of the job is what starts Python in the image. An array says how many workers.
    """
    del directory
    _check(job, site)
    name = f"{_NOT_IN_NAME.sub('_', job.name)}_workers"
    name = name if name.isidentifier() else f"job_{name}"
    count = 1 if job.tasks is None else len(job.tasks)
    lines = [
        repr(f"Dask workers in {job.image.place}."),
        "",
        "from dask_jobqueue import HTCondorCluster, SLURMCluster",
        "",
        "",
        *_function("slurm", "SLURMCluster", _slurm(job, site), count),
        "",
        "",
        *_function("htcondor", "HTCondorCluster", _htcondor(job, site), count),
    ]
    notes = ["Dask sends no mail"] if job.mail else []
    if not job.resources.disk:
        notes.append(f"workers of HTCondor ask for {_LEAST_DISK} MiB of disk: say --disk for more")
    text = "\n".join(lines) + "\n"
    return JobFiles({f"{name}.py": text}, ("python", "-i", f"{name}.py"), tuple(notes))


def _check(job: JobSpec, site: Site) -> None:
    if job.items or job.inputs or job.outputs or job.after or job.workdir:
        raise UsageError(
            "Dask brings work to its workers itself",
            hint="leave out --foreach, --input, --output, --after and --workdir",
        )
    if not job.resources.memory:
        raise UsageError("Dask wants to know the memory of its workers", hint="say --memory")
    if site.launcher is not Launcher.APPTAINER:
        raise UsageError(
            f"the site starts containers with {site.launcher}, and Dask's workers of Slurm are "
            "started with apptainer",
            hint='leave out launcher, or lay launcher = "apptainer" over it with --site FILE',
        )
    if not fits_condor(tuple(job.env.values())):
        raise UsageError("HTCondor cannot hold a $ or a line break in --env")


def _function(name: str, cluster: str, rows: Sequence[_Row], count: int) -> list[str]:
    made = [f"        {key}={value}," for key, value in rows]
    return [
        f"def {name}(workers={count}, **options):",
        f'    """A {cluster} with so many jobs; options: of its own, over these."""',
        "    given = dict(",
        *(line for each in made for line in each.split("\n")),
        "    )",
        f"    cluster = {cluster}(**{{**given, **options}})",
        "    cluster.scale(jobs=workers)",
        "    return cluster",
    ]


def _common(job: JobSpec, python: str) -> list[_Row]:
    wanted = job.resources
    return [
        ("job_name", repr(job.name)),
        ("python", repr(python)),
        ("cores", str(wanted.cpus)),
        ("processes", "1"),
        ("memory", f"'{rounded_up(wanted.memory or 0, MIB)}MiB'"),
    ]


def _slurm(job: JobSpec, site: Site) -> list[_Row]:
    wanted = job.resources
    gpus = "--nv " if wanted.gpus else ""
    python = f'apptainer --quiet exec {gpus}--no-home --bind "$PWD" --pwd "$PWD" "$sif" '
    prologue = [
        "set -e",
        *(f"module load {shlex.quote(each)}" for each in site.modules),
        *site.lines,
        *sif_lines(job, site),
        *export_lines(job),
    ]
    rows = _common(job, python + shlex.join(job.command))
    if wanted.time:
        rows.append(("walltime", repr(slurm_time(wanted.time))))
    else:  # without one it would be half an hour, by Dask's own configuration
        rows += [("walltime", "''"), ("job_directives_skip", "['#SBATCH -t']")]
    if site.partition:
        rows.append(("queue", repr(site.partition)))
    if site.account:
        rows.append(("account", repr(site.account)))
    rows.append(("job_extra_directives", _list(_directives(job, site))))
    rows.append(("job_script_prologue", _list(prologue)))
    if site.modules:  # only a login shell knows "module"
        rows.append(("shebang", "'#!/bin/bash -l'"))
    return rows


def _directives(job: JobSpec, site: Site) -> list[str]:
    wanted = job.resources
    found = [f"--gres=gpu:{wanted.gpus}"] if wanted.gpus else []
    found += [f"--tmp={rounded_up(wanted.disk, MIB)}M"] if wanted.disk else []
    named = {"constraint": site.constraint, "qos": site.qos, **site.options}
    return found + [f"--{key}={shlex.quote(value)}" for key, value in named.items() if value]


def _htcondor(job: JobSpec, site: Site) -> list[_Row]:
    wanted = job.resources
    disk = rounded_up(wanted.disk, MIB) if wanted.disk else _LEAST_DISK
    directives = {
        "universe": "container",
        "container_image": job.image.url,
        # The image has the shell that starts the worker.
        "transfer_executable": "false",
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
    }
    if job.env:
        directives["environment"] = condor_environment(job.env)
    if wanted.gpus:
        directives["request_gpus"] = str(wanted.gpus)
    if wanted.gpus and wanted.gpu_capability:
        directives["gpus_minimum_capability"] = wanted.gpu_capability
    if wanted.gpus and wanted.gpu_memory:
        directives["gpus_minimum_memory"] = str(rounded_up(wanted.gpu_memory, MIB))
    if wanted.gpus and job.image.cuda:
        directives["gpus_minimum_runtime"] = job.image.cuda
    if wanted.time:
        directives["allowed_execute_duration"] = str(wanted.time)
    if site.requirements:
        directives["requirements"] = " && ".join(f"({each})" for each in site.requirements)
    directives |= {f"+{key}": value for key, value in site.attributes.items()}
    directives |= site.commands
    rows = [f"            {key!r}: {value!r}," for key, value in directives.items()]
    shown = "\n".join(["{", *rows, "        }"])
    return [
        *_common(job, shlex.join(job.command)),
        ("disk", f"'{disk}MiB'"),
        ("job_extra_directives", shown),
    ]


def _list(lines: Sequence[str]) -> str:
    if not lines:
        return "[]"
    return "\n".join(["[", *(f"            {line!r}," for line in lines), "        ]"])
