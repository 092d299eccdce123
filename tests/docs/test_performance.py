"""The page about performance, and its picture, are what was measured and not what was typed."""

from __future__ import annotations

from pathlib import Path

from bench.race.page import write_page
from bench.race.result import Results

from .pages import REPOSITORY

PAGE = REPOSITORY / "docs" / "performance.md"


def test_the_page_is_what_the_numbers_say(tmp_path: Path) -> None:
    results = Results.read(PAGE.with_suffix(".json"))
    assert results.runs
    write_page(results, tmp_path / PAGE.name)
    for each in (PAGE, PAGE.with_suffix(".svg"), PAGE.with_suffix(".json")):
        assert (tmp_path / each.name).read_text() == each.read_text(), each.name
