"""An executor whose runtime keeps nothing apart, so that jobs start quickly; and their module."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pixi_ship.errors import SchedulerError
from pixi_ship.executor import Executor
from pixi_ship.scheduler.command import LocalCommands
from pixi_ship.scheduler.local import Local
from pixi_ship.scheduler.record import read_record

from ..runtime.conftest import image_cache, numpy_image
from ..tiny import Tiny

__all__ = ["image_cache", "numpy_image"]

_NO_RUNTIME = """\
#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
test "$1" = /app/entrypoint.sh && shift
exec "$@"
"""

STUDY = '''\
"""Functions that jobs of tests call."""

import os
import signal
import subprocess
import sys
import time


class Both:
    """Equal by its parts, to be sent and to come back."""

    def __init__(self, /, *parts, **named):
        self.parts, self.named = parts, named

    def __eq__(self, other):
        return (self.parts, self.named) == (other.parts, other.named)

    __hash__ = None

    @classmethod
    def of(cls, part):
        return cls(part)


class Odd(Exception):
    """Can be pickled, and not be read again."""

    def __init__(self, one, two):
        super().__init__(one)


class Careful(Exception):
    pass


def both(*parts, **named):
    return Both(*parts, **named)


def say(text, error=""):
    print(text)
    sys.stderr.write(error)


def fail(kind):
    print("failing", flush=True)
    if kind == "careful":
        try:
            1 / 0
        except ZeroDivisionError as error:
            raise Careful("on purpose", 7) from error
    if kind == "odd":
        raise Odd(1, 2)
    if kind == "exit":
        sys.exit(3)
    if kind == "lambda":
        return lambda: None
    if kind == "kill":
        sys.stderr.write("last words \\033[31m\\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "os._exit":
        os._exit(0)
    if kind == "import":
        import not_there
    return kind


def sleep(path=None):
    if path:
        with open(path, "a") as file:
            file.write("%d\\n" % os.getpid())
    time.sleep(600)


def facts():
    return {"cwd": os.getcwd(), "argv": sys.argv, "path": sys.path[0], "env": dict(os.environ)}


def write(name, text):
    with open(name, "w") as file:
        file.write(text)
    return name


def read(name):
    with open(name) as file:
        return file.read()


def parent(n):
    import helper

    return helper.twice(n)
'''


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module in a directory of its own, with the functions of jobs."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "study.py").write_text(STUDY)
    (folder / "helper.py").write_text("def twice(n):\n    return 2 * n\n")
    monkeypatch.syspath_prepend(folder)
    sys.modules.pop("study", None)
    yield importlib.import_module("study")
    sys.modules.pop("study", None)


MakeExecutor = Callable[..., Executor]


@pytest.fixture
def make(
    tmp_path: Path, study: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeExecutor]:
    """Makes executors of local jobs in a small image, with the module sent along."""
    tiny = Tiny(tmp_path / "image")
    tiny.lock(tiny.good())
    tiny.works()
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "bwrap").write_text(_NO_RUNTIME)
    (programs / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def executor(**more: Any) -> Executor:
        given: dict[str, Any] = {
            "image": f"oci:{tiny.output}:t",
            "runtime": "bubblewrap",
            "cache_dir": tiny.cache,
            "python": sys.executable,
            "code": [tmp_path / "modules" / "study.py"],
        }
        return Executor(**{**given, **more})

    yield executor
    for path in tmp_path.glob("jobs/*/job.json"):
        try:
            Local(LocalCommands(os.environ)).cancel(read_record(path.parent))
        except SchedulerError:
            continue  # a test damaged it on purpose
