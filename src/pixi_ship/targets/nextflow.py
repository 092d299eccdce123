"""A job as a process of a Nextflow pipeline.

Source: Nextflow documentation, "Process reference: directives", "Processes: script, inputs"
(a string in single quotes is left alone but for backslashes). Of a script Nextflow takes the
indent and blanks at the ends of lines, so no word may depend on those.
"""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath

from pixi_ship.errors import UsageError
from pixi_ship.job.quantity import MIB, rounded_up
from pixi_ship.job.quote import shell_command
from pixi_ship.job.script import export_lines, item_lines
from pixi_ship.job.site import Site
from pixi_ship.job.spec import ImageKind, JobFiles, JobSpec, Tasks

_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_]+")
_PATTERN = re.compile(r"[*?\[\]{}\\]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def render_nextflow(job: JobSpec, site: Site, directory: str) -> JobFiles:
    """Write a pipeline of one process; raises UsageError for what it cannot hold.

    What the process makes is copied to where Nextflow was started, of an array into a directory
    for each task.
    """
    del directory
    _check(job)
    notes = [
        f"Nextflow knows no {option}"
        for option, value in (
            ("--gpu-memory", job.resources.gpu_memory),
            ("--gpu-capability", job.resources.gpu_capability),
        )
        if value
    ]
    if job.mail:
        notes.append("Nextflow sends mails itself: nextflow run -N ADDRESS")
    name = "JOB_" + _NOT_IN_NAME.sub("_", job.name).upper()
    file = f"{job.name}.nf"
    lines = [
        f"// {job.name}: run it with  nextflow run {file} -with-apptainer",
        f"process {name} {{",
        *(f"    {line}" for line in _directives(job, site)),
        *_ports(job),
        "",
        "    script:",
        *_script(job),
        "}",
        "",
        "workflow {",
        f"    {name}({', '.join(_given(job))})",
        "}",
    ]
    submit = ("nextflow", "run", file, "-with-apptainer")
    return JobFiles({file: "\n".join(lines) + "\n"}, submit, tuple(notes))


def _check(job: JobSpec) -> None:
    if job.after:
        raise UsageError(
            "Nextflow starts a process after another by its inputs", hint="leave out --after"
        )
    if job.image.kind is ImageKind.SIF_AT_URL:
        raise UsageError(f"Nextflow does not fetch {job.image.place}", hint="name a registry")
    if job.workdir:
        raise UsageError("Nextflow chooses the directory itself", hint="leave out --workdir")
    for path in (*(PurePosixPath(each).name for each in job.inputs), *job.outputs):
        if _PATTERN.search(path):
            raise UsageError(f"Nextflow takes {path!r} for a pattern", hint="rename the file")
    for text in (*job.command, *job.env.values(), *job.items):
        if _CONTROL.search(text):
            raise UsageError(
                f"Nextflow cannot be given {text!r}, which has a line break or control character",
                hint="put it into a script, and give that with --input",
            )
    for item in job.items:
        if item != item.rstrip():
            raise UsageError(f"Nextflow takes the blanks from the end of the item {item!r}")


def _literal(text: str) -> str:
    """A string of Groovy without places for variables."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _directives(job: JobSpec, site: Site) -> list[str]:
    wanted, image = job.resources, job.image
    place = image.place if image.kind is ImageKind.LAYERS else image.url
    rows = [f"container {_literal(place)}", f"cpus {wanted.cpus}"]
    if wanted.memory:
        rows.append(f"memory '{rounded_up(wanted.memory, MIB)} MB'")
    if wanted.disk:
        rows.append(f"disk '{rounded_up(wanted.disk, MIB)} MB'")
    if wanted.time:
        rows.append(f"time '{wanted.time} s'")
    if wanted.gpus:
        rows += [f"accelerator {wanted.gpus}", f"containerOptions {_gpu_option(image.kind)}"]
    if job.tasks is not None and job.tasks.at_once:
        rows.append(f"maxForks {job.tasks.at_once}")
    if site.partition:
        rows.append(f"queue {_literal(site.partition)}")
    named = {"account": site.account, "constraint": site.constraint, "qos": site.qos}
    options = [f"--{name}={shlex.quote(value)}" for name, value in named.items() if value]
    if options:
        rows.append(f"clusterOptions {_literal(' '.join(options))}")
    if job.outputs:
        where = '"task-${index}"' if job.tasks is not None else "'.'"
        rows.append(f"publishDir {where}, mode: 'copy'")
    return rows


def _gpu_option(kind: ImageKind) -> str:
    if kind is not ImageKind.LAYERS:
        return "'--nv'"
    return "{ workflow.containerEngine in ['docker', 'podman'] ? '--gpus all' : '--nv' }"


def _ports(job: JobSpec) -> list[str]:
    """What the process is given, and what it makes."""
    lines = []
    if job.tasks is not None or job.inputs:
        names = [PurePosixPath(path).name for path in job.inputs]
        lines += ["", "    input:"]
        lines += ["    val index"] if job.tasks is not None else []
        lines += [f"    path {_literal(name)}" for name in names]
    if job.outputs:
        lines += ["", "    output:", *(f"    path {_literal(path)}" for path in job.outputs)]
    return lines


def _script(job: JobSpec) -> list[str]:
    commands = [*item_lines(job.items), *export_lines(job), shell_command(job)]
    # Between the marks of a list of items no line may be indented.
    indent = "" if job.items else "    "
    escaped = [f"{indent}{_in_script(line)}" for each in commands for line in each.split("\n")]
    number = '"index=${index}\\n" + ' if job.tasks is not None else ""
    return [f"    {number}'''", *escaped, f"{indent}'''"]


def _in_script(line: str) -> str:
    return line.replace("\\", "\\\\").replace("'''", "\\'\\'\\'")


def _given(job: JobSpec) -> list[str]:
    """What the workflow gives to the process."""
    found = [] if job.tasks is None else [f"channel.fromList({_numbers(job.tasks)})"]
    return found + [f"file({_literal(path)}, glob: false)" for path in job.inputs]


def _numbers(tasks: Tasks) -> str:
    if tasks.first == tasks.last:
        return f"[{tasks.first}]"
    step = f".step({tasks.step})" if tasks.step > 1 else ".toList()"
    return f"({tasks.first}..{tasks.last}){step}"
