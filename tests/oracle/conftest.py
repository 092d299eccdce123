"""The oracle: rattler with one cache of unpacked packages for the whole session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rattler import RepoDataRecord

from . import differences, trees

Judge = Callable[[Sequence[RepoDataRecord]], None]
RACES = 40  # installs until rattler's threads must have met in every order


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rattler-cache")


@pytest.fixture
def agree(cache: Path, tmp_path: Path) -> Judge:
    """Assert that our tree of these records is rattler's, but for the intended differences."""

    def judge(records: Sequence[RepoDataRecord]) -> None:
        lock = trees.locked(records, tmp_path)
        left = differences.unexplained(trees.rattlers(lock, cache), trees.ours(lock))
        assert not left, "\n".join(left)

    return judge


@pytest.fixture
def agree_at_last(cache: Path, tmp_path: Path) -> Judge:
    """Assert that our tree is one of those that rattler makes, which depend on its threads."""

    def judge(records: Sequence[RepoDataRecord]) -> None:
        lock = trees.locked(records, tmp_path)
        mine = trees.ours(lock)
        left = ["never tried"]
        for _ in range(RACES):
            left = differences.unexplained(trees.rattlers(lock, cache), mine)
            if not left:
                return
        raise AssertionError("\n".join(left))

    return judge
