"""What installing does to a file is undone exactly, whatever the bytes and however they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixi_ship.prefix.placeholder import replace_binary, replace_text
from pixi_ship.repack.placeholder import (
    NotRestored,
    restored_binary,
    restored_shebangs,
    restored_texts,
)

PLACEHOLDER = b"/build/" + b"_placehold" * 4
PREFIX = b"/home/me/env"
pieces = st.lists(
    st.one_of(st.just(PLACEHOLDER), st.just(b"\0"), st.just(b"\0\0\0"), st.binary(max_size=6)),
    max_size=30,
).map(b"".join)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(pieces, st.integers(1, 70))
def test_a_binary_file_comes_back_whatever_the_blocks(original: bytes, size: int) -> None:
    installed = b"".join(replace_binary([original], PLACEHOLDER, PREFIX, package="p", path="f"))
    assert len(installed) == len(original)
    restored = b"".join(restored_binary(cut(installed, size), PREFIX, PLACEHOLDER))
    assert restored == original


@given(pieces, st.integers(1, 70))
def test_bytes_that_no_installation_left_are_told_or_keep_their_length(
    data: bytes, size: int
) -> None:
    data = data.replace(PLACEHOLDER, PREFIX)
    try:
        restored = b"".join(restored_binary(cut(data, size), PREFIX, PLACEHOLDER))
    except NotRestored:
        assert PREFIX in data
        return
    assert len(restored) == len(data)
    assert PREFIX not in restored.replace(PLACEHOLDER, b"")


def test_a_prefix_longer_than_the_placeholder_was_never_installed() -> None:
    with pytest.raises(NotRestored):
        list(restored_binary([b"x"], PLACEHOLDER, PREFIX))


@pytest.mark.parametrize("prefix", [PREFIX, b"/home/" + b"x" * 130, b"/home/with space/env"])
@pytest.mark.parametrize(
    "original",
    [
        b"#!%s/bin/python3.11\nprint('%s')\n",
        b"#!%s/bin/python -E -s\n",
        b"#!%s/bin/perl -w\n%s\n",
        b"#!%s/libexec/deep/tool\n%s\n",
        b"#!/bin/sh\n%s\n",
        b"#!/usr/bin/env python\n%s\n",
        b"no shebang %s/lib:%s/lib64\n",
        b"#!%s/bin/python",
    ],
)
def test_one_of_the_texts_is_the_original(prefix: bytes, original: bytes) -> None:
    text = original.replace(b"%s", PLACEHOLDER)
    installed = replace_text(text, PLACEHOLDER, prefix)
    found = list(restored_texts(installed, prefix, PLACEHOLDER))
    found += restored_shebangs(installed, prefix, PLACEHOLDER, ["libexec/deep/tool", "tool"])
    assert text in found
