"""A Dockerfile and its ignore file, for BuildKit, Podman and Buildah.

Source: Dockerfile reference, "Variables", "COPY", "RUN --mount=type=cache" and ".dockerignore
files"; the stages are the published recipe's.
"""

from __future__ import annotations

import shlex

from pixi_ship.classic.route import Route
from pixi_ship.classic.words import json_words
from pixi_ship.recipe.paths import APP, ENTRYPOINT, prefix_of

FILE_NAME = "Dockerfile"
_CACHE = "/var/cache/pixi"
_ENVIRONMENT = '"$ENVIRONMENT"'
# Of directories that are copied whole.
_NEVER = ("**/.git", "**/.pixi", "**/.venv", "**/.env", "**/__pycache__", "**/*.sif")


def build_command(route: Route, file: str = FILE_NAME) -> tuple[str, ...]:
    """The words that build the image, to be run in the workspace.

    Docker finds the ignore file by the Dockerfile's name; Podman and Buildah are told by
    ``--ignorefile``.
    """
    tag = f"{_tag_part(route.workspace)}:{route.environment}"
    platform = ("--platform", str(route.platform))
    return ("docker", "build", *platform, "--file", file, "--tag", tag, route.context)


def dockerfile(route: Route) -> str:
    """The Dockerfile: the environment is installed in one stage and copied into another."""
    redeclared = "".join(f"ARG {name}\n" for name in route.arguments)
    arguments = "".join(f'ARG {name}="{value}"\n' for name, value in route.arguments.items())
    return "\n".join(
        (
            _head(route),
            arguments,
            f"FROM {route.pixi_image} AS build\n",
            "# An ARG without a value takes the one above.",
            redeclared,
            *_build_stage(route),
            f"FROM {route.base} AS final\n",
            "ARG ENVIRONMENT\n",
            *_final_stage(route),
        )
    )


def dockerignore(route: Route) -> str:
    """The ignore file: nothing but what the Dockerfile copies goes to the builder."""
    wanted = [route.in_context(each) for each in (route.manifest, "pixi.lock")]
    wanted += [route.in_context(each.source) for each in route.installed_from]
    wanted += [route.in_context(each.source) for each in route.included]
    lines = ["*", *dict.fromkeys(f"!{each}" for each in wanted), *_NEVER]
    return "\n".join(lines) + "\n"


def _head(route: Route) -> str:
    workspace, shown = _comment(route.workspace), shlex.join(build_command(route))
    if route.as_template:
        what = f"An environment of the workspace {workspace}, as the ARGs say."
    else:
        what = f"The environment {route.environment} of the workspace {workspace}."
    return f"# {what} Build it in the workspace's directory:\n#\n#     {shown}\n"


def _build_stage(route: Route) -> list[str]:
    manifest, lock = (route.in_context(each) for each in (route.manifest, "pixi.lock"))
    copies = [f"COPY {json_words(manifest, lock, './')}"]
    copies += [
        f"COPY {json_words(route.in_context(each.source), each.dest)}"
        for each in route.installed_from
    ]
    cuda = "ENV CONDA_OVERRIDE_CUDA=$CUDA_VERSION\n" if route.cuda is not None else ""
    install, hook = route.install(_ENVIRONMENT), route.shell_hook(_ENVIRONMENT)
    return [
        f"WORKDIR {APP}",
        *copies,
        f"ENV PIXI_CACHE_DIR={_CACHE}",
        f"{cuda}RUN --mount=type=cache,target={_CACHE},sharing=locked \\",
        f"    {install}",
        "# The last line runs the command; a job that sources the script leaves that line out.",
        f"RUN {{ echo '#!/bin/bash' && {hook} \\",
        f"    && echo 'exec \"$@\"'; }} > {ENTRYPOINT}\n",
    ]


def _final_stage(route: Route) -> list[str]:
    prefix = prefix_of("$ENVIRONMENT")
    brought = [f"COPY --from=build {json_words(each, each)}" for each in route.brought]
    included = [
        f"COPY {json_words(route.in_context(each.source), each.dest)}" for each in route.included
    ]
    return [
        f"WORKDIR {APP}",
        f"COPY --from=build {json_words(prefix, prefix)}",
        *brought,
        f"COPY --from=build --chmod=0755 {json_words(ENTRYPOINT, ENTRYPOINT)}",
        *included,
        f"\nENTRYPOINT {json_words(ENTRYPOINT)}",
        # An ENTRYPOINT takes the base's CMD away.
        f"CMD {json_words('/bin/bash')}\n",
    ]


def _comment(text: str) -> str:
    """A name on a line of a comment, whatever is in it."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _tag_part(name: str) -> str:
    """A workspace's name as the last part of a repository's (distribution-spec)."""
    letters = "".join(each if each.isascii() and each.isalnum() else "-" for each in name.lower())
    return "-".join(part for part in letters.split("-") if part) or "workspace"
