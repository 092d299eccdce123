"""``pixi ship render dockerfile``, ``apptainer`` and ``ci``: texts for other builders."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, Unpack

import click

from pixi_ship.cache import replacing
from pixi_ship.classic import apptainer, dockerfile
from pixi_ship.classic.ci import Forge, pipeline
from pixi_ship.classic.facts import route_of
from pixi_ship.classic.route import PIXI_IMAGE, Route
from pixi_ship.classic.steps import Way
from pixi_ship.cli.display import print_json, print_warnings
from pixi_ship.cli.option_group import option_group
from pixi_ship.cli.options import (
    DEFAULT_BASE,
    DEFAULT_PLATFORM,
    base_of,
    cuda_of,
    platforms_of,
    workspace_at,
    workspace_option,
)
from pixi_ship.cli.project_options import includes_of
from pixi_ship.errors import UsageError
from pixi_ship.lock.parse import LockFile
from pixi_ship.machine import Machine
from pixi_ship.oci.reference import Transport, parse_reference
from pixi_ship.selection import Options, select
from pixi_ship.workspace import Workspace

_to_option = click.option(
    "--to",
    "path",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="File to write, or directory to write into.  [default: stdout]",
)
_classic_options = option_group(
    workspace_option,
    click.option("-e", "--environment", help="Environment to install.  [default: default]"),
    click.option("--platform", help=f"Name of a locked platform.  [default: {DEFAULT_PLATFORM}]"),
    click.option(
        "--cuda", metavar="VERSION", help="CUDA version of the nodes; also CONDA_OVERRIDE_CUDA."
    ),
    click.option(
        "--base",
        metavar="REF",
        help=f"Image of the final stage, in a registry.  [default: {DEFAULT_BASE}]",
    ),
    click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout."),
)
_stage_options = option_group(
    _classic_options,
    click.option(
        "--pixi-image",
        metavar="REF",
        default=f"docker://{PIXI_IMAGE}",
        show_default=True,
        help="Image with Pixi, of the first stage.",
    ),
    click.option(
        "--include",
        "includes",
        metavar="PATH[:DEST]",
        multiple=True,
        help="File or directory of the workspace to take along; DEST is relative to /app.",
    ),
    click.option(
        "--as-template",
        is_flag=True,
        help="Leave CUDA_VERSION and ENVIRONMENT to whoever builds, as the published recipe does.",
    ),
    _to_option,
)


class ClassicOptions(TypedDict):
    """The options of every text, by parameter name."""

    workspace: Path | None
    environment: str | None
    platform: str | None
    cuda: str | None
    base: str | None


class StageOptions(ClassicOptions):
    """With what says how the stages are made."""

    pixi_image: str
    includes: tuple[str, ...]
    as_template: bool


@click.command("dockerfile")
@_stage_options
def dockerfile_command(path: Path | None, as_json: bool, **given: Unpack[StageOptions]) -> None:
    """Write the two-stage Dockerfile of an environment, and its ignore file beside it.

    Docker builds it with BuildKit; Podman and Buildah do as well.
    """
    route = _route(given)
    place = _place(path, dockerfile.FILE_NAME)
    name = place.name if place else dockerfile.FILE_NAME
    files = {
        name: dockerfile.dockerfile(route),
        f"{name}.dockerignore": dockerfile.dockerignore(route),
    }
    _deliver("dockerfile", files, place, dockerfile.build_command(route, name), route, as_json)


@click.command("apptainer")
@_stage_options
def apptainer_command(path: Path | None, as_json: bool, **given: Unpack[StageOptions]) -> None:
    """Write the two-stage Apptainer definition of an environment."""
    route = _route(given)
    place = _place(path, apptainer.FILE_NAME)
    name = place.name if place else apptainer.FILE_NAME
    command = apptainer.build_command(route, name)
    _deliver("apptainer", {name: apptainer.definition(route)}, place, command, route, as_json)


@click.command("ci")
@_classic_options
@click.option(
    "--forge",
    type=click.Choice([each.value for each in Forge]),
    default=Forge.GITHUB.value,
    show_default=True,
    help="Whose pipeline.",
)
@click.option(
    "--classic",
    type=click.Choice([Way.DOCKERFILE.value, Way.APPTAINER.value]),
    help="Build with the rendered Dockerfile or definition in place of pixi-ship.",
)
@click.option(
    "--image",
    metavar="REF",
    help="Where to push, without a tag.  [default: the forge's registry, by the repository's name]",
)
@_to_option
def ci_command(
    forge: str,
    classic: str | None,
    image: str | None,
    path: Path | None,
    as_json: bool,
    **given: Unpack[ClassicOptions],
) -> None:
    """Write a pipeline that builds the image and pushes it, of GitHub Actions or GitLab CI."""
    route = _route(
        {**given, "pixi_image": f"docker://{PIXI_IMAGE}", "includes": (), "as_template": False}
    )
    rendered = pipeline(
        route,
        Forge(forge),
        Way(classic) if classic else Way.PIXI_SHIP,
        base=given["base"],
        image=None if image is None else _repository(image),
    )
    place = _place(path, rendered.name)
    name = place.name if place else rendered.name
    _deliver("ci", {name: rendered.text}, place, rendered.files_first, route, as_json)


def _route(given: StageOptions) -> Route:
    workspace = workspace_at(given["workspace"])
    named = (given["platform"],) if given["platform"] else ()
    platform = platforms_of(named, workspace)[0]
    options = Options(
        environment=_environment(given, workspace, platform),
        platforms=(platform,),
        cuda=cuda_of(given["cuda"], workspace),
        base=base_of(given["base"], workspace),
        compile_bytecode=False,
    )
    return route_of(
        select(workspace, options, platform, Machine()),
        base=options.base,
        pixi_image=parse_reference(given["pixi_image"]),
        includes=includes_of({"includes": given["includes"], "task": None}, workspace.defaults),
        as_template=given["as_template"],
    )


def _environment(given: StageOptions, workspace: Workspace, platform: str) -> str:
    """Of a template any that is locked for the platform: the texts leave it open."""
    if not given["as_template"]:
        return given["environment"] or str(workspace.defaults.get("environment", "default"))
    if given["environment"] or given["cuda"]:
        raise UsageError(
            "--as-template leaves CUDA version and environment to whoever builds",
            hint="leave --environment and --cuda out",
        )
    lock = LockFile(workspace.lock)
    for name in lock.environment_names:
        if any(platform in (each.name, each.subdir) for each in lock.platforms(name)):
            return name
    return "default"


def _repository(text: str) -> str:
    """HOST/NAME of a reference that has no tag."""
    reference = parse_reference(text)
    if (
        reference.transport is not Transport.DOCKER
        or reference.digest
        or not text.endswith(reference.repository)
    ):
        raise UsageError(f"--image {text} is no repository", hint="want docker://HOST/NAME")
    return reference.path


def _place(path: Path | None, usual: str) -> Path | None:
    """The file to write; ``path`` may be a directory."""
    return path / usual if path is not None and path.is_dir() else path


def _deliver(
    target: str,
    files: Mapping[str, str],
    place: Path | None,
    command: tuple[str, ...],
    route: Route,
    as_json: bool,
) -> None:
    """Write the files beside each other, or print the first, which can go on through a pipe."""
    if place is not None:
        for name, text in files.items():
            with replacing(place.with_name(name)) as file:
                file.write(text.encode())
    if as_json:
        print_json(
            {
                "target": target,
                "environment": route.environment,
                "platform": str(route.platform),
                "files": [{"name": name, "text": text} for name, text in files.items()],
                "command": list(command),
                "warnings": list(route.notes),
            }
        )
        return
    print_warnings(route.notes)
    if place is None:
        click.echo(next(iter(files.values())), nl=False)
    elif command:
        click.echo(shlex.join(command), err=True)
