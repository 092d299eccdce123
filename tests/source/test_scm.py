"""Versions that come from a repository: as setuptools-scm has them, without running anything."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pixi_ship.source.files import project_files
from pixi_ship.source.git import Git
from pixi_ship.source.scm import Repository, asks_repository
from pixi_ship.source.wheels import Workshop, built_wheel, known_wheel

from ..channel.tools import run
from .projects import HATCHED, Files, directory, git, repository, scm_project, write

Change = Callable[[Path], object]
CHANGES: dict[str, Change] = {
    "a tag": lambda place: git(place, "tag", "v1.2"),
    "a tag with the project's name": lambda place: git(place, "tag", "tagged-1.2"),
    "a candidate": lambda place: git(place, "tag", "v2.0rc1"),
    "no tag": lambda place: None,
    "no tag of a version": lambda place: git(place, "tag", "nightly"),
    "a commit after it": lambda place: (
        git(place, "tag", "v1.2.3"),
        repository(place, {"more.py": ""}),
    ),
    "commits after a candidate": lambda place: (
        git(place, "tag", "v2.0rc1"),
        repository(place, {"more.py": ""}),
        repository(place, {"most.py": ""}),
    ),
}


@pytest.fixture(scope="module")
def judge(backends: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """setuptools-scm itself, importable."""
    place = tmp_path_factory.mktemp("setuptools-scm")
    for wheel in backends.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place)
    return place


def ours(place: Path, variables: dict[str, str]) -> str | None:
    return Repository(Git("git", variables), place).version(project_files(place, place))


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_what_setuptools_scm_says(
    tmp_path: Path, variables: dict[str, str], judge: Path, change: str
) -> None:
    repository(tmp_path / "project", scm_project())
    CHANGES[change](tmp_path / "project")
    words = ("env", f"PYTHONPATH={judge}", "TZ=UTC", sys.executable, "-m", "setuptools_scm")
    said = run(*words, "--root", tmp_path / "project").strip().splitlines()[-1]
    # How many characters of a commit are shown is git's to choose.
    assert (
        said[: said.find("+g") + 6]
        == (ours(tmp_path / "project", variables) or "")[: said.find("+g") + 6]
    )
    assert said.partition("+")[0] == (ours(tmp_path / "project", variables) or "").partition("+")[0]


def test_a_changed_file_is_seen_and_an_added_one_is_not(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    commit = repository(tmp_path, scm_project(), "v1.2")
    write(tmp_path, {"unrecorded.py": ""})
    assert ours(tmp_path, variables) == "1.2"
    write(tmp_path, {"tagged.py": "changed"})
    assert ours(tmp_path, variables) == f"1.3.dev0+g{commit[:7]}.dirty"


def test_no_repository_no_version(tmp_path: Path, variables: dict[str, str]) -> None:
    write(tmp_path, scm_project())
    assert ours(tmp_path, variables) is None


@pytest.mark.parametrize(
    ("requires", "tool", "asks"),
    [
        ('["setuptools_scm[toml]>=6"]', "", True),
        ('["hatchling", "hatch-vcs"]', "", True),
        ('["pdm-backend"]', '[tool.pdm.version]\nsource = "scm"\n', True),
        ('["pdm-backend"]', '[tool.pdm.version]\nsource = "file"\n', False),
        ('["setuptools"]', "[tool.setuptools_scm]\n", False),
        ("3", "", False),
    ],
)
def test_who_asks(tmp_path: Path, requires: str, tool: str, asks: bool) -> None:
    write(tmp_path, {"pyproject.toml": f"[build-system]\nrequires = {requires}\n{tool}"})
    assert asks_repository(tmp_path) is asks


def vcs_hatched() -> Files:
    manifest = HATCHED["pyproject.toml"].replace('"hatchling"', '"hatchling", "hatch-vcs"')
    return {**HATCHED, "pyproject.toml": manifest.replace("path =", 'source = "vcs" #')}


@pytest.mark.parametrize(("name", "files"), [("tagged", scm_project()), ("hatched", vcs_hatched())])
def test_a_tag_is_the_version_of_the_wheel(workshop: Workshop, name: str, files: Files) -> None:
    source = directory(workshop.root, name, files)
    repository(workshop.root, {".gitignore": ".pixi\n"}, "v4.5")
    assert built_wheel(source, workshop).version == "4.5"
    repository(workshop.root, {"elsewhere": ""}, "v5.0")
    assert known_wheel(source, workshop) is None, "the version is part of what the source is"
    assert built_wheel(source, workshop).version == "5.0"
    git(workshop.root, "checkout", "-q", "v4.5")
    found = known_wheel(source, workshop)
    assert found is not None
    assert found.version == "4.5"


def test_settings_of_the_repository_start_nothing(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    place = tmp_path / "project"
    repository(place, {**scm_project(), ".gitattributes": "* filter=evil diff=evil\n"}, "v1.0")
    marker = tmp_path / "started"
    program = tmp_path / "evil"
    program.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    program.chmod(0o755)
    names = (
        *("core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "core.pager"),
        *("diff.evil.command", "diff.evil.textconv", "core.alternateRefsCommand"),
    )
    for name in names:
        git(place, "config", name, str(program))
    (place / ".git" / "hooks").mkdir(exist_ok=True)
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        (place / ".git" / "hooks" / hook).symlink_to(program)
    write(place, {"tagged.py": "changed"})
    assert (ours(place, variables) or "").startswith("1.1.dev0+g")
    assert not marker.exists()
