"""The pages of the documentation, and what tests want of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = (
    *(REPOSITORY / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^][]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A line after ``$`` in a ``console`` block, cut into words as a shell would."""

    page: Path
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{named(self.page)}: {' '.join(self.words)}"


def named(page: Path) -> str:
    """A page as the tests call it."""
    return str(page.relative_to(REPOSITORY))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    return [text for word, text in found if word == language]


def commands() -> Iterator[Command]:
    """Every command that a page shows."""
    for page in PAGES:
        for block in blocks(page, "console"):
            for line in block.splitlines():
                if line.startswith("$ "):
                    lexer = shlex.shlex(line[2:], posix=True, punctuation_chars=True)
                    lexer.whitespace_split = True
                    yield Command(page, tuple(_simple(lexer)))


def _simple(words: Iterator[str]) -> Iterator[str]:
    """The words of a simple command, up to a pipe or redirection."""
    for word in words:
        if word in (">", "|", "&&", ";"):
            return
        yield word


def links(page: Path) -> list[str]:
    """The targets of the links outside code."""
    return _LINK.findall(_CODE.sub("`code`", _FENCE.sub("", page.read_text(encoding="utf-8"))))


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings make, by GitHub's rule."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(prose)
    }
