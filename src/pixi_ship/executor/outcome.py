"""What a call came to, as its task left it; unpickling it trusts the job.

The file holds a line of JSON and after it a pickle (:mod:`pixi_ship.executor.runner`).
"""

from __future__ import annotations

import io
import json
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pixi_ship.errors import SchedulerError
from pixi_ship.executor.failure import FunctionFailed, RemoteTraceback
from pixi_ship.executor.runner import MAIN, RESULT

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_HEAD = 4 << 20  # bytes
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result, or else an exception that says why there is none."""

    value: object = None
    error: Exception | None = None


def read_outcome(directory: Path, what: str) -> Outcome | None:
    """What lies in a task's directory; None where it left nothing.

    what: names the call in errors. Raises SchedulerError for a file that no call has left.
    """
    path = directory / RESULT
    try:
        with path.open("rb") as file:
            head = file.readline(_MOST_HEAD)
            if not head:
                return None
            facts = json.loads(head)
            if facts["format"] != _FORMAT:
                raise SchedulerError(f"{path} is of format {facts['format']}, want {_FORMAT}")
            said = {key: str(facts.get(key, "")) for key in ("type", "message", "traceback")}
            outcome, missing = str(facts["outcome"]), str(facts.get("missing", ""))
            data = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SchedulerError(f"reading {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SchedulerError(f"reading {path}: {error}") from error
    if outcome == "returned":
        return _returned(data, what)
    if outcome == "unpicklable":
        return Outcome(error=_failed(f"the result of {what} cannot be pickled", said, _PLAIN))
    return Outcome(error=_raised(data, said, what, missing))


_PLAIN = "return plain data, or write a file and name it in outputs"


def _returned(data: bytes, what: str) -> Outcome:
    try:
        return Outcome(_load(data))
    except Exception as error:
        # Whatever the classes in it raise.
        failed = FunctionFailed(
            f"the result of {what} cannot be read here: {error}",
            hint="its classes must be importable here too, or return plain data",
        )
        failed.__cause__ = error
        return Outcome(error=failed)


def _raised(data: bytes, said: Mapping[str, str], what: str, missing: str) -> Exception:
    """The exception itself where it can come back, else one that tells of it."""
    hint = f"module {missing} is not in the image: send it along with code=[…]"
    error: object = None
    if data:
        try:
            error = _load(data)
        except Exception:
            error = None
    if not isinstance(error, Exception):
        return _failed(f"{what} raised {said['type']}", said, hint if missing else None)
    error.__cause__ = RemoteTraceback(said["traceback"])
    if missing:
        error.add_note(hint)
    return error


def _failed(start: str, said: Mapping[str, str], hint: str | None) -> FunctionFailed:
    message = f"{start}: {said['message']}" if said["message"] else start
    failed = FunctionFailed(message, kind=said["type"], traceback=said["traceback"], hint=hint)
    failed.__cause__ = RemoteTraceback(said["traceback"])
    return failed


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        """What the job calls a script that it loaded is here the program that is running."""
        if module == MAIN and MAIN not in sys.modules:
            module = "__main__"
        return super().find_class(module, name)


def _load(data: bytes) -> object:
    found: object = _Unpickler(io.BytesIO(data)).load()
    return found
