"""Put the build prefix back where installing an archive replaced it.

The inverse of what conda's tools do on installing (rattler, ``install/link.rs``):

    text     every occurrence; a shebang that had got too long comes back in one line
    binary   every occurrence, and the NULs that filled up its string are taken away

Whether the result is what the archive held, its digest in the prefix record tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# The two ways round a shebang that is too long, or has a space in its path.
_THROUGH_SHELL = re.compile(
    rb"#!/bin/sh\n'''exec' \"(?P<path>[^\"\n]+)\"(?P<options>[^\n]*?) \"\$0\" \"\$@\" #'''(?=\n|\Z)"
)
_THROUGH_ENV = re.compile(rb"#!/usr/bin/env (?P<program>[^ \n]+)(?P<options>[^\n]*)")


class NotRestored(ValueError):
    """The bytes are not what installing with this prefix leaves."""


def restored_texts(data: bytes, prefix: bytes, placeholder: bytes) -> Iterator[bytes]:
    """What a text file may have been before it was installed, the likelier last.

    data: the whole file. prefix, placeholder: no trailing slash.
    """
    yield data.replace(prefix, placeholder)
    if matched := _THROUGH_SHELL.match(data):
        line = b"#!" + matched["path"] + matched["options"]
        yield (line + data[matched.end() :]).replace(prefix, placeholder)


def restored_shebangs(
    data: bytes, prefix: bytes, placeholder: bytes, paths: Iterable[str]
) -> Iterator[bytes]:
    """What a script may have been whose program ``env`` looks for now.

    The directory of that program is lost, so these are guesses, for a digest to tell.
    paths: those of the package, one of which the program may be.
    """
    if matched := _THROUGH_ENV.match(data):
        program, rest = matched["program"], matched["options"] + data[matched.end() :]
        places = [each.encode() for each in paths if each.encode().endswith(b"/" + program)]
        for place in (b"bin/" + program, *places):
            line = b"#!" + prefix + b"/" + place
            yield (line + rest).replace(prefix, placeholder)


def restored_binary(chunks: Iterable[bytes], prefix: bytes, placeholder: bytes) -> Iterator[bytes]:
    """Put the placeholder back into NUL-terminated strings, keeping the length of the file.

    Works on a stream. Raises NotRestored where a string is not followed by the NULs that
    installing it leaves.
    """
    growth = len(placeholder) - len(prefix)
    if growth < 0:
        raise NotRestored("the placeholder is shorter than the prefix")
    overlap = len(prefix) - 1
    owed = 0  # NULs to take away after the string being read
    inside = False  # after a replacement, before the string's NUL
    dropping = False  # at the NULs that are owed
    carry = b""
    for chunk in chunks:
        data, at = carry + chunk, 0
        pieces: list[bytes] = []
        while True:
            if dropping:
                run = data[at : at + owed]
                if run.strip(b"\0"):
                    raise NotRestored("a string has no room for the placeholder")
                at, owed = at + len(run), owed - len(run)
                if owed:
                    break
                dropping = False
            found = data.find(prefix, at)
            if inside:
                end = data.find(b"\0", at, found if found != -1 else len(data))
                if end != -1:
                    pieces.append(data[at:end])
                    at, inside, dropping = end, False, owed > 0
                    continue
            if found == -1:
                break
            pieces += (data[at:found], placeholder)
            at, inside, owed = found + len(prefix), True, owed + growth
        keep = at if dropping else max(len(data) - overlap, at)
        pieces.append(data[at:keep])
        carry = data[keep:]
        yield b"".join(pieces)
    if owed:
        raise NotRestored("the file ends without room for the placeholder")
    yield carry
