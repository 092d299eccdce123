"""A job as a rule of a Snakemake workflow.

Source: Snakemake 9, "Snakefiles and Rules" (``container``, standard resources, ``shell``, which
is formatted, so that braces are doubled); the plugins ``slurm`` (``gpu``, ``slurm_partition``)
and ``htcondor`` (resources named as commands of a submit file).
"""

from __future__ import annotations

import keyword
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
_MARK = re.compile(r"(?:touch|directory)\((.*)\)\Z", re.DOTALL)
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MINUTE = 60
_MEGABYTE = 1_000_000  # its "mb" are of 1000, not of 1024


def render_snakemake(job: JobSpec, site: Site, directory: str) -> JobFiles:
    """Write the rule of a job; raises UsageError for what a rule cannot hold.

    directory: absolute path of where Snakemake runs, which is the job's directory; each task of
    an array has one below it. Rules are started by what they make: without outputs an empty
    file says that a task is done. An output that ends in a slash is a directory.
    """
    if job.after:
        raise UsageError(
            "Snakemake starts a rule after another by the files it needs", hint="leave out --after"
        )
    if job.image.kind is ImageKind.SIF_AT_URL:
        raise UsageError(f"Snakemake does not fetch {job.image.place}", hint="name a registry")
    if job.workdir:
        raise UsageError("Snakemake chooses the directory itself", hint="leave out --workdir")
    for path in (*job.inputs, *job.outputs):
        if "{" in path or "}" in path:
            raise UsageError(f"Snakemake takes what is in braces in {path!r} for a wildcard")
    file = f"{job.name}.smk"
    submit = _command(job, file)
    lines = [
        f"# {job.name}: run it with  {shlex.join(submit)}",
        *_everything(job),
        f"rule {_rule_name(job.name)}:",
        *_files(job, directory),
        "    container:",
        f"        {_literal(job.image.url)}",
        f"    threads: {job.resources.cpus}",
        *_resources(job, site),
        "    shell:",
        *(f"        {_literal(_formatted(line, job.tasks))}" for line in _shell(job, directory)),
    ]
    return JobFiles({file: "\n".join(lines) + "\n"}, submit, tuple(_notes(job, directory)))


def _command(job: JobSpec, file: str) -> tuple[str, ...]:
    at_once = (job.tasks.at_once or 1) if job.tasks is not None else 1
    gpus = ("--apptainer-args=--nv",) if job.resources.gpus else ()
    cores = str(job.resources.cpus * at_once)
    container = ("--software-deployment-method", "apptainer", *gpus)
    return ("snakemake", *container, "--cores", cores, "-s", file)


def _notes(job: JobSpec, directory: str) -> list[str]:
    notes = ["Snakemake sends no mail"] if job.mail else []
    for path in job.inputs:
        if _seen(path, directory) == path:
            notes.append(f"a container sees {path} only with --apptainer-args '--bind DIRECTORY'")
    return notes


def _rule_name(name: str) -> str:
    found = _NOT_IN_NAME.sub("_", name)
    plain = found.isidentifier() and not keyword.iskeyword(found) and found != "all"
    return found if plain else f"job_{found}"


def _literal(text: str) -> str:
    """A string of Python, whatever is in it."""
    return '"' + "".join(_ESCAPES.get(each, _visible(each)) for each in text) + '"'


def _visible(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _outputs(job: JobSpec) -> list[str]:
    """What a rule makes, as expressions."""
    place = "" if job.tasks is None else "task-{index}/"
    if not job.outputs:
        return [f"touch({_literal(f'{place}{job.name}.done')})"]
    made = [(_literal(place + path.rstrip("/")), path) for path in job.outputs]
    return [f"directory({each})" if path.endswith("/") else each for each, path in made]


def _everything(job: JobSpec) -> list[str]:
    """The rule that asks for every task of an array."""
    if job.tasks is None:
        return []
    tasks = job.tasks
    numbers = f"range({tasks.first}, {tasks.last + 1}{f', {tasks.step}' if tasks.step > 1 else ''})"
    wanted = [_MARK.sub(r"\1", each) for each in _outputs(job)]
    return [
        "rule all:",
        "    input:",
        *(f"        expand({each}, index={numbers})," for each in wanted),
        "",
    ]


def _files(job: JobSpec, directory: str) -> list[str]:
    lines = []
    if job.inputs:
        named = [_literal(_seen(path, directory)) for path in job.inputs]
        lines += ["    input:", *(f"        {each}," for each in named)]
    lines += ["    output:", *(f"        {each}," for each in _outputs(job))]
    if job.tasks is not None:
        lines += ["    wildcard_constraints:", '        index=r"\\d+",']
    return lines


def _seen(path: str, directory: str) -> str:
    """A path as Snakemake would be told it: relative where it is below its directory."""
    below = PurePosixPath(path)
    return str(below.relative_to(directory)) if below.is_relative_to(directory) else path


def _resources(job: JobSpec, site: Site) -> list[str]:
    wanted = job.resources
    rows: dict[str, str] = {}
    if wanted.memory:
        rows["mem_mb"] = str(rounded_up(wanted.memory, _MEGABYTE))
    if wanted.disk:
        rows["disk_mb"] = str(rounded_up(wanted.disk, _MEGABYTE))
    if wanted.time:
        rows["runtime"] = f"{rounded_up(wanted.time, _MINUTE)},  # minutes"
    if wanted.gpus:
        rows["gpu"] = rows["request_gpus"] = str(wanted.gpus)
        if wanted.gpu_memory:
            rows["gpus_minimum_memory"] = str(rounded_up(wanted.gpu_memory, MIB))
        if wanted.gpu_capability:
            rows["gpus_minimum_capability"] = _literal(wanted.gpu_capability)
    for name, value in (
        ("slurm_partition", site.partition),
        ("slurm_account", site.account),
        ("constraint", site.constraint),
        ("qos", site.qos),
    ):
        if value:
            rows[name] = _literal(value)
    if not rows:
        return []
    named = [f"        {name}={value}" for name, value in rows.items()]
    return ["    resources:", *(row if "#" in row else f"{row}," for row in named)]


def _shell(job: JobSpec, directory: str) -> list[str]:
    """Lines of shell, each with its end, as they run in the container."""
    lines: list[str] = []
    brought = [PurePosixPath(path) for path in job.inputs]
    if job.tasks is not None:
        lines += ["index={wildcards.index}", 'mkdir -p "task-$index"']
        if brought:
            lines.append(f'cp -R {_quoted(brought, directory)} "task-$index"')
        lines.append('cd "task-$index"')
    else:
        away = [path for path in brought if str(path.parent) != directory]
        lines += [f"cp -R {_quoted(away, directory)} ."] if away else []
    lines += [*item_lines(job.items), *export_lines(job), shell_command(job)]
    return [f"{line}\n" for line in "\n".join(lines).split("\n")]


def _quoted(paths: list[PurePosixPath], directory: str) -> str:
    return " ".join(shlex.quote(_seen(str(path), directory)) for path in paths)


def _formatted(line: str, tasks: Tasks | None) -> str:
    """A line whose braces Snakemake leaves alone, but for the one that is its own."""
    if tasks is not None and line == "index={wildcards.index}\n":
        return line
    return line.replace("{", "{{").replace("}", "}}")
