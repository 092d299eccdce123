"""Pieces of shell that the files of several schedulers share."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pixi_ship.errors import UsageError
from pixi_ship.job.quote import shell_command
from pixi_ship.job.spec import JobSpec

_MOST_ITEMS = 2 << 20  # bytes; Slurm takes scripts of 4 MiB


def item_lines(items: Sequence[str]) -> list[str]:
    """Lines that set ``item`` to the one with the number ``index``."""
    if not items:
        return []
    if sum(len(item.encode()) + 1 for item in items) > _MOST_ITEMS:
        raise UsageError(
            "the items of --foreach are too many for a job script",
            hint="write them to an --input file and let the command pick by {index}",
        )
    end = "ITEMS"
    while end in items:
        end += "_"
    return [f"item=$(sed -n \"$((index + 1))p\" <<'{end}'", *items, end, ")"]


def export_lines(job: JobSpec) -> list[str]:
    """Lines that set the job's own variables."""
    return [f"export {name}={shlex.quote(value)}" for name, value in job.env.items()]


def task_script(job: JobSpec, index: str) -> str:
    """A script that runs one task inside of the image; index: what its number is, for ``sh``."""
    lines = ["#!/bin/sh", "# What one task does, in the image."]
    if job.tasks is not None:
        lines.append(f"index={index}")
    lines += item_lines(job.items)
    lines += export_lines(job)
    lines.append(f"exec {shell_command(job)}")
    return "\n".join(lines) + "\n"
