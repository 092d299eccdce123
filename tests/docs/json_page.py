"""The tables of the page on JSON documents, and the fields of a real document.

A field is named by its path: ``images[].digest`` is in every object of the list ``images``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .pages import REPOSITORY

PAGE = REPOSITORY / "docs" / "reference" / "json.md"
KINDS = frozenset({"string", "digest", "number", "boolean", "null", "list", "object", "map"})

_TITLE = re.compile(r"^##+ (.+)$", re.MULTILINE)
_ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+?) \|", re.MULTILINE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


def documented(*titles: str) -> dict[str, frozenset[str]]:
    """What the page says under these headings: path → the kinds that the value may be of."""
    tables = _tables()
    named = {title.split()[-1]: rows for title, rows in tables.items() if title[:2] in ("A ", "An")}
    found: dict[str, frozenset[str]] = {}
    for title in titles:
        for path, text in tables[title].items():
            found.update(_expanded(path, text, named))
    return found


def titles() -> set[str]:
    """The headings with tables that are of documents, not of values that several of them hold."""
    return {title for title in _tables() if title.startswith("`")}


def _tables() -> dict[str, dict[str, str]]:
    parts = _TITLE.split(PAGE.read_text(encoding="utf-8"))
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {title: dict(_ROW.findall(text)) for title, text in sections.items()}


def _expanded(
    path: str, text: str, named: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, frozenset[str]]]:
    """A row, and the rows of the values that it names: a "list of layers" has layers in it."""
    kinds = set()
    for words in re.split(r", | or ", text):
        outer, _, inner = words.partition(" of ")
        name = inner.removesuffix("s")
        if words in named:
            kinds.add("object")
            yield from _below(f"{path}.", named[words], named)
        elif name in named:
            kinds.add(outer)
            yield f"{path}[]", frozenset({"object"})
            yield from _below(f"{path}[].", named[name], named)
        else:
            assert outer in KINDS, f"{path} is said to be {text}"
            assert inner in ("", "strings"), f"{path} is said to be {text}"
            kinds.add(outer)
            if words == "list":
                yield f"{path}[]", frozenset({"object"})
            elif words == "list of strings":
                yield f"{path}[]", frozenset({"string"})
    yield path, frozenset(kinds)


def _below(
    prefix: str, rows: Mapping[str, str], named: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, frozenset[str]]]:
    for path, text in rows.items():
        yield from _expanded(f"{prefix}{path}", text, named)


def fields(value: object, maps: frozenset[str], path: str = "") -> Iterator[tuple[str, str]]:
    """Every value of a document, by path and kind; ``maps`` are objects whose keys are data."""
    kind = _kind(value)
    if path in maps and isinstance(value, dict):
        assert all(isinstance(each, str) for each in value.values())
        kind = "map"
    if path:
        yield path, kind
    if kind == "object" and isinstance(value, dict):
        for name, each in value.items():
            yield from fields(each, maps, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for each in value:
            yield from fields(each, maps, f"{path}[]")


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "digest" if _DIGEST.match(value) else "string"
    names = {bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}
    return names.get(type(value), "null")
