"""A login node for a test, reached over SSH."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..channel.conda_package import CondaPackage, File
from ..tiny import Tiny, ship
from .cluster import Cluster, make_key, need_ssh


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A host's key, a user's, and one that is neither's."""
    need_ssh()
    folder = tmp_path_factory.mktemp("keys")
    first, second, third = (make_key(folder / name) for name in ("host", "user", "other"))
    return first, second, third


@pytest.fixture
def stopped(short_path: Path, keys: tuple[Path, Path, Path]) -> Iterator[Cluster]:
    """A login node that is to be started; it is ended with all that runs on it."""
    cluster = Cluster(short_path, keys[0], keys[1])
    try:
        yield cluster
    finally:
        if (cluster.near / "bin" / "ssh").exists():
            cluster.connection().close()
        cluster.stop()
        cluster.end_jobs()


@pytest.fixture
def cluster(stopped: Cluster) -> Cluster:
    """A login node that runs."""
    stopped.start()
    return stopped


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path leaves room for that of a socket."""
    with tempfile.TemporaryDirectory(prefix="ps-", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def sif(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SIF of a tiny workspace."""
    tiny = Tiny(tmp_path_factory.mktemp("sif"))
    tiny.lock(CondaPackage("fit", "1.0", [File("share/fit", b"fit\n")]).write(tiny.channel))
    path = tiny.root / "fit.sif"
    built = ship(
        *("build", "-w", tiny.work, "--cache-dir", tiny.cache, "--base", "scratch"),
        *("--to", f"sif:{path}"),
    )
    assert built.status == 0, built.err
    return path
