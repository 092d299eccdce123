"""Whole environments, and packages that contest paths, against `rattler.install`."""

from __future__ import annotations

from pathlib import Path

import pytest
from rattler import LockFile, RepoDataRecord

from ..conftest import TestData
from .by_hand import record
from .conftest import Judge

pytestmark = pytest.mark.oracle

COMBINATIONS = [
    "clobber-1-0.1.0 clobber-2-0.1.0 clobber-3-0.1.0",
    "clobber-1-0.2.0 clobber-2-0.2.0 clobber-3-0.2.0",
    "clobber-1-0.1.0 clobber-2-0.2.0 clobber-3-0.1.0",
    "clobber-nested-1 clobber-nested-2 clobber-nested-3",
    "clobber-nested-1 clobber-nested-2",
    "clobber-nested-1 clobber-nested-3",
    "clobber-nested-2 clobber-nested-3",
    "clobber-with-symlink-a clobber-with-symlink-b",
    "clobber-with-dir clobber-without-dir",
    "clobber-directory-upgrade-0.1.0 clobber-with-dir",
    "clobber-directory-upgrade-0.2.0 clobber-with-dir",
    "clobber-pypy clobber-python-0.1.0-pypy",
    "clobber-pypy clobber-python-0.1.0-cpython",
]
RACES = [  # a file of one package is a directory of another
    "clobber-fd-1 clobber-fd-2-0.1.0",
    "clobber-fd-1 clobber-fd-2-conflicting",
    "clobber-fd-1 clobber-fd-2-0.1.0 clobber-fd-3",
    "clobber-fd-1 clobber-fd-2-conflicting clobber-fd-3",
    "clobber-fd-rev-1 clobber-fd-rev-2",
    "clobber-fd-rev-1 clobber-fd-rev-3",
    "clobber-fd-rev-2 clobber-fd-rev-3",
    "clobber-fd-rev-1 clobber-fd-rev-2 clobber-fd-rev-3",
]


@pytest.mark.parametrize("name", ["numpy", "numpy-updated", "clobber", "edge", "gpu", "many"])
def test_the_conda_packages_of_a_workspace_are_laid_out_as_rattler_does(
    name: str, channel_data: TestData, agree: Judge
) -> None:
    agree(_records_of(channel_data.workspace(name)))


def test_a_folder_over_a_file_ends_up_as_one_of_rattlers_results(
    channel_data: TestData, agree_at_last: Judge
) -> None:
    agree_at_last(_records_of(channel_data.workspace("clobber-folder")))


@pytest.mark.parametrize("names", COMBINATIONS)
def test_packages_that_contest_paths_are_laid_out_as_rattler_does(
    names: str, shared_packages: list[Path], agree: Judge
) -> None:
    agree([_find(shared_packages, name) for name in names.split()])


@pytest.mark.parametrize("names", RACES)
def test_a_file_over_a_directory_ends_up_as_one_of_rattlers_results(
    names: str, shared_packages: list[Path], agree_at_last: Judge
) -> None:
    agree_at_last([_find(shared_packages, name) for name in names.split()])


def test_noarch_packages_contest_paths_where_the_interpreter_puts_them(
    channel_data: TestData, shared_packages: list[Path], agree: Judge
) -> None:
    pair = [_find(shared_packages, f"clobber-pynoarch-{number}") for number in (1, 2)]
    agree([*pair, *channel_data.records("python")])


def _records_of(workspace: Path) -> list[RepoDataRecord]:
    environment = dict(LockFile.from_path(workspace / "pixi.lock").environments())["default"]
    platform = next(each for each in environment.platforms() if each.name == "linux-64")
    return environment.conda_repodata_records_for_platform(platform) or []


def _find(packages: list[Path], start: str) -> RepoDataRecord:
    found = [path for path in packages if path.parent.name == "clobber"]
    return record(next(path for path in found if path.name.startswith(start)))
