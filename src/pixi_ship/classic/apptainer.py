"""An Apptainer definition with the same two stages.

Source: Apptainer user documentation 1.4, "Definition Files": ``%arguments`` hold for one stage,
``%environment`` is sourced before every command, ``exec`` included.
"""

from __future__ import annotations

import shlex

from pixi_ship.classic.route import Route
from pixi_ship.classic.words import definition_word
from pixi_ship.recipe.paths import APP, ENTRYPOINT, prefix_of

FILE_NAME = "apptainer.def"
_ENVIRONMENT = "{{ ENVIRONMENT }}"
_HOOK = f"{APP}/shell-hook.sh"
_CACHE = "/var/cache/pixi"


def build_command(route: Route, file: str = FILE_NAME) -> tuple[str, ...]:
    """The words that build the SIF, to be run in the workspace."""
    return ("apptainer", "build", f"{route.environment}.sif", file)


def definition(route: Route) -> str:
    """The definition: the environment is installed in one stage and copied into another."""
    stages = (
        *_header(route.pixi_image, "build"),
        *_section("arguments", [f"{key}={value}" for key, value in route.arguments.items()]),
        *_section("files", _files(route)),
        *_section("post", _post(route)),
        *_header(route.base, "final"),
        *_section("arguments", [f"ENVIRONMENT={route.environment}"]),
        *_section("files from build", _brought(route)),
        *_section("files", [_two(each.source, each.dest) for each in route.included]),
        # Not the entrypoint: its last line would replace Apptainer's own shell.
        *_section("environment", [f". {_HOOK}"]),
        *_section("runscript", ["[ $# -gt 0 ] || set -- /bin/bash", 'exec "$@"']),
        *_section("startscript", ['exec "$@"']),
        *_section("test", _test()),
    )
    shown = shlex.join(build_command(route))
    head = f"# Build it in the workspace's directory: {shown}\n"
    return "\n".join((head, *stages)).rstrip("\n") + "\n"


def _header(image: str, stage: str) -> list[str]:
    return ["Bootstrap: docker", f"From: {image}", f"Stage: {stage}", ""]


def _section(name: str, lines: list[str]) -> list[str]:
    return [f"%{name}", *(f"    {line}" for line in lines), ""] if lines else []


def _files(route: Route) -> list[str]:
    fixed = [_two(each, f"{APP}/{each}") for each in (route.manifest, "pixi.lock")]
    return [*fixed, *(_two(each.source, each.dest) for each in route.installed_from)]


def _post(route: Route) -> list[str]:
    cuda = ['export CONDA_OVERRIDE_CUDA="{{ CUDA_VERSION }}"'] if route.cuda is not None else []
    return [
        *cuda,
        f"export PIXI_CACHE_DIR={_CACHE}",
        f"cd {APP}",
        route.install(_ENVIRONMENT),
        f"{route.shell_hook(_ENVIRONMENT)} > {_HOOK}",
        f"{{ echo '#!/bin/bash' && cat {_HOOK} && echo 'exec \"$@\"'; }} > {ENTRYPOINT}",
        f"chmod 0755 {ENTRYPOINT}",
    ]


def _brought(route: Route) -> list[str]:
    places = (prefix_of(_ENVIRONMENT), *route.brought, _HOOK, ENTRYPOINT)
    # No quotes around the prefix: what is in braces must stand bare.
    return [f"{each} {each}" if "{{" in each else _two(each, each) for each in places]


def _test() -> list[str]:
    """Brief: HTCondor runs it before each job."""
    active = f'[ "$CONDA_PREFIX" = "{prefix_of(_ENVIRONMENT)}" ]'
    return [f"/bin/bash -c '. {_HOOK} && {active}'"]


def _two(source: str, dest: str) -> str:
    return f"{definition_word(source)} {definition_word(dest)}"
