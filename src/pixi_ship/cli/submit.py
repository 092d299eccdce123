"""``pixi ship submit``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec, TypedDict, TypeVar, Unpack

import click

from pixi_ship.cli.display import print_json, print_warnings
from pixi_ship.cli.image_options import ImageOptions, image_options, opened_registries
from pixi_ship.cli.options import DEFAULT_PLATFORM
from pixi_ship.errors import UsageError
from pixi_ship.job.model import Job, JobFiles, JobImage, Resources, Tasks, parse_tasks
from pixi_ship.job.quantity import parse_bytes, parse_time
from pixi_ship.job.site import read_site
from pixi_ship.oci.reference import Transport, parse_reference
from pixi_ship.platform import platform_of
from pixi_ship.scheduler.command import Commands
from pixi_ship.scheduler.record import SchedulerName
from pixi_ship.submit import job_image, render, submit

P = ParamSpec("P")
R = TypeVar("R")

_PROFILE = "pixi-ship-site.toml"
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class JobOptions(TypedDict):
    """The options that say what a job is, by parameter name."""

    cpus: int
    memory: str | None
    disk: str | None
    time: str | None
    gpus: int
    gpu_memory: str | None
    gpu_capability: str | None
    array: str | None
    foreach: Path | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    env: tuple[str, ...]
    name: str | None
    workdir: str | None
    after: tuple[str, ...]


_PATH = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--cpus", type=click.IntRange(1), default=1, show_default=True, help="Cores."),
    click.option("--memory", metavar="SIZE", help="Memory, such as 4G.  [default: the site's]"),
    click.option("--disk", metavar="SIZE", help="Local disk, such as 20G.  [default: the site's]"),
    click.option("--time", metavar="TIME", help="Longest run, such as 2h30m or 1-12:00:00."),
    click.option("--gpus", type=click.IntRange(0), default=0, help="GPUs."),
    click.option("--gpu-memory", metavar="SIZE", help="Least memory of each GPU."),
    click.option("--gpu-capability", metavar="X.Y", help="Least compute capability."),
    click.option(
        "--array",
        metavar="FIRST-LAST[:STEP][%N]",
        help="A task for each number, N at once at most; {index} in the command is the number.",
    ),
    click.option(
        "--foreach",
        metavar="FILE",
        type=_PATH,
        help="A task for each line of a file; {item} in the command is the line.",
    ),
    click.option("--input", "inputs", metavar="PATH", multiple=True, help="To where it runs."),
    click.option(
        "--output",
        "outputs",
        metavar="PATH",
        multiple=True,
        help="Back from where it ran; a relative path.",
    ),
    click.option(
        "--env",
        metavar="NAME[=VALUE]",
        multiple=True,
        help="Variable of the job; without a value the one here.",
    ),
    click.option("--name", help="What the job is called.  [default: the image's name]"),
    click.option("--workdir", metavar="DIR", help="Where the job's directory is in the image."),
    click.option("--after", metavar="ID", multiple=True, help="Job that must have ended well."),
)


def _job_options(command: Callable[P, R]) -> Callable[P, R]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("submit")
@click.argument("scheduler", type=click.Choice([each.value for each in SchedulerName]))
@click.argument("reference", metavar="REF")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND")
@_job_options
@click.option(
    "--site",
    "profiles",
    metavar="FILE",
    type=_PATH,
    multiple=True,
    help=f"Profile of the site, over /etc/pixi-ship/site.toml, ~/.config/pixi-ship/site.toml "
    f"and {_PROFILE} here.",
)
@click.option(
    "--jobs",
    metavar="DIR",
    type=_PATH,
    default=Path("jobs"),
    show_default=True,
    help="Where the job gets its directory.",
)
@click.option("--platform", default=DEFAULT_PLATFORM, show_default=True, help="Of the nodes.")
@click.option("--dry-run", is_flag=True, help="Print the files and the command; submit nothing.")
@image_options
def submit_command(
    scheduler: str,
    reference: str,
    command: tuple[str, ...],
    profiles: tuple[Path, ...],
    jobs: Path,
    platform: str,
    dry_run: bool,
    as_json: bool,
    **given: Unpack[SubmitOptions],
) -> None:
    """Run COMMAND, given after --, in the image REF as a job of Slurm or HTCondor.

    REF: docker://HOST/NAME[:TAG], oras://HOST/NAME[:TAG] for a SIF in a registry, or sif:FILE.
    The job names the image's digest. Its files lie in a directory of their own and can be
    submitted by hand; status, logs, wait and cancel take that directory.
    """
    name = SchedulerName(scheduler)
    found = parse_reference(reference)
    site = read_site(_profiles(profiles))
    with opened_registries(given) as registries:
        image = job_image(found, platform_of(platform), registries)
    last = Path(found.path).stem if found.transport is Transport.SIF else found.path
    job = _job(image, command, last.rpartition("/")[2], given)
    if dry_run:
        files = render(name, job, site, jobs.absolute() / f"{job.name}-1")
        _show_files(files, as_json)
        return
    done = submit(name, job, site, jobs, Commands(os.environ))
    if as_json:
        record = done.record
        print_json(
            {
                "scheduler": name.value,
                "id": record.identifier,
                "directory": str(record.directory),
                "image": record.image,
                "tasks": len(record.indices),
                "warnings": list(done.files.notes),
            }
        )
        return
    print_warnings(done.files.notes)
    click.echo(f"{done.record.directory}")
    click.echo(f"{name} job {done.record.identifier}", err=True)


class SubmitOptions(JobOptions, ImageOptions):
    """Everything that the verb hands on."""


def _profiles(named: tuple[Path, ...]) -> list[Path]:
    """Profiles from the widest to the narrowest; those that are named must be there."""
    config = os.environ.get("XDG_CONFIG_HOME")
    home = Path(config) if config else Path.home() / ".config"
    usual = (Path("/etc/pixi-ship/site.toml"), home / "pixi-ship" / "site.toml", Path(_PROFILE))
    return [*(path for path in usual if path.is_file()), *named]


def _job(image: JobImage, command: tuple[str, ...], usual: str, given: JobOptions) -> Job:
    items = _items(given["foreach"])
    if given["array"] and items:
        raise UsageError("--array and --foreach contradict each other")
    tasks = parse_tasks(given["array"]) if given["array"] else None
    if items:
        tasks = Tasks(0, len(items) - 1)
    return Job(
        name=given["name"] or _NOT_IN_NAME.sub("-", usual)[:64].strip(".-_") or "job",
        command=command,
        image=image,
        resources=_resources(given),
        tasks=tasks,
        items=items,
        inputs=tuple(_input(path) for path in given["inputs"]),
        outputs=given["outputs"],
        env=_variables(given["env"], os.environ),
        workdir=given["workdir"],
        after=given["after"],
    )


def _resources(given: JobOptions) -> Resources:
    def size(name: str, text: str | None) -> int | None:
        return parse_bytes(text, name) if text else None

    return Resources(
        cpus=given["cpus"],
        memory=size("--memory", given["memory"]),
        disk=size("--disk", given["disk"]),
        time=parse_time(given["time"], "--time") if given["time"] else None,
        gpus=given["gpus"],
        gpu_memory=size("--gpu-memory", given["gpu_memory"]),
        gpu_capability=given["gpu_capability"],
    )


def _items(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"reading the items in {path}: {error}") from error
    found = tuple(line.removesuffix("\r") for line in lines if line.strip())
    if not found:
        raise UsageError(f"{path} has no items", hint="want one on each line")
    return found


def _input(text: str) -> str:
    path = Path(text).absolute()
    if not path.exists():
        raise UsageError(f"there is no input {text!r}")
    return str(path)


def _variables(rows: tuple[str, ...], here: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for row in rows:
        name, equals, value = row.partition("=")
        if not equals:
            if name not in here:
                raise UsageError(f"--env {name}: there is no such variable here")
            value = here[name]
        found[name] = value
    return found


def _show_files(files: JobFiles, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "files": [{"name": name, "text": text} for name, text in files.files.items()],
                "command": list(files.submit),
                "warnings": list(files.notes),
            }
        )
        return
    print_warnings(files.notes)
    for name, text in files.files.items():
        click.echo(f"==> {name} <==\n{text}")
    click.echo(f"$ {' '.join(files.submit)}")
