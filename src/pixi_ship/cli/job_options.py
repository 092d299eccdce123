"""The options that say what a job is: the same for every verb and scheduler."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import click

from pixi_ship.cli.image_options import ImageOptions, opened_registries
from pixi_ship.cli.option_group import option_group
from pixi_ship.cli.options import DEFAULT_PLATFORM
from pixi_ship.errors import UsageError
from pixi_ship.job.quantity import parse_resources
from pixi_ship.job.site import PROFILE, Site, read_site, usual_profiles
from pixi_ship.job.spec import (
    JobImage,
    JobSpec,
    Resources,
    Tasks,
    image_at_url,
    job_name,
    parse_tasks,
)
from pixi_ship.oci.reference import Transport, parse_reference
from pixi_ship.platform import platform_of
from pixi_ship.submit import job_image


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
    mail: str | None
    profiles: tuple[Path, ...]
    platform: str


_PATH = click.Path(path_type=Path)
job_options = option_group(
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
    click.option("--mail", metavar="ADDRESS", help="Who gets a mail when the job has ended."),
    click.option(
        "--site",
        "profiles",
        metavar="FILE",
        type=_PATH,
        multiple=True,
        help=f"Profile of the site, over /etc/pixi-ship/site.toml, ~/.config/pixi-ship/site.toml "
        f"and {PROFILE} here.",
    ),
    click.option("--platform", default=DEFAULT_PLATFORM, show_default=True, help="Of the nodes."),
)


class DescribedOptions(JobOptions, ImageOptions):
    """With what leads to the image."""


def described_job(
    text: str, command: tuple[str, ...], given: DescribedOptions, image: JobImage | None = None
) -> tuple[JobSpec, Site]:
    """What the command line says of a job in the image REF, and the site's profile.

    image: what REF is, where somebody has looked.
    """
    site = read_site(_profiles(given["profiles"]))
    if (at_url := image_at_url(text)) is not None:
        return _job_spec(at_url, command, Path(text).stem, given), site
    reference = parse_reference(text)
    if image is None:
        with opened_registries(given) as registries:
            image = job_image(reference, platform_of(given["platform"]), registries)
    image = replace(image, plain_http=bool(given["plain_http"]))
    path = Path(reference.path)
    usual = path.stem if reference.transport is Transport.SIF else path.name
    return _job_spec(image, command, usual, given), site


def _profiles(named: tuple[Path, ...]) -> list[Path]:
    """Profiles from the widest to the narrowest; those that are named must be there."""
    return [*usual_profiles(os.environ, Path.home(), Path()), *named]


def _job_spec(image: JobImage, command: tuple[str, ...], usual: str, given: JobOptions) -> JobSpec:
    items = _items(given["foreach"])
    if given["array"] and items:
        raise UsageError("--array and --foreach contradict each other")
    tasks = parse_tasks(given["array"]) if given["array"] else None
    if items:
        tasks = Tasks(0, len(items) - 1)
    return JobSpec(
        name=given["name"] or job_name(usual),
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
        mail=given["mail"],
    )


def _resources(given: JobOptions) -> Resources:
    return parse_resources(
        lambda field: f"--{field.replace('_', '-')}",
        cpus=given["cpus"],
        memory=given["memory"],
        disk=given["disk"],
        time=given["time"],
        gpus=given["gpus"],
        gpu_memory=given["gpu_memory"],
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
