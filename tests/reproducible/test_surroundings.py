"""The same workspace gives the same bytes, wherever, whenever and by whom it is built."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..conftest import TestData
from ..tiny import Ran, Tiny, lacking, ship_apart

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@dataclass
class Bench:
    """A public folder with a warm cache, and the numpy workspace of the test channel."""

    data: TestData
    root: Path
    base: Path
    count: int = 0

    def build(
        self, workspace: str = "numpy", *more: str, cache: str = "cache", **apart: Any
    ) -> Ran:
        self.count += 1
        out = self.root / f"out{self.count}"
        words: list[str | Path] = ["build", "-w", self.data.workspace(workspace), "-e", "minimal"]
        words += ["--base", f"oci:{self.base}:t", "--to", f"oci:{out}:t"]
        words += ["--cache-dir", self.root / cache, "--json", *more]
        ran = ship_apart(*words, **apart)
        assert ran.status == 0, ran.err
        shutil.rmtree(out, ignore_errors=True)
        return ran

    def whole(self, workspace: str, *more: str, cache: str = "cache") -> Ran:
        return self.build(workspace, *more, "-e", "default", cache=cache)


@pytest.fixture(scope="module")
def bench(channel_data: TestData) -> Iterator[Bench]:
    place = Path(tempfile.mkdtemp(prefix="ship-"))
    place.chmod(0o777)
    try:
        yield Bench(channel_data, place, Tiny(place).base("2.36"))
    finally:
        shutil.rmtree(place)


@pytest.fixture(scope="module")
def want(bench: Bench) -> str:
    return bench.build(cache="first").digest


def test_again_cold(bench: Bench, want: str) -> None:
    assert bench.build(cache="second").digest == want


def test_again_warm(bench: Bench, want: str) -> None:
    assert bench.build(cache="first").digest == want


SURROUNDINGS: dict[str, dict[str, str]] = {
    "hash seed 1": {"PYTHONHASHSEED": "1"},
    "hash seed 2": {"PYTHONHASHSEED": "2"},
    "time zone": {"TZ": "Pacific/Kiritimati"},
    "locale": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    "plain locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "home": {"HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"},
    "python": {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONOPTIMIZE": "2", "PYTHONPATH": "/tmp"},
    "terminal": {"COLUMNS": "20", "TERM": "dumb", "NO_COLOR": "1"},
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_variables(bench: Bench, want: str, name: str) -> None:
    env = SURROUNDINGS[name]
    assert bench.build(cache=f"variables {name}", env=env).digest == want


@pytest.mark.parametrize("workers", ["1", "2", "4"])
def test_workers(bench: Bench, want: str, workers: str) -> None:
    ran = bench.build("numpy", "--workers", workers, cache=f"workers {workers}")
    assert ran.digest == want


def test_working_directory(bench: Bench, want: str) -> None:
    assert bench.build(cache="cwd", cwd=Path("/")).digest == want


def test_umask(bench: Bench, want: str) -> None:
    shell = ("sh", "-c", 'umask 077 && exec "$@"', "sh")
    assert bench.build(cache="umask", prefix=shell).digest == want


def test_place_of_the_workspace(bench: Bench, want: str) -> None:
    copy = bench.root / "elsewhere" / "deep" / "numpy"
    shutil.copytree(bench.data.workspace("numpy"), copy)
    os.utime(copy / "pixi.lock", (0, 0))
    ran = bench.build("numpy", "-w", str(copy), cache="place")
    assert ran.digest == want


def test_another_user(bench: Bench) -> None:
    """Without bytecode: the interpreter that makes it may be out of that user's reach."""
    if os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    if shutil.which("setpriv") is None:
        lacking("not on this machine: setpriv")
    env = {"HOME": "/nonexistent"}
    want = bench.build("numpy", "--no-compile", cache="root").digest
    ran = bench.build("numpy", "--no-compile", cache="nobody", prefix=NOBODY, env=env)
    assert ran.digest == want


def test_source_date_epoch_is_the_only_clock(bench: Bench, want: str) -> None:
    first = bench.build(env={"SOURCE_DATE_EPOCH": "1700000000"}, cache="first")
    again = bench.build(env={"SOURCE_DATE_EPOCH": "1700000000"}, cache="first")
    assert first.digest == again.digest != want
    assert first.document["counters"]["layers_built"] == 0, "no layer holds a time"


def digests(ran: Ran) -> dict[tuple[str, ...], str]:
    return {tuple(layer["packages"]): layer["digest"] for layer in ran.image["layers"]}


def test_only_what_changed_is_built(bench: Bench) -> None:
    before = bench.whole("numpy", cache="update")
    again = bench.whole("numpy", cache="update")
    assert again.digest == before.digest
    counters = again.document["counters"]
    assert counters.pop("layers_reused") == len(before.image["layers"]) > 4
    assert set(counters.values()) == {0}, counters

    after = bench.whole("numpy-updated", cache="update")
    counters = after.document["counters"]
    assert counters["layers_built"] == 1
    assert counters["layers_reused"] == len(before.image["layers"]) - 1
    assert counters["archives_fetched"] == 1
    old, new = digests(before), digests(after)
    ((changed_from, _),) = old.items() - new.items()
    ((changed_to, _),) = new.items() - old.items()
    assert [name for name in changed_from if name not in changed_to] == [
        name for name in changed_from if name.startswith("greet-1.0")
    ]
    assert [name for name in changed_to if name not in changed_from] == [
        name for name in changed_to if name.startswith("greet-1.1")
    ]
    # What was made before does not matter to what it is.
    assert bench.whole("numpy-updated", cache="update cold").digest == after.digest


def test_interpreter_matters_only_to_python_code(bench: Bench) -> None:
    with_code = digests(bench.whole("numpy", cache="update"))
    without = digests(bench.whole("numpy", "--no-compile", cache="update"))
    changed = {name for row, digest in with_code.items() if without[row] != digest for name in row}
    assert changed
    assert not any(name.startswith("native-") for name in changed)
    assert sys.version_info >= (3, 11)
