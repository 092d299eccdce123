"""A job as a shell script for this machine, and the words that leave a supervisor with it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from pixi_ship.errors import UsageError
from pixi_ship.job.quote import shell_command
from pixi_ship.job.script import item_lines
from pixi_ship.job.spec import INDEX, JobFiles, JobSpec

TASK = '"$task"'  # the task's directory, for the shell


@dataclass(frozen=True, slots=True)
class LocalStart:
    """How a command is started in an image here.

    line: for ``sh``, all before the command, with the task's directory as :data:`TASK`. behind:
    the runtime dies of a signal and leaves the command behind. kill: the words that end a
    container, which ``-INDEX`` completes where the job is an array.
    """

    line: str
    behind: bool = False
    kill: tuple[str, ...] = ()


Start = Callable[[JobSpec, str], LocalStart]
"""Says how a job is started from a task's directory; raises PixiShipError."""


def task_place(job: JobSpec, directory: str) -> str:
    """A task's directory, with ``{index}`` for the number in an array."""
    return directory if job.tasks is None else f"{directory}/task-{INDEX}"


def log_name(name: str) -> str:
    """What the log of a job's supervisor is called, in the job's directory.

    A job that is no array runs there too, and may well write a ``NAME.log`` of its own.
    """
    return f"{name}.supervisor.log"


def render_local(
    job: JobSpec, directory: str, start: LocalStart, supervisor: tuple[str, ...]
) -> JobFiles:
    """Write the script of a job that runs here.

    directory: absolute path of where the script is. supervisor: the words that start one.
    Raises UsageError for what cannot be.
    """
    if job.after:
        raise UsageError(
            "a job on this machine waits for no other", hint="wait for that one, then submit this"
        )
    name = f"{job.name}.sh"
    words = (*supervisor, *_limits(job, start), name, log_name(job.name))
    return JobFiles({name: _script(job, directory, start)}, words, _notes(job))


def _script(job: JobSpec, directory: str, start: LocalStart) -> str:
    by_hand = f"sh {job.name}.sh" + ("" if job.tasks is None else " INDEX")
    lines = ["#!/bin/sh", f"# {job.name}: one task of it; by hand:  {by_hand}", "set -eu"]
    place = shlex.quote(directory)
    if job.tasks is not None:
        lines.append("index=$1")
        place += '/task-"$index"'
    lines += [f"task={place}", f"mkdir -p {TASK}", f"cd {TASK}", *item_lines(job.items)]
    if job.inputs:
        lines.append(f"cp -R {' '.join(shlex.quote(path) for path in job.inputs)} .")
    # In place of the shell, so that signals and the exit code are the runtime's.
    lines.append(f"exec {start.line} {shell_command(job)}")
    return "\n".join(lines) + "\n"


def _limits(job: JobSpec, start: LocalStart) -> list[str]:
    words = []
    if (tasks := job.tasks) is not None:
        words += ["--tasks", f"{tasks.first}:{tasks.last}:{tasks.step}"]
    at_once = job.tasks.at_once if job.tasks else None
    if at_once is None and job.resources.gpus:
        at_once = 1  # the tasks would share the same GPUs
    words += ["--at-once", str(at_once)] if at_once else ["--cpus", str(job.resources.cpus)]
    if job.resources.time:
        words += ["--time", str(job.resources.time)]
    words += ["--behind"] if start.behind else []
    return words + (["--kill", json.dumps(start.kill)] if start.kill else [])


def _notes(job: JobSpec) -> tuple[str, ...]:
    wanted = job.resources
    asked = {
        "--memory": wanted.memory,
        "--disk": wanted.disk,
        "--gpu-memory": wanted.gpu_memory,
        "--gpu-capability": wanted.gpu_capability,
    }
    names = ", ".join(name for name, value in asked.items() if value)
    notes = [f"jobs on this machine are not held to {names}"] if names else []
    return (*notes, *(("jobs on this machine send no mail",) if job.mail else ()))
