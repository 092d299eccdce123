"""Every package at hand, alone (or with the Python it needs), against `rattler.install`."""

from __future__ import annotations

from pathlib import Path

import pytest
import rattler
from rattler import RepoDataRecord

from pixi_ship.errors import PackageError

from ..conftest import SHARED, TestData
from . import trees
from .by_hand import record
from .conftest import Judge

pytestmark = pytest.mark.oracle

OF_CHANNEL = [
    *("python", "greet 1.0", "greet 1.1", "native", "activ", "edge", "edge-bz2", "postlink"),
    *("clobber-a", "clobber-b", "clobber-c", "clobber-file", "gpu-thing"),
]
OF_SHARED = sorted(
    path.relative_to(SHARED / "packages").as_posix()
    for pattern in ("*.conda", "*.tar.bz2")
    for path in (SHARED / "packages").rglob(pattern)
)
ABSENT = pytest.param("", marks=pytest.mark.skip("../shared is not here: no packages to test with"))
# Archives that rattler cannot install, and why.
REFUSED = {
    "rattler/format/dotslash-test-1.0.0-0.conda": "neither paths.json nor files",
    "rattler/format/info-only-1.0.0-0.conda": "neither paths.json nor files",
    "rattler/format/symlink-test-1.0.0-0.conda": "neither paths.json nor files",
    "rattler/format/zip64-test-1.0.0-0.conda": "neither paths.json nor files",
    "rattler/real/ca-certificates-2024.7.4-hbcca054_0.conda": "its members lie in a folder",
}


@pytest.mark.parametrize("spec", OF_CHANNEL)
def test_a_package_of_the_channel_is_laid_out_as_rattler_does(
    spec: str, channel_data: TestData, agree: Judge
) -> None:
    agree(channel_data.records(spec))


@pytest.mark.parametrize("path", [path for path in OF_SHARED if path not in REFUSED] or [ABSENT])
def test_a_real_package_is_laid_out_as_rattler_does(
    path: str, channel_data: TestData, agree: Judge
) -> None:
    found = record(SHARED / "packages" / path)
    agree([found, *_python_for(found, channel_data)])


@pytest.mark.parametrize("path", [path for path in OF_SHARED if path in REFUSED] or [ABSENT])
def test_what_rattler_refuses_is_refused(path: str, cache: Path, tmp_path: Path) -> None:
    archive = SHARED / "packages" / path
    if "ca-certificates" in path:
        with pytest.raises(PackageError, match="holds 0 members"):
            record(archive)
        return
    lock = trees.locked([record(archive)], tmp_path)
    with pytest.raises(rattler.exceptions.InstallerError):
        trees.rattlers(lock, cache)
    with pytest.raises(PackageError):
        trees.ours(lock)


def test_rattler_reads_our_prefix_records(channel_data: TestData, tmp_path: Path) -> None:
    lock = trees.locked(channel_data.records("python", "greet", "native"), tmp_path)
    records = {path: node for path, node in trees.ours(lock).items() if node.kind == "record"}
    assert len(records) == 3
    for path, node in records.items():
        copy = tmp_path / Path(path).name
        copy.write_bytes(node.content)
        read = rattler.PrefixRecord.from_path(copy)
        assert [str(each) for each in read.files] == node.record["files"]


def _python_for(found: RepoDataRecord, data: TestData) -> list[RepoDataRecord]:
    return data.records("python") if found.noarch.python else []
