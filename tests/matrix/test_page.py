"""The documentation's table of runtimes is the one that the matrix is tested against."""

from __future__ import annotations

import pytest

from .expected import REASONS
from .matrix import RUNTIMES
from .stage import REPOSITORY
from .table import markdown, replaced

PAGE = REPOSITORY / "docs" / "explanation" / "runtimes.md"


def test_page_is_current() -> None:
    """`python -m tests.matrix --page docs/explanation/runtimes.md` writes it anew."""
    text = PAGE.read_text(encoding="utf-8")
    assert replaced(text) == text


def test_table_has_every_row_and_reason() -> None:
    text = markdown()
    assert all(f"\n| {each.name} " in text for each in RUNTIMES)
    assert all(each in text for each in REASONS.values())


def test_page_without_marks() -> None:
    with pytest.raises(ValueError, match="matrix: begin"):
        replaced("# A page\n")
