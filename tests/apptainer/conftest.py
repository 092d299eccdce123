"""Apptainer as both kinds of user, and an image of ours that it has made a SIF file of."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..conftest import REPOSITORY, TestData
from ..contract.tools import output
from .runtime import Apptainer, User

BASE = f"oci:{REPOSITORY / '.test-data' / 'base'}:bookworm"

# Apptainer's default is gzip, which takes about six times as long.
FAST = ("--mksquashfs-args", "-comp zstd -Xcompression-level 1")


@dataclass(frozen=True, slots=True)
class Sif:
    """A SIF file, and what pixi-ship said about the image that it was made of."""

    path: Path
    report: dict[str, Any]


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.contract)
            # One worker: the image is built and converted once.
            item.add_marker(pytest.mark.xdist_group("apptainer"))


def apptainer_or_skip(user: User, folder: Path) -> Apptainer:
    """Apptainer as this user; skips, also where CI runs: it comes from another Debian suite."""
    found = Apptainer(user, folder)
    if reason := found.available():
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Apptainer:
    return apptainer_or_skip("root", tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="session")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Apptainer:
    return apptainer_or_skip("ordinary", tmp_path_factory.mktemp("ordinary"))


@pytest.fixture(params=["root", "ordinary"])
def apptainer(request: pytest.FixtureRequest) -> Apptainer:
    """Apptainer as each of the two users."""
    found: Apptainer = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def foreign_sif(
    root: Apptainer, channel_data: TestData, tmp_path_factory: pytest.TempPathFactory
) -> Sif:
    """The numpy workspace as Apptainer itself makes a SIF file of its image."""
    folder = tmp_path_factory.mktemp("foreign-sif")
    layout, sif = folder / "layout", folder / "numpy.sif"
    report = json.loads(
        output(
            *(sys.executable, "-m", "pixi_ship", "build", "--json"),
            *("--workspace", channel_data.workspace("numpy"), "--cache-dir", folder / "cache"),
            # Apptainer 1.4 reads no zstd layers.
            *("--base", BASE, "--compression", "gzip", "--to", f"oci:{layout}:numpy"),
        )
    )
    # Without a tag: Apptainer 1.4 takes `oci:DIRECTORY:TAG` for the name of a directory.
    done = root.run("build", *FAST, sif, f"oci:{layout}", binds=[folder], timeout=600)
    if done.returncode:
        pytest.fail(f"apptainer build: status {done.returncode}\n{done.stderr}")
    return Sif(sif, report)
