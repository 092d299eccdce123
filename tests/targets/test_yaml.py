"""YAML that is written is read as it was meant, by parsers of YAML 1.1 and of 1.2."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pixi_ship.targets.yaml import yaml_document, yaml_string

TEXT = st.text(st.characters(codec="utf-8"))
KEYS = st.text(st.characters(codec="utf-8"), max_size=80)  # one of 1024 letters would be none
LINES = st.lists(st.text(st.characters(codec="ascii"), max_size=5), max_size=4).map("\n".join)
# What some parser takes for a number, a truth, a date, a mark of YAML's own.
STRANGE = (
    *("", " ", "yes", "No", "on", "y", "null", "~", "1", "1e3", "0o7", "0x1", "1:30", ".inf"),
    *("2001-01-01", "=", "<<", "- a", "a: b", "#", "a #b", "|", ">", "&a", "*a", "!a", "%a", "@"),
    *("a\n", "a\n\n", "\na", " a\nb", "a\n b\n", "a \nb", "a\tb", "\ufeff", "\x85", "\u2028"),
    *("---\na", "a\n---\nb", "...", "a\n...\n", "\U0001f600", "\x7f", "{a}", "[a]", "a,b", "\\"),
)
LEAVES = st.one_of(TEXT, LINES, st.sampled_from(STRANGE), st.booleans(), st.integers())
VALUES = st.recursive(
    LEAVES,
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(KEYS, below, max_size=4)),
    max_leaves=12,
)


def by_yaml_1_1(text: str) -> Any:
    return yaml.safe_load(text)


def by_yaml_1_2(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


READERS = pytest.mark.parametrize("read", [by_yaml_1_1, by_yaml_1_2])


@READERS
@settings(max_examples=60, deadline=None)
@given(value=st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_any_document_is_read_back(read: Any, value: dict[str, Any]) -> None:
    assert read(yaml_document(value)) == value


@READERS
@pytest.mark.parametrize("text", STRANGE)
def test_strange_strings_are_strings(read: Any, text: str) -> None:
    assert read(yaml_document({"key": text, "keys": [text, {"a": text}]})) == {
        "key": text,
        "keys": [text, {"a": text}],
    }


@settings(deadline=None)
@given(TEXT)
def test_a_string_is_ascii_on_one_line(text: str) -> None:
    shown = yaml_string(text)
    assert shown.isascii()
    assert shown.isprintable()


def test_scripts_can_be_read_by_people() -> None:
    assert yaml_document({"args": ["sh", "a\n  b\n"]}) == "args:\n  - sh\n  - |\n    a\n      b\n"
