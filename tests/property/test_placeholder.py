"""Relocation against a whole-bytes reference, written from rattler's `install/link.rs`."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixi_ship.errors import PlaceholderTooShort
from pixi_ship.prefix.placeholder import replace_binary, replace_text

PLACEHOLDER, PREFIX = b"/pla/pla/ce", b"/pre"
PIECES = (PLACEHOLDER, PLACEHOLDER[:-1], b"/pla", b"\0", b"\0\0", b"x", b"\n", b"/bin:", b"\xff")
haystacks = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=40).map(b"".join)


def binary_reference(data: bytes, placeholder: bytes, prefix: bytes) -> bytes:
    done = b""
    while (index := data.find(placeholder)) != -1:
        end = data.find(b"\0", index + len(placeholder))
        end = len(data) if end == -1 else end
        string = data[index:end]
        done += data[:index] + string.replace(placeholder, prefix).ljust(len(string), b"\0")
        data = data[end:]
    return done + data


def shebang_reference(line: str, old: str, new: str) -> str:
    if " " in new:
        return through_env(line).replace(old, new) if old in line else line
    line = line.replace(old, new)
    return line if len(line) <= 127 else through_env(line)


def through_env(line: str) -> str:
    match = re.match(r"^(#!(?:[ ]*)(/(?:\\ |[^ \n\r\t])*)(.*))$", line)
    if not match:
        return line
    name = match[2].rsplit("/", 1)[-1]
    if re.match(r"^python(?:\d+(?:\.\d+)?)?$", name):
        return f"#!/bin/sh\n'''exec' \"{match[2]}\"{match[3]} \"$0\" \"$@\" #'''"
    return f"#!/usr/bin/env {name}{match[3]}"


def cut(data: bytes, at: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[start:end] for start, end in pairwise(ends)]


@given(haystacks, st.lists(st.integers(0, 500), max_size=20))
def test_binary_replacement_is_the_reference_however_the_file_is_cut(
    data: bytes, at: list[int]
) -> None:
    pieces = replace_binary(cut(data, at), PLACEHOLDER, PREFIX, package="p", path="f")
    replaced = b"".join(pieces)
    assert len(replaced) == len(data)
    assert replaced == binary_reference(data, PLACEHOLDER, PREFIX)


@given(
    st.text("ab", min_size=1, max_size=6), st.text("ab", max_size=6), st.text("ab\0", max_size=60)
)
def test_binary_replacement_is_the_reference_for_placeholders_that_overlap_themselves(
    placeholder: str, prefix: str, text: str
) -> None:
    old, new, data = placeholder.encode(), prefix.encode(), text.encode()
    pieces = replace_binary(
        (data[i : i + 1] for i in range(len(data))), old, new, package="", path=""
    )
    if len(new) > len(old):
        with pytest.raises(PlaceholderTooShort):
            b"".join(pieces)
    else:
        assert b"".join(pieces) == binary_reference(data, old, new)


@given(haystacks.filter(lambda data: not data.startswith(b"#!")))
def test_text_replacement_without_a_shebang_replaces_every_placeholder(data: bytes) -> None:
    assert replace_text(data, PLACEHOLDER, PREFIX) == data.replace(PLACEHOLDER, PREFIX)


words = st.sampled_from(
    ["/pla/pla/ce", "/bin", "/python", "/python3.11", "/perl", "\\ ", " ", "\t", "-u", "é", "\r"]
) | st.integers(100, 130).map("y".__mul__)


@given(st.lists(words, max_size=8).map("".join), st.booleans(), st.sampled_from(["/pre", "/a b"]))
def test_a_shebang_is_rewritten_as_the_reference_does(line: str, ends: bool, new: str) -> None:
    script = f"#!{line}" + ("\n/pla/pla/ce\n" if ends else "")
    want = shebang_reference(f"#!{line}".encode().decode("latin-1"), "/pla/pla/ce", new)
    rest = f"\n{new}\n".encode() if ends else b""
    got = replace_text(script.encode(), PLACEHOLDER, new.encode())
    assert got == want.encode("latin-1") + rest
