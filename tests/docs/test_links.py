"""Links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .pages import PAGES, REPOSITORY, anchors, links, named


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_resolve(page: Path) -> None:
    """A relative link names a file of the repository, and a heading in it."""
    broken = []
    for link in links(page):
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        is_there = target.is_relative_to(REPOSITORY) and target.exists()
        if not link.startswith("https://") and not (
            is_there and (not fragment or fragment in anchors(target))
        ):
            broken.append(link)
    assert not broken


def test_index_lists_every_page() -> None:
    """The index, and the one of the design notes, lead to each page."""
    docs = REPOSITORY / "docs"
    indexes = (docs / "README.md", docs / "design" / "README.md")
    listed = {(index.parent / link).resolve() for index in indexes for link in links(index)}
    assert not {*docs.rglob("*.md")} - listed - {indexes[0]}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_absolute_paths_of_a_machine(page: Path) -> None:
    """What is written here holds on every machine."""
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w./])/(?:home|work|Users)/\w+", text)
