"""A job as an HTCondor submit file for the container universe.

Source: HTCondor manual 25, ``condor_submit`` and "Submitting a job: container universe". The
pool transfers files, so that no shared filesystem is needed. ``getenv`` is never set: it
would carry this machine's PATH into the container.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pixi_ship.errors import UsageError
from pixi_ship.job.quantity import KIB, MIB, rounded_up
from pixi_ship.job.quote import (
    condor_arguments,
    condor_environment,
    fits_condor,
    plain_items,
)
from pixi_ship.job.script import task_script
from pixi_ship.job.site import Site
from pixi_ship.job.spec import INDEX, ITEM, ImageKind, JobFiles, JobSpec, Resources, Tasks

_SPECIAL = re.compile(r"[,$\"\x00-\x1f\x7f]")
_COUNTED = "$INT(index)"  # of an array whose numbers are not HTCondor's own
_WIDTH = 25  # columns of a command's name


def render_htcondor(job: JobSpec, site: Site, directory: str) -> JobFiles:
    """Write the submit file of a job, and the files that it needs beside it.

    directory: absolute path of where the files are, and where what comes back goes.
    """
    if job.after:
        raise UsageError(
            "HTCondor starts no job after another by itself: DAGMan does",
            hint="write a DAG whose nodes are the submit files that --dry-run prints",
        )
    for path in (job.image.place, directory, *job.inputs, *job.outputs):
        _check_path(path)
    files: dict[str, str] = {}
    rows: list[tuple[str, str] | None] = [
        ("universe", "container"),
        ("container_image", job.image.url),
        *_command(job, directory, files),
        None,
        *_transfers(job, directory),
        None,
        *_requests(job.resources, job.image.cuda),
        *_site(job, site),
        *_mail(job),
    ]
    lines = [
        f"# {job.name}: submit it with  condor_submit {job.name}.sub",
        *("" if row is None else f"{row[0]:{_WIDTH}}= {row[1]}" for row in rows),
        "",
        _queue(job, files),
    ]
    files[f"{job.name}.sub"] = "\n".join(lines) + "\n"
    notes = ("HTCondor sends a mail for each task",) if job.mail and job.tasks is not None else ()
    return JobFiles(files, ("condor_submit", "-terse", f"{job.name}.sub"), notes)


def _check_path(path: str) -> None:
    """Raise UsageError for a path that a submit file would read as another, or as two."""
    if _SPECIAL.search(path):
        raise UsageError(
            f"HTCondor cannot be given the path {path!r}",
            hint="choose one without commas, quotes, $ and line breaks",
        )


def _command(job: JobSpec, directory: str, files: dict[str, str]) -> list[tuple[str, str]]:
    """What runs: the words themselves, or a script where a submit file cannot hold them."""
    plain = fits_condor((*job.command, *job.env.values())) and plain_items(job.items)
    if plain:
        macros = {INDEX: _index(job.tasks), ITEM: "$(item)"}
        places = {place: macros[place] for place in job.places}
        # env(1) looks for the program where the image's PATH says.
        rows = [
            ("executable", "/usr/bin/env"),
            ("transfer_executable", "false"),
            ("arguments", condor_arguments(job.command, places)),
        ]
        if job.env:
            rows.append(("environment", condor_environment(job.env)))
        return rows
    files[f"{job.name}.sh"] = task_script(job, '"$1"')
    rows = [("executable", f"{directory}/{job.name}.sh")]
    if job.tasks is not None:
        rows.append(("arguments", f'"{_index(job.tasks)}"'))
    return rows


def _index(tasks: Tasks | None) -> str:
    """The macro that is the number of a task."""
    return _COUNTED if tasks and (tasks.first, tasks.step) != (0, 1) else "$(Process)"


def _transfers(job: JobSpec, directory: str) -> list[tuple[str, str]]:
    index = _index(job.tasks)
    task = f"{directory}/task-{index}" if job.tasks is not None else directory
    rows = [
        ("initialdir", task),
        ("output", "stdout.txt"),
        ("error", "stderr.txt"),
        # While the job runs, so that its logs can be followed.
        ("stream_output", "true"),
        ("stream_error", "true"),
        ("log", f"{directory}/{job.name}.log"),
        ("should_transfer_files", "YES"),
        ("when_to_transfer_output", "ON_EXIT"),
    ]
    if job.tasks is not None and index == _COUNTED:
        rows.insert(0, ("index", f"$(Process) * {job.tasks.step} + {job.tasks.first}"))
    if job.inputs:
        rows.append(("transfer_input_files", ", ".join(job.inputs)))
    # Without this line all that the job leaves in its directory comes back.
    rows.append(("transfer_output_files", ", ".join(job.outputs) or '""'))
    if job.workdir:
        rows.append(("container_target_dir", job.workdir))
    return rows


def _requests(wanted: Resources, cuda: str | None) -> list[tuple[str, str]]:
    rows = [("request_cpus", str(wanted.cpus))]
    if wanted.memory:
        rows.append(("request_memory", f"{rounded_up(wanted.memory, MIB)}M"))
    if wanted.disk:
        rows.append(("request_disk", f"{rounded_up(wanted.disk, KIB)}K"))
    if wanted.gpus:
        rows.append(("request_gpus", str(wanted.gpus)))
        if wanted.gpu_capability:
            rows.append(("gpus_minimum_capability", wanted.gpu_capability))
        if wanted.gpu_memory:
            rows.append(("gpus_minimum_memory", str(rounded_up(wanted.gpu_memory, MIB))))
        if cuda:
            rows.append(("gpus_minimum_runtime", cuda))
    if wanted.time:
        rows.append(("allowed_execute_duration", str(wanted.time)))
    return rows


def _site(job: JobSpec, site: Site) -> list[tuple[str, str] | None]:
    rows: list[tuple[str, str] | None] = []
    if site.common_image and job.image.kind is ImageKind.SIF_FILE:
        rows.append(("container_is_common", "true"))
    if site.requirements:
        rows.append(("requirements", _all_of(site.requirements)))
    rows += [(f"+{name}", value) for name, value in site.attributes.items()]
    rows += [(name, value) for name, value in site.commands.items()]
    if job.tasks is not None and job.tasks.at_once:
        rows.append(("max_materialize", str(job.tasks.at_once)))
    return [None, *rows] if rows else []


def _mail(job: JobSpec) -> list[tuple[str, str] | None]:
    """A mail when the job ends, well or not; "Error" would not tell of a good end."""
    if not job.mail:
        return []
    return [None, ("notify_user", job.mail), ("notification", "Complete")]


def _all_of(expressions: Sequence[str]) -> str:
    if len(expressions) == 1:
        return expressions[0]
    return " && ".join(f"({each})" for each in expressions)


def _queue(job: JobSpec, files: dict[str, str]) -> str:
    if job.tasks is None:
        return "queue"
    if job.items and plain_items(job.items) and f"{job.name}.sh" not in files:
        files[f"{job.name}.items"] = "\n".join(job.items) + "\n"
        return f"queue item from {job.name}.items"
    return f"queue {len(job.tasks)}"
