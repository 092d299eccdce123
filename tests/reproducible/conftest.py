"""The marker, and the real workspaces this is about."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.tiny")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.reproducible)
