"""Read a shell script that only assigns variables, without running it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_USE = rf"\${_NAME}|\$\{{{_NAME}(?::-[A-Za-z0-9_./:,+@%=-]*)?\}}"
_ASSIGNMENT = re.compile(rf"(?:export\s+)?({_NAME})=(.*)\Z", re.DOTALL)
_EXPORT = re.compile(rf"export\s+{_NAME}(\s+{_NAME})*\Z")
_EXPORTED = re.compile(rf"^\s*export\s+({_NAME})", re.MULTILINE)
_WORD = re.compile(
    rf"""'(?P<single>[^']*)' | "(?P<double>(?:[^"\\`$]|\\[\\"$`]|{_USE})*)"
       | (?P<bare>(?:[A-Za-z0-9_./:,+@%=-]|{_USE})+)""",
    re.VERBOSE,
)
_VARIABLE = re.compile(rf"\$(?:({_NAME})|\{{({_NAME})(?::-([A-Za-z0-9_./:,+@%=-]*))?\}})")
_ESCAPED = re.compile(r"\\([\\\"$`])")


def exported_names(script: str) -> tuple[str, ...]:
    """The variables that a script exports, as far as its text says."""
    return tuple(dict.fromkeys(_EXPORTED.findall(script)))


def assignments(script: str, known: Mapping[str, str]) -> dict[str, str] | None:
    """The variables a shell script exports, if all it does is assign; None if it does more."""
    values = dict(known)
    exported: dict[str, str] = {}
    for raw in script.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if _EXPORT.match(line):
            exported.update({name: values[name] for name in line.split()[1:] if name in values})
            continue
        match = _ASSIGNMENT.match(line.rstrip("; "))
        value = _word(match[2], values) if match else None
        if match is None or value is None:
            return None
        values[match[1]] = value
        if line.startswith("export") or match[1] in exported or match[1] in known:
            exported[match[1]] = value
    return exported


def _word(text: str, values: Mapping[str, str]) -> str | None:
    """One shell word without commands in it, expanded; None if it is anything else."""
    result, at = "", 0
    text = re.sub(r"\s+#.*\Z", "", text)
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            return None
        if match["single"] is not None:
            part: str | None = match["single"]
        elif match["double"] is not None:
            part = expanded(match["double"], values)
            part = _ESCAPED.sub(r"\1", part) if part is not None else None
        else:
            part = expanded(match["bare"], values)
        if part is None:
            return None
        result += part
        at = match.end()
    return result


def expanded(text: str, values: Mapping[str, str]) -> str | None:
    """``text`` with its variables replaced; None if one is neither known nor has a default."""
    unknown = False

    def value(match: re.Match[str]) -> str:
        nonlocal unknown
        found, default = values.get(match[1] or match[2]), match[3]
        if default is not None:
            return found or default
        unknown = unknown or found is None
        return found or ""

    found = _VARIABLE.sub(value, text)
    return None if unknown else found
