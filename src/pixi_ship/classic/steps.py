"""What pipelines of both forges have in common: words of commands, and what starts them."""

from __future__ import annotations

import posixpath
import re
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
    own = {Way.DOCKERFILE: dockerfile.FILE_NAME, Way.APPTAINER: apptainer.FILE_NAME}.get(way)
    if own is None:
        files.append(posixpath.join(route.in_repository, "pixi-ship.lock"))
    else:
        files.append(posixpath.join(route.in_repository, own))
    # Of what is copied each may be a directory.
    files += [f"{each}/**" for each in workspace_files(route)[2:]]
    # A plus is a quantifier in GitHub's patterns.
    return [re.sub(r"\+", "*", each) for each in files]


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


def oras_login(host: str) -> str:
    """The line that logs Apptainer in, with user and token in variables; host: a shell word."""
    login = f'apptainer registry login --username "$REGISTRY_USER" --password-stdin oras://{host}'
    return f'echo "$REGISTRY_TOKEN" | {login}'
