"""A workspace with a package of every kind becomes an image in which all of them run."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..source.conftest import backends
from .conftest import BASE, WORKSPACES
from .every_kind import EveryKind, every_kind
from .tools import Podman, need, run

__all__ = ["backends"]
pytestmark = pytest.mark.xdist_group("podman")

PREFIX = "/app/.pixi/envs/default"
WHERE = "import {0}; print({0}.__file__)"
SITE = f"{PREFIX}/lib/python3.11/site-packages"
# What each package is asked in the image, and what it answers.
ASKED = {
    "project": (["every-kind"], f"hello {PREFIX}"),
    "package data": (
        [
            "python",
            "-c",
            "from importlib.resources import files; "
            "print(files('every_kind').joinpath('data/table.csv').read_text().strip())",
        ],
        "1,2",
    ),
    "path dependency": (["python", "-c", WHERE.format("legacy")], f"{SITE}/legacy.py"),
    "compiled": (["python", "-c", "import compiled; print(compiled.answer())"], "42"),
    "source distribution": (["trinket"], "shiny"),
    "git dependency": (["python", "-c", "import flitted; print(flitted.__version__)"], "0.3"),
    "conda source package": (["made-of-source"], f"made of source in {PREFIX}"),
    "script of the manifest": (["sh", "-c", "echo $EVERY_ROOT"], "/app/.pixi/envs"),
}
# The entrypoint is left out: what these answer has to be in the image itself.
BARE = {"entrypoint": [], "no-entrypoint": ["--entrypoint", ""]}


@dataclass(frozen=True)
class Made:
    """The workspace, and what builds of it gave."""

    kinds: EveryKind
    folder: Path
    environment: dict[str, str]

    def build(self, name: str) -> dict[str, Any]:
        words: list[str | Path] = ["build", "-w", self.kinds.root, "--base", BASE, "--json"]
        words += ["--cache-dir", self.folder / "cache", "--inject", self.kinds.injected]
        words += ["--include", "train.py", "--include", "prepare.py", "--task", "train"]
        words += ["--to", f"oci-archive:{self.folder / name}.tar"]
        done = run(sys.executable, "-m", "pixi_ship", *words, env=self.environment)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, backends: Path) -> Made:
    need("bwrap", "git")
    folder = tmp_path_factory.mktemp("every-kind")
    environment = {
        "UV_FIND_LINKS": str(backends),
        "UV_NO_INDEX": "1",
        "UV_CACHE_DIR": str(folder / "uv"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    return Made(every_kind(WORKSPACES / "pyproject", folder), folder, environment)


@pytest.fixture(scope="module")
def report(made: Made) -> dict[str, Any]:
    return made.build("first")


@pytest.fixture(scope="module")
def identity(podman: Podman, made: Made, report: dict[str, Any]) -> str:
    return podman.pull(f"oci-archive:{made.folder / 'first.tar'}")


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("entry", BARE)
def test_every_package_runs(podman: Podman, identity: str, entry: str, asked: str) -> None:
    command, want = ASKED[asked]
    options = [*BARE[entry], "--user", "12345:12345", "--read-only"]
    done = podman.run(identity, *command, options=options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == want


def test_the_task_is_the_command(podman: Podman, identity: str) -> None:
    done = podman.run(identity, options=["--user", "12345:12345", "--read-only"])
    assert done.returncode == 0, done.stderr
    assert done.stdout == "prepared /app\ntrained first batch\n"


def test_what_was_built_is_said(report: dict[str, Any]) -> None:
    (image,) = report["images"]
    kinds = {each["name"]: each["kind"] for each in image["sources"]}
    assert kinds == {
        "every-kind": "path dependency",
        "legacy": "path dependency",
        "compiled": "path dependency",
        "trinket-sdist": "source distribution",
        "flitted": "git dependency",
    }
    said = "\n".join(report["warnings"])
    assert all(name in said for name in (*kinds, "made-of-source"))


def test_one_changed_source_changes_one_layer(made: Made, report: dict[str, Any]) -> None:
    before = made.kinds.cli.read_text()
    made.kinds.cli.write_text(before.replace("print(", "print('well,', "))
    try:
        changed = made.build("changed")
    finally:
        made.kinds.cli.write_text(before)
    (old,), (new,) = report["images"], changed["images"]
    pairs = list(zip(old["layers"], new["layers"], strict=True))
    differing = [new["packages"] for old, new in pairs if old["digest"] != new["digest"]]
    assert [[name.partition("-")[0] for name in names] for names in differing] == [["every_kind"]]
    assert changed["counters"]["layers_built"] == 1
    assert made.build("again")["digest"] == report["digest"]


def test_touched_files_and_another_place_change_nothing(
    made: Made, report: dict[str, Any], tmp_path: Path
) -> None:
    """The same sources elsewhere, with other times, in an empty cache: the same image."""
    root = tmp_path / "elsewhere" / "workspace"
    shutil.copytree(made.kinds.root, root, copy_function=shutil.copyfile)
    moved = Made(EveryKind(root, made.kinds.injected), tmp_path, made.environment)
    assert moved.build("moved")["digest"] == report["digest"]
