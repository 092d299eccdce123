"""Options that take a project's files and one of its tasks along."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TypedDict

import click

from pixi_ship.cli.option_group import option_group
from pixi_ship.errors import UsageError, WorkspaceError
from pixi_ship.project.include import Include, parse_include

project_options = option_group(
    click.option(
        "--include",
        "includes",
        metavar="PATH[:DEST]",
        multiple=True,
        help="Take a file, a directory or a pattern of the workspace along; '.' is all of it. "
        "DEST is relative to /app.  [default: the same place; nothing without --include]",
    ),
    click.option(
        "--task",
        metavar="NAME",
        help="Make a task of the manifest the image's command; 'NAME VALUE …' gives arguments.",
    ),
)


class ProjectOptions(TypedDict):
    """The values of :data:`project_options`, by parameter name."""

    includes: tuple[str, ...]
    task: str | None


def includes_of(given: ProjectOptions, defaults: Mapping[str, object]) -> tuple[Include, ...]:
    """What to take along: of the manifest's ``include``, then of the command line.

    defaults: ``[tool.pixi-ship]``.
    """
    written = defaults.get("include", [])
    if not isinstance(written, list) or not all(isinstance(each, str) for each in written):
        raise WorkspaceError(
            f"reading [tool.pixi-ship]: include is {written!r}, want a list of texts",
            hint='such as include = ["src", "data/*.csv:tables"]',
        )
    return tuple(parse_include(str(each)) for each in (*written, *given["includes"]))


def task_of(given: ProjectOptions, defaults: Mapping[str, object]) -> tuple[str, ...]:
    """The task's name and its arguments, the command line's before the manifest's; empty: none."""
    written = given["task"] if given["task"] is not None else defaults.get("task", "")
    if not isinstance(written, str):
        raise WorkspaceError(f"reading [tool.pixi-ship]: task is {written!r}, want a text")
    try:
        return tuple(shlex.split(written))
    except ValueError as error:
        raise UsageError(f"--task {written!r}: {error}") from None
