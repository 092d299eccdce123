"""What pipelines of both forges have in common: words of commands, and what starts them."""

from __future__ import annotations

import posixpath
import shlex
from enum import StrEnum

from pixi_ship.classic import apptainer, dockerfile
from pixi_ship.classic.facts import workspace_files
from pixi_ship.classic.route import Route

APPTAINER_VERSION = "1.4.5"
_LEAST_PYTHON = (3, 11)
_NEWEST_PYTHON = "3.13"


class Way(StrEnum):
    """What builds the image."""

    PIXI_SHIP = "pixi-ship"
    DOCKERFILE = "dockerfile"
    APPTAINER = "apptainer"


def watched(route: Route, way: Way) -> list[str]:
    """What a change of makes the pipeline run; a file that builds is one of them."""
    files = list(workspace_files(route))
    # Of what is copied, all but manifest and lock, each may be a directory.
    copied = [f"{each}/**" for each in files[2:]]
    own = {
        Way.PIXI_SHIP: "pixi-ship.lock",
        Way.DOCKERFILE: dockerfile.FILE_NAME,
        Way.APPTAINER: apptainer.FILE_NAME,
    }[way]
    files += [posixpath.join(route.in_repository, own), *copied]
    # A plus is a quantifier in GitHub's patterns.
    return [each.replace("+", "*") for each in files]


def build_words(route: Route, base: str | None) -> list[str]:
    """The words of pixi-ship that every build of the environment has."""
    words = ["pixi-ship", "build", "--environment", route.environment]
    if route.in_repository:
        words += ["--workspace", route.in_repository]
    if route.locked_platform != "linux-64":
        words += ["--platform", route.locked_platform]
    if route.cuda is not None:
        words += ["--cuda", route.cuda]
    if base is not None:
        words += ["--base", base]
    return words


def build_and_push(route: Route, base: str | None, commit: str) -> str:
    """The script with which pixi-ship builds an image and pushes it under two tags.

    commit: the variable, with its ``$``, that holds the commit's name.
    """
    tag = f'"docker://$IMAGE:{route.environment}'
    return script(
        f"{shlex.join(build_words(route, base))} \\",
        f'  --cache-from {tag}" \\',
        f'  --to {tag}" \\',
        f'  --to {tag}-{commit}"',
    )


def build_sif(route: Route) -> list[str]:
    """The lines that build the SIF of a definition, and run its ``%test``."""
    sif = f"{route.environment}.sif"
    return [f"apptainer build {sif} {apptainer.FILE_NAME}", f"apptainer test {sif}"]


def push_sif(route: Route, host: str, commit: str) -> list[str]:
    """The lines that push the SIF under two tags.

    User and token are in variables. host: the registry, a shell word. commit: as of
    :func:`build_and_push`.
    """
    login = f'apptainer registry login --username "$REGISTRY_USER" --password-stdin oras://{host}'
    push = f'apptainer push {route.environment}.sif "oras://$IMAGE:{route.environment}-sif'
    return [f'echo "$REGISTRY_TOKEN" | {login}', f'{push}"', f'{push}-{commit}"']


def python_version(route: Route) -> str:
    """The environment's own, which compiles its bytecode, where pixi-ship runs on it."""
    found = tuple(int(each) for each in (route.python or "0.0").split("."))
    return route.python if route.python and found >= _LEAST_PYTHON else _NEWEST_PYTHON


def script(*lines: str) -> str:
    """Lines of a script, as one text."""
    return "\n".join(lines) + "\n"


def cd(route: Route) -> list[str]:
    """The line that leads to a workspace below the repository's top."""
    return [f"cd {shlex.quote(route.in_repository)}"] if route.in_repository else []
