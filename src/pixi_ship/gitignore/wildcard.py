"""Git's wildcards as regular expressions over bytes.

Spec: ``gitignore(5)``, PATTERN FORMAT; brackets as POSIX ``fnmatch`` has them. Git matches
byte by byte, so ``?`` is not one letter of more bytes.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

_CLASSES = {
    b"alnum": string.ascii_letters + string.digits,
    b"alpha": string.ascii_letters,
    b"blank": " \t",
    b"cntrl": "".join(map(chr, (*range(32), 127))),
    b"digit": string.digits,
    b"graph": "".join(map(chr, range(33, 127))),
    b"lower": string.ascii_lowercase,
    b"print": "".join(map(chr, range(32, 127))),
    b"punct": string.punctuation,
    b"space": string.whitespace,
    b"upper": string.ascii_uppercase,
    b"xdigit": string.hexdigits,
}


def wildcard_regex(
    pattern: bytes, *, hidden: bool = True, literal: int = 0
) -> re.Pattern[bytes] | None:
    """A regex for whole paths; None for a pattern that matches nothing, such as ``[`` unclosed.

    ``**`` crosses directories where it stands between slashes. hidden: whether a wildcard that
    begins a name may match a dot. literal: how many bytes at the beginning are none of it; a
    ``**`` right behind them counts as one at the beginning.
    """
    try:
        text = b"".join(_pieces(pattern, hidden=hidden, literal=literal))
    except ValueError:
        return None
    return re.compile(text, re.DOTALL)


def _pieces(pattern: bytes, *, hidden: bool, literal: int) -> Iterator[bytes]:
    at = 0
    while at < len(pattern):
        begins = at in (0, literal) or pattern[at - 1 : at] == b"/"
        character = pattern[at : at + 1]
        if begins and not hidden and character in (b"*", b"?", b"["):
            yield rb"(?!\.)"
        if character == b"*":
            end = at + len(pattern[at:]) - len(pattern[at:].lstrip(b"*"))
            crosses = begins and end - at >= 2
            if crosses and pattern[end : end + 1] == b"/":
                yield b"(?:.*/)?" if hidden else rb"(?:(?!\.)[^/]+/)*"
                at = end + 1
            else:
                yield b".*" if crosses and end == len(pattern) else b"[^/]*"
                at = end
        elif character == b"?":
            yield b"[^/]"
            at += 1
        elif character == b"[":
            members, at = _bracket(pattern, at + 1)
            yield b"[" + b"".join(b"\\x%02x" % each for each in sorted(members)) + b"]"
        else:
            if character == b"\\":
                at += 1
                if at == len(pattern):
                    raise ValueError("it ends with a backslash")
            yield re.escape(pattern[at : at + 1])
            at += 1


def _bracket(pattern: bytes, at: int) -> tuple[set[int], int]:
    """The bytes that a bracket expression matches, and where it ends."""
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    members: set[int] = set()
    previous: int | None = None
    first = True
    while first or pattern[at : at + 1] != b"]":
        first = False
        if at >= len(pattern):
            raise ValueError("a bracket is not closed")
        if pattern[at : at + 2] == b"[:" and (end := pattern.find(b"]", at + 2)) > 0:
            name = pattern[at + 2 : end - 1]
            if end > at + 2 and pattern[end - 1 : end] == b":":
                if name not in _CLASSES:
                    raise ValueError("there is no such class")
                members.update(_CLASSES[name].encode())
                previous, at = None, end + 1
                continue
        following = pattern[at + 1 : at + 2]
        if pattern[at : at + 1] == b"-" and previous is not None and following not in (b"", b"]"):
            last, at = _member(pattern, at + 1)
            members.update(range(previous, last + 1))
            previous = None
        else:
            previous, at = _member(pattern, at)
            members.add(previous)
    found = set(range(256)) - members if negated else members
    if not found - {ord("/")}:
        raise ValueError("it matches nothing")
    return found - {ord("/")}, at + 1


def _member(pattern: bytes, at: int) -> tuple[int, int]:
    if pattern[at : at + 1] == b"\\":
        at += 1
    if at >= len(pattern):
        raise ValueError("a bracket is not closed")
    return pattern[at], at + 1
