"""Entries keep their order while bytecode is being made, and nobody waits for ever."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator

import pytest

from pixi_ship.errors import PixiShipError
from pixi_ship.prefix.ahead import Later, in_order
from pixi_ship.prefix.bytecode import Compiler, Interpreter, probe_interpreter
from pixi_ship.tree import Directory, Entry, File

BIG = 3 << 20


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    found = probe_interpreter(sys.executable)
    assert found
    return found


def file(path: str, data: bytes = b"x") -> File:
    return File(path, 0o644, len(data), (data,))


def test_order_is_kept_and_what_is_nothing_is_left_out() -> None:
    taken: list[str] = []

    def entries() -> Iterator[Entry | Later]:
        for number in range(100):
            yield file(f"{number:03}.py")
            taken.append(f"{number:03}.py")
            made = file(f"{number:03}.pyc") if number % 3 else None
            yield Later(1, lambda made=made: made)  # type: ignore[misc]
            yield Directory(f"{number:03}.d")

    paths = []
    ahead = 0
    for entry in in_order(entries()):
        paths.append(entry.path)
        ahead = max(ahead, len(taken) - sum(path.endswith(".py") for path in paths))
    wanted = [
        path
        for number in range(100)
        for path in (f"{number:03}.py", f"{number:03}.pyc", f"{number:03}.d")
        if number % 3 or not path.endswith(".pyc")
    ]
    assert paths == wanted
    assert ahead > 50  # it did look ahead


def test_content_that_passes_is_taken_in_its_turn() -> None:
    """An archive's stream: what is not read before the next entry is asked for is lost."""
    state = {"now": ""}

    def passing(path: str, size: int) -> Iterator[bytes]:
        for _ in range(size >> 10):
            assert state["now"] == path
            yield path[:1].encode() * 1024

    def entries() -> Iterator[Entry | Later]:
        for number, size in enumerate((2048, BIG, 1024, BIG, 4096)):
            yield Later(10, lambda number=number: file(f"{number}.pyc"))  # type: ignore[misc]
            state["now"] = str(number)
            yield File(str(number), 0o644, size, passing(str(number), size))
            state["now"] = ""

    found = {
        entry.path: b"".join(entry.content)
        for entry in in_order(entries())
        if isinstance(entry, File)
    }
    assert list(found) == [f"{n}{end}" for n in range(5) for end in (".pyc", "")]
    assert {path: len(data) for path, data in found.items() if "." not in path} == {
        "0": 2048,
        "1": BIG,
        "2": 1024,
        "3": BIG,
        "4": 4096,
    }


def test_it_holds_no_more_than_some_megabytes() -> None:
    held = {"now": 0, "most": 0}

    def entries() -> Iterator[Entry | Later]:
        for number in range(400):
            data = b"x" * 100_000
            held["now"] += len(data)
            held["most"] = max(held["most"], held["now"])
            yield Later(0, lambda number=number: file(f"{number}.pyc"))  # type: ignore[misc]
            yield file(f"{number}.txt", data)

    for entry in in_order(entries()):
        if isinstance(entry, File) and entry.path.endswith(".txt"):
            held["now"] -= entry.size
    assert held["most"] < 6 << 20


@pytest.mark.parametrize("unit", [3, 700, 4097, 30_000, 300_000])
def test_many_sources_on_their_way(interpreter: Interpreter, unit: int) -> None:
    """Answers are larger than a pipe, requests fill one, and neither side waits for the other."""
    dice = random.Random(unit)
    counts = [max(1, dice.randint(1, unit) // 24) for _ in range(min(2000, 3_000_000 // unit))]
    sources = [
        b"".join(b"X%d = 'some text %d'\n" % (n, n) for n in range(count)) for count in counts
    ]
    with Compiler(interpreter) as compiler:
        asked = [compiler.begin(source, f"/{n}.py") for n, source in enumerate(sources)]
        ahead = [each.get() for each in asked]
    with Compiler(interpreter) as compiler:
        one_by_one = [compiler.compile(source, f"/{n}.py") for n, source in enumerate(sources)]
    assert ahead == one_by_one
    assert all(ahead)


def test_an_interpreter_that_ends_is_an_error(interpreter: Interpreter) -> None:
    ended = Interpreter(shutil.which("true") or "true", "3.0.0", "none", "00")
    with Compiler(ended) as compiler, pytest.raises(PixiShipError, match="ended unexpectedly"):
        _ask(compiler, 1000)


def _ask(compiler: Compiler, number: int) -> None:
    for each in [compiler.begin(b"X = 1\n", f"/{n}.py") for n in range(number)]:
        each.get()
