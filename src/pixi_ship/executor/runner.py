"""Calls a function in a job's image and leaves what came of it; the image lacks pixi-ship.

A copy of this file travels with the job as ``pixi_ship_function/run.py``, so it is written for
Python 3.8 and the standard library alone. Beside it are ``call.json``, ``arguments.pickle``,
``code/`` and ``stand-in/``. The outcome is a line of JSON and after it a pickle; without any the
file is empty.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pickle
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

RESULT = "pixi_ship_result.pickle"
STAND_IN = "stand-in"  # beside this file: what can be imported as pixi_ship, and no more
MAIN = "__mp_main__"  # what multiprocessing calls a script that is not run but loaded
_MOST_TEXT = 100000  # characters
_FORMAT = 1


def main() -> int:
    """Make the call that the command line has the number of; returns the exit code."""
    place, result = Path(__file__).resolve().parent, Path(RESULT).resolve()
    # HTCondor holds a job that does not leave all of its outputs, as one that is killed would.
    result.write_bytes(b"")
    asked = json.loads((place / "call.json").read_text("utf-8"))
    call = asked["calls"][int(sys.argv[1]) if len(sys.argv) > 1 else 0]
    code = place / "code"
    sys.path[0] = str(code)
    sys.argv = [(asked["main"] or {}).get("file", "")]
    # Last, so that the image's own is found; by a path, which multiprocessing hands on.
    sys.path.append(str(place / STAND_IN))
    status, data = 0, b""
    head: dict[str, object] = {"outcome": "returned"}
    try:
        function = _function(asked["main"], code, call)
        arguments, named = _arguments(place, call)
        value = function(*arguments, **named)
        data = _pickled(value, asked["protocol"], head)
    except BaseException as error:
        status, head, data = _raised(error, asked["protocol"])
    head["format"] = _FORMAT
    _leave(result, head, data)
    return status


def _function(main: dict[str, str] | None, code: Path, call: dict[str, str]) -> Any:
    if main is not None:
        _load_main(main, code)
    module, name = call["module"], call["name"]
    found: Any = sys.modules[MAIN] if module == "__main__" else importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _load_main(main: dict[str, str], code: Path) -> None:
    """Load the script that submitted the job, without what it does when it is run."""
    package, there = "", None
    if main.get("module"):
        package = main["module"].rpartition(".")[0]
        there = importlib.util.find_spec(main["module"])
        if there is None or there.origin is None:
            raise ModuleNotFoundError(f"No module named {main['module']!r}", name=main["module"])
        path = there.origin
    else:
        path = str(code / main["file"])
    spec = importlib.util.spec_from_file_location(MAIN, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python script")
    module = importlib.util.module_from_spec(spec)
    # As of a program that was started so: from it multiprocessing loads the same elsewhere.
    module.__package__, module.__spec__ = package, there
    sys.modules[MAIN] = sys.modules["__main__"] = module
    spec.loader.exec_module(module)


def _arguments(place: Path, call: dict[str, int]) -> Any:
    with (place / "arguments.pickle").open("rb") as file:
        file.seek(call["at"])
        return pickle.loads(file.read(call["size"]))  # noqa: S301


def _pickled(value: object, protocol: int, head: dict[str, object]) -> bytes:
    try:
        return pickle.dumps(value, min(protocol, pickle.HIGHEST_PROTOCOL))
    except Exception as error:
        head.update(_told(error), outcome="unpicklable")
        return b""


def _raised(error: BaseException, protocol: int) -> tuple[int, dict[str, object], bytes]:
    with suppress(Exception):  # the function may have closed it
        traceback.print_exception(type(error), error, error.__traceback__)
    head: dict[str, object] = dict(_told(error), outcome="raised")
    if isinstance(error, SystemExit):
        code = error.code
        return code if isinstance(code, int) else int(code is not None), head, b""
    data = b""
    if isinstance(error, Exception):
        try:
            data = pickle.dumps(error, min(protocol, pickle.HIGHEST_PROTOCOL))
            pickle.loads(data)  # noqa: S301  # some can be written and not read
        except Exception:
            data = b""
    return 1, head, data


def _told(error: BaseException) -> dict[str, object]:
    try:
        message = str(error)
    except Exception:
        message = ""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", MAIN, "__main__"):
        name = kind.__module__ + "." + name
    missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
    return {
        "type": name,
        "message": message[:_MOST_TEXT],
        "traceback": "".join(lines)[-_MOST_TEXT:],
        "missing": missing,
    }


def _leave(path: Path, head: dict[str, object], data: bytes) -> None:
    """Write the outcome so that it is there as a whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(json.dumps(head).encode("ascii") + b"\n")
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
