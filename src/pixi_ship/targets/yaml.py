"""YAML that every parser reads as the same.

Versions 1.1 and 1.2 disagree on what is a string without quotes (``no``, ``0o7``, ``1:30``), and
parsers on what may stand in one: so letters stay bare, and the rest is quoted in ASCII. Source:
YAML 1.1 and 1.2.2, "Escaped Characters" and "Literal Style".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = "str | int | bool | Sequence[Value] | Mapping[str, Value]"

_BARE = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[./-][A-Za-z0-9]+)*\Z")
_NOT_STRINGS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
# Lines in printable ASCII, of which none ends in a space and the first begins with none.
_LITERAL = re.compile(r"[!-~](?:[ -~]*[!-~])?(?:\n(?:[ -~]*[!-~])?)*\Z")
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def yaml_document(value: Mapping[str, Value]) -> str:
    """A mapping as a document in block style; keys have fewer than 100 characters."""
    return "\n".join(_mapping(value, "")) + "\n"


def yaml_string(text: str) -> str:
    """One string on one line, quoted where it must be."""
    if _BARE.match(text) and text.lower() not in _NOT_STRINGS:
        return text
    return '"' + "".join(_character(each) for each in text) + '"'


def _character(character: str) -> str:
    if (found := _ESCAPED.get(character)) is not None:
        return found
    code = ord(character)
    if 32 <= code < 127:
        return character
    if code < 256:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def _mapping(value: Mapping[str, Value], indent: str) -> list[str]:
    lines: list[str] = []
    for key, each in value.items():
        lines += _entry(f"{indent}{yaml_string(key)}:", each, f"{indent}  ")
    return lines


def _sequence(value: Sequence[Value], indent: str) -> list[str]:
    lines: list[str] = []
    for each in value:
        if isinstance(each, Mapping) and each:
            first, *rest = _mapping(each, f"{indent}  ")
            lines += [f"{indent}- {first.lstrip()}", *rest]
        else:
            lines += _entry(f"{indent}-", each, f"{indent}  ")
    return lines


def _entry(head: str, value: Value, indent: str) -> list[str]:
    """Lines of a value that begin with a key or a dash; indent: of what goes below."""
    if isinstance(value, bool | int):
        return [f"{head} {str(value).lower()}"]
    if isinstance(value, str):
        lines = value.removesuffix("\n").split("\n")
        if len(lines) > 1 and lines[-1] and _LITERAL.match(value):
            mark = "|" if value.endswith("\n") else "|-"
            return [f"{head} {mark}", *(f"{indent}{line}" if line else "" for line in lines)]
        return [f"{head} {yaml_string(value)}"]
    if not value:
        return [f"{head} {'{}' if isinstance(value, Mapping) else '[]'}"]
    below = _mapping(value, indent) if isinstance(value, Mapping) else _sequence(value, indent)
    return [head, *below]
