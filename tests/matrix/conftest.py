"""One image for all runtimes that a worker has, in a folder that any user may enter."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import REPOSITORY, TestData
from .matrix import Matrix
from .runtime import Runtime
from .stage import Stage


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        item.add_marker(pytest.mark.contract)
        call = getattr(item, "callspec", None)
        runtime = call.params.get("runtime") if call else None
        group = runtime.group if isinstance(runtime, Runtime) else "plain"
        item.add_marker(pytest.mark.xdist_group(f"matrix-{group}"))


@pytest.fixture(scope="session")
def matrix(channel_data: TestData) -> Iterator[Matrix]:
    if not (REPOSITORY / ".test-data" / "base" / "index.json").exists():
        pytest.skip("no base image here (make setup makes it)")
    # Podman takes no longer run root than 50 characters, and its other users must get there.
    with tempfile.TemporaryDirectory(prefix="ship-") as folder:
        Path(folder).chmod(0o755)
        found = Matrix(Stage(Path(folder), channel_data.workspace("numpy")))
        yield found
        found.close()


@pytest.fixture(scope="session")
def stage(matrix: Matrix) -> Stage:
    return matrix.stage
