"""What is said of a function so that a job finds it again: its module, its name, its script.

Functions go by reference, as pickle takes them (Python library, "pickle", "What can be pickled
and unpickled?"). One of a script is found in the script, loaded as multiprocessing does for
its start method ``spawn``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pixi_ship.errors import UsageError

MAIN = "__main__"
_HINT = "define it with 'def' at the top of a module, and pass what it needs as arguments"


@dataclass(frozen=True, slots=True)
class FunctionName:
    """Where a job finds a function: names of its module, and in that."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class MainModule:
    """The script that is running: a file, or a module that was started with ``python -m``."""

    file: Path | None = None
    module: str | None = None


def name_of(function: Callable[..., object]) -> FunctionName:
    """Where a job finds a function; raises UsageError for one that has no such place."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise UsageError(f"{function!r} has no name that a job could find it by", hint=_HINT)
    if "<lambda>" in name:
        raise UsageError("a lambda has no name that a job could find it by", hint=_HINT)
    if "<locals>" in name:
        raise UsageError(
            f"{name.replace('.<locals>', '')} is defined inside of another function, where no "
            "job finds it",
            hint=_HINT,
        )
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not function and not (inspect.ismethod(function) and found == function):
        raise UsageError(
            f"{module}.{name} is not the function that was given, or is not there", hint=_HINT
        )
    return FunctionName(module, name)


def running_script(directory: Path) -> MainModule:
    """What a job loads in place of the program that is running.

    directory: where that was started. Raises UsageError for a notebook or a prompt, which have
    no file.
    """
    main: ModuleType = sys.modules[MAIN]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name and spec.name.rpartition(".")[2] != MAIN:
        return MainModule(module=spec.name)
    file = getattr(main, "__file__", None)
    if not isinstance(file, str) or not Path(directory, file).is_file():
        raise UsageError(
            "what is defined in a notebook or at a prompt is in no file that a job could load",
            hint="move it to a module, and send that along with code=[…]",
        )
    return MainModule(file=Path(directory, file))
