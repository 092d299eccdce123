"""A function goes by a name that a job can find, or is refused with what to do instead."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pixi_ship.errors import UsageError
from pixi_ship.executor.function import FunctionName, MainModule, name_of, running_script


class Counter:
    """Something with methods."""

    def count(self) -> int:
        return 1

    @classmethod
    def made(cls) -> Counter:
        return cls()

    @staticmethod
    def alone() -> int:
        return 2

    def __call__(self) -> int:
        return 3


@functools.lru_cache
def wrapped() -> int:
    return 4


HERE = __name__


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (name_of, FunctionName("pixi_ship.executor.function", "name_of")),
        (Counter, FunctionName(HERE, "Counter")),
        (Counter.made, FunctionName(HERE, "Counter.made")),
        (Counter.alone, FunctionName(HERE, "Counter.alone")),
        (Counter.count, FunctionName(HERE, "Counter.count")),
        (wrapped, FunctionName(HERE, "wrapped")),
        (json.dumps, FunctionName("json", "dumps")),
        (sum, FunctionName("builtins", "sum")),
    ],
)
def test_names(function: Callable[..., object], name: FunctionName) -> None:
    assert name_of(function) == name


def local() -> Callable[[], int]:
    def inner() -> int:
        return 1

    return inner


def replaced() -> int:
    return 1


original = replaced


def replaced() -> int:  # type: ignore[no-redef]
    return 2


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: 1, "a lambda has no name"),
        (local(), r"local\.inner is defined inside of another function"),
        (functools.partial(sum), "has no name that a job could find"),
        (Counter(), "has no name that a job could find"),
        (Counter().count, "is not the function that was given"),
        (original, "is not the function that was given"),
    ],
)
def test_what_no_job_could_find(function: Callable[..., object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        name_of(function)
    assert "at the top of a module" in str(caught.value.hint)


def main_module(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
    module = ModuleType("__main__")
    module.__spec__ = None
    for name, value in facts.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "__main__", module)


def test_the_running_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "fit.py").touch()
    main_module(monkeypatch, __file__=str(tmp_path / "fit.py"))
    assert running_script(Path("/nowhere")) == MainModule(file=tmp_path / "fit.py")
    main_module(monkeypatch, __file__="fit.py")
    assert running_script(tmp_path) == MainModule(file=tmp_path / "fit.py")
    directory = SimpleNamespace(name="__main__")  # python DIRECTORY, which has a __main__.py
    main_module(monkeypatch, __spec__=directory, __file__="fit.py")
    assert running_script(tmp_path) == MainModule(file=tmp_path / "fit.py")
    main_module(monkeypatch, __spec__=SimpleNamespace(name="study.fit"))
    assert running_script(tmp_path) == MainModule(module="study.fit")


@pytest.mark.parametrize("facts", [{}, {"__file__": None}, {"__file__": "/nowhere/<stdin>"}])
def test_notebooks_have_no_script(monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any]) -> None:
    main_module(monkeypatch, **facts)
    with pytest.raises(UsageError, match="in a notebook or at a prompt") as caught:
        running_script(Path("/work"))
    assert "code=" in str(caught.value.hint)
