"""What travels with a job that calls functions: who is called with what, and their code."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pixi_ship.errors import UsageError
from pixi_ship.executor import runner, stand_in
from pixi_ship.executor.function import MAIN, FunctionName, MainModule
from pixi_ship.job.spec import INDEX, JobSpec

PLACE = "pixi_ship_function"
_ABOVE = "sent"  # of the job's directory; the scheduler takes it from there to where a task runs
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Call:
    """A function by name, and its arguments in a pickle."""

    function: FunctionName
    arguments: bytes

    @property
    def of_main(self) -> bool:
        """Whether the running script is needed to make it."""
        # Classes are named in a pickle by their module.
        return self.function.module == MAIN or MAIN.encode() in self.arguments


def call_of(
    function: FunctionName,
    arguments: Sequence[object],
    named: dict[str, object],
    protocol: int,
) -> Call:
    """A call that can travel; raises UsageError for arguments that cannot."""
    try:
        return Call(function, pickle.dumps((tuple(arguments), named), protocol))
    except Exception as error:  # whatever an argument's own methods raise
        raise UsageError(
            f"pickling the arguments of {function.name}: {error}",
            hint="pass plain data, or names of files that the job opens itself",
        ) from error


@dataclass(frozen=True, slots=True)
class Sent:
    """Calls, one for each task, with the code that they need besides the image's.

    code: files and directories, each found by its last part. main: where a call needs it.
    python: the program in the image.
    """

    calls: tuple[Call, ...]
    code: tuple[Path, ...]
    main: MainModule | None
    protocol: int
    python: str

    def command(self, *, array: bool) -> tuple[str, ...]:
        """What a task runs; unbuffered, so that others can follow what it prints."""
        words = (self.python, "-u", f"{PLACE}/run.py")
        return (*words, INDEX) if array else words

    def fill(self, job: JobSpec, directory: Path) -> JobSpec:
        """Write everything into a job's directory, and have the job bring it along.

        Raises UsageError for code that is not there, or bears one name twice.
        """
        place = directory / _ABOVE / PLACE
        package = place / runner.STAND_IN / "pixi_ship"
        try:
            (place / "code").mkdir(parents=True)
            package.mkdir(parents=True)
            shutil.copyfile(Path(runner.__file__), place / "run.py")
            shutil.copyfile(Path(stand_in.__file__), package / "__init__.py")
            self._write_code(place / "code")
            self._write_calls(place)
        except shutil.Error as error:  # of a directory; each row is source, target, reason
            first = error.args[0][0] if error.args and isinstance(error.args[0], list) else None
            why = f"{first[0]}: {first[2]}" if first else str(error)
            raise UsageError(f"sending code along: {why}") from error
        except OSError as error:
            what = error.filename or place
            raise UsageError(f"sending code along: {what}: {error.strerror or error}") from error
        return replace(job, inputs=(*job.inputs, str(place)))

    def _write_code(self, place: Path) -> None:
        taken: dict[str, Path] = {}
        script = self.main.file if self.main else None
        for path in (*self.code, *([script] if script else [])):
            there = path.resolve()
            _check_code(path, there, place)
            if taken.setdefault(path.name, there) != there:
                raise UsageError(
                    f"code holds two things named {path.name}: {taken[path.name]} and {there}"
                )
            if there.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".git")
                shutil.copytree(there, place / path.name, ignore=ignored, dirs_exist_ok=True)
            else:
                shutil.copyfile(there, place / path.name)

    def _write_calls(self, place: Path) -> None:
        rows, at = [], 0
        with (place / "arguments.pickle").open("wb") as file:
            for call in self.calls:
                file.write(call.arguments)
                size = len(call.arguments)
                names = {"module": call.function.module, "name": call.function.name}
                rows.append({**names, "at": at, "size": size})
                at += size
        document = {
            "format": _FORMAT,
            "protocol": self.protocol,
            "main": self._main(),
            "calls": rows,
        }
        (place / "call.json").write_text(json.dumps(document), "utf-8")

    def _main(self) -> dict[str, str] | None:
        if self.main is None:
            return None
        if self.main.file is not None:
            return {"file": self.main.file.name}
        return {"module": self.main.module or ""}


def _check_code(path: Path, there: Path, place: Path) -> None:
    """Raise UsageError for what no import finds, or what would be copied into itself."""
    if path.name in ("", ".."):
        raise UsageError(
            f"code {str(path)!r} has no name to be found by", hint="name the packages in it"
        )
    if place.resolve().is_relative_to(there):
        raise UsageError(
            f"code {str(path)!r} holds the jobs too", hint="name the modules and packages in it"
        )


def sent(
    calls: Sequence[Call],
    code: Sequence[Path],
    main: Callable[[], MainModule],
    protocol: int,
    python: str,
) -> Sent:
    """What travels for some calls; main: finds the running script, where a call needs it."""
    needed = main() if any(call.of_main for call in calls) else None
    return Sent(tuple(calls), tuple(code), needed, protocol, python)
