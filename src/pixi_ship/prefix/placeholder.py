"""Replace the prefix that a package was built in by the one it will live in.

Source of the rules: conda's ``paths.json`` (``prefix_placeholder``, ``file_mode``) and
rattler, ``install/link.rs``, whose results the oracle tests compare byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pixi_ship.errors import PlaceholderTooShort

# The kernel reads this much of a script's first line (fs/binfmt_script.c, 128 less one).
MAX_SHEBANG = 127
_SHEBANG = re.compile(rb"^(#!(?:[ ]*)(/(?:\\ |[^ \n\r\t])*)(.*))$", re.DOTALL)
_PYTHON = re.compile(rb"^python(?:\d+(?:\.\d+)?)?$")


def replace_text(data: bytes, placeholder: bytes, prefix: bytes) -> bytes:
    """Replace every ``placeholder``; a shebang that gets too long is rewritten.

    data: the whole file. placeholder, prefix: no trailing slash.
    """
    if not data.startswith(b"#!"):
        return data.replace(placeholder, prefix)
    line, newline, rest = data.partition(b"\n")
    return _shebang(line, placeholder, prefix) + newline + rest.replace(placeholder, prefix)


def _shebang(line: bytes, placeholder: bytes, prefix: bytes) -> bytes:
    if b" " in prefix:
        if placeholder not in line:
            return line
        return _through_another_program(line).replace(placeholder, prefix)
    line = line.replace(placeholder, prefix)
    return line if len(line) <= MAX_SHEBANG else _through_another_program(line)


def _through_another_program(line: bytes) -> bytes:
    match = _SHEBANG.match(line)
    if not match:
        return line
    path, options = match[2], match[3]
    program = path.rpartition(b"/")[2]
    if _PYTHON.match(program):
        # A line that is shell, which starts Python, and a string, which Python ignores.
        return b"#!/bin/sh\n'''exec' \"" + path + b'"' + options + b' "$0" "$@" #\'\'\''
    return b"#!/usr/bin/env " + program + options


def replace_binary(
    chunks: Iterable[bytes], placeholder: bytes, prefix: bytes, *, package: str, path: str
) -> Iterator[bytes]:
    """Replace a placeholder inside NUL-terminated strings, keeping the length of the file.

    Each string that holds it gets shorter and is padded with NULs at its end; a string
    that no NUL ends lasts until the end of the file. Works on a stream, so a library of
    gigabytes needs no more memory than one chunk.

    placeholder, prefix: no trailing NUL or slash. package, path: named in errors.
    Raises PlaceholderTooShort if ``prefix`` is longer than ``placeholder``.
    """
    deficit = len(placeholder) - len(prefix)
    if deficit < 0:
        raise PlaceholderTooShort(
            package,
            f"{path!r} leaves {len(placeholder)} bytes for the prefix, "
            f"the prefix in the image has {len(prefix)}",
            hint="choose an environment with a shorter name",
        )
    overlap = len(placeholder) - 1
    padding = 0  # NULs owed to the string being read
    inside = False  # after a replacement, before the string's NUL
    carry = b""
    for chunk in chunks:
        data = carry + chunk if carry else chunk
        if not inside and placeholder not in data:
            keep = max(len(data) - overlap, 0)
            yield data[:keep]
            carry = data[keep:]
            continue
        at = 0
        pieces: list[bytes] = []
        while True:
            found = data.find(placeholder, at)
            if inside:
                end = data.find(b"\0", at, found if found != -1 else len(data))
                if end != -1:
                    pieces += (data[at:end], bytes(padding))
                    at, inside, padding = end, False, 0
                    continue
            if found == -1:
                break
            pieces += (data[at:found], prefix)
            at, inside, padding = found + len(placeholder), True, padding + deficit
        keep = max(len(data) - overlap, at)
        pieces.append(data[at:keep])
        carry = data[keep:]
        yield b"".join(pieces)
    yield carry + bytes(padding)
