"""The page about performance, and its picture, are what was measured and not what was typed."""

from __future__ import annotations

import re
from pathlib import Path

from bench.race.contender import CHANGED, COLD, UPDATE
from bench.race.page import DOCKERFILE, LAYERS, PODMAN, write_page
from bench.race.result import Case, Results

from .pages import REPOSITORY

PAGE = REPOSITORY / "docs" / "performance.md"


def test_the_page_is_what_the_numbers_say(tmp_path: Path) -> None:
    results = Results.read(PAGE.with_suffix(".json"))
    assert results.runs
    write_page(results, tmp_path / PAGE.name)
    for each in (PAGE, PAGE.with_suffix(".svg"), PAGE.with_suffix(".json")):
        assert (tmp_path / each.name).read_text() == each.read_text(), each.name


def test_the_readme_promises_no_more_than_was_measured() -> None:
    results = Results.read(PAGE.with_suffix(".json"))
    found = re.search(r"With PyTorch.+?\n\n", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert found
    cold, changed, moved = (int(each) for each in re.findall(r"(\d+)x\b", found.group(0)))
    for least, step, value, node in (
        (cold, COLD, "wall", ""),
        (changed, CHANGED, "wall", ""),
        (moved, CHANGED, "moved", ""),
        (moved, UPDATE, "moved", PODMAN),
    ):
        theirs, ours = (
            results.median(Case("large", step, contender, node), value)
            for contender in (DOCKERFILE, LAYERS)
        )
        assert theirs is not None
        assert ours is not None
        assert theirs >= least * ours, (step, value)
