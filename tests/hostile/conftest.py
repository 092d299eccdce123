"""A tiny workspace for every hostile test, and the marker."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.tiny")

from ..tiny import Tiny  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.hostile)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)
