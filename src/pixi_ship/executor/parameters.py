"""What each job of an executor asks for, in the words of the command line's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from pixi_ship.errors import UsageError
from pixi_ship.job.quantity import parse_resources
from pixi_ship.job.spec import Resources


class Parameters(TypedDict, total=False):
    """Parameters of jobs, by name.

    name: what jobs are called; by itself as the function. memory, disk, gpu_memory: such as
    ``8G``. time: such as ``2h30m``. env: variables besides the image's. inputs: files and
    directories brought to where a job runs. outputs: relative paths brought back from there.
    workdir: where the job's directory is in the image. after: jobs that must have ended well.
    at_once: tasks of an array that may run at the same time.
    """

    name: str | None
    cpus: int
    memory: str | None
    disk: str | None
    time: str | None
    gpus: int
    gpu_memory: str | None
    gpu_capability: str | None
    env: Mapping[str, str]
    inputs: Sequence[str | Path]
    outputs: Sequence[str]
    workdir: str | None
    after: Sequence[str]
    at_once: int | None


_TEXTS = ("name", "memory", "disk", "time", "gpu_memory", "gpu_capability", "workdir")
_ROWS: Mapping[str, tuple[type, ...]] = {
    "inputs": (str, Path),
    "outputs": (str,),
    "after": (str,),
}


def check(given: Mapping[str, object]) -> None:
    """Raise UsageError for a name that no parameter has, and for a value of another type."""
    known = Parameters.__annotations__
    for name, value in given.items():
        if name not in known:
            raise UsageError(
                f"jobs have no parameter {name!r}", hint=f"they have {', '.join(known)}"
            )
        if name in _TEXTS and not isinstance(value, str | None):
            raise UsageError(f"{name} is {value!r}, want text")
        if name in _ROWS:
            check_row(name, value, _ROWS[name])
    at_once = given.get("at_once")
    if at_once is not None and (not isinstance(at_once, int) or at_once < 1):
        raise UsageError(f"at_once is {at_once!r}, want a number from 1 on")
    env = given.get("env", {})
    if not isinstance(env, Mapping) or not all(
        isinstance(each, str) for pair in env.items() for each in pair
    ):
        raise UsageError("env is no mapping of text to text")  # its values may be secrets


def check_row(name: str, value: object, types: tuple[type, ...] = (str, Path)) -> None:
    """Raise UsageError for what is no list; a text alone would be taken letter by letter."""
    if (
        isinstance(value, str | bytes)
        or not isinstance(value, Sequence)
        or not all(isinstance(each, types) for each in value)
    ):
        raise UsageError(f"{name} is {value!r}, want a list", hint=f"{name}=[…]")


def resources(given: Parameters) -> Resources:
    """What each task may use; raises UsageError for what is no amount."""
    cpus, gpus = given.get("cpus", 1), given.get("gpus", 0)
    for name, number, least in (("cpus", cpus, 1), ("gpus", gpus, 0)):
        if not isinstance(number, int) or number < least:
            raise UsageError(f"{name} is {number!r}, want a number from {least} on")
    return parse_resources(
        str,
        cpus=cpus,
        memory=given.get("memory"),
        disk=given.get("disk"),
        time=given.get("time"),
        gpus=gpus,
        gpu_memory=given.get("gpu_memory"),
        gpu_capability=given.get("gpu_capability"),
    )
