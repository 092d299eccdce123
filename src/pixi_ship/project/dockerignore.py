"""Which files Docker would leave out: the rules of ``.dockerignore``, which are not Git's.

One file, patterns begin at the root, a pattern matches what is below it too, the last match wins
and may bring files back. Source: moby/patternmatcher, ``MatchesOrParentMatches``.
"""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass

from pixi_ship.errors import ProjectError

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class DockerRules:
    """The lines of a ``.dockerignore``: a regex, and whether the line brings files back."""

    patterns: tuple[tuple[re.Pattern[str], bool], ...] = ()

    def ignores(self, path: str) -> bool:
        """Whether a path is left out."""
        parents = [path]
        while "/" in path:
            path = path.rpartition("/")[0]
            parents.append(path)
        left_out = False
        for regex, brings_back in self.patterns:
            if brings_back == left_out and any(regex.fullmatch(each) for each in parents):
                left_out = not brings_back
        return left_out

    @property
    def brings_back(self) -> bool:
        """Whether something may be kept below what is left out."""
        return any(brings_back for _, brings_back in self.patterns)


def docker_rules(data: bytes) -> DockerRules:
    """Read a ``.dockerignore``; raises ProjectError that names the line."""
    found = []
    for number, line in enumerate(data.removeprefix(_BOM).split(b"\n"), 1):
        text = os.fsdecode(line)
        if text.startswith("#") or not text.strip():
            continue
        text = text.strip()
        brings_back = text.startswith("!")
        text = text[1:].strip() if brings_back else text
        try:
            if not text:
                raise ValueError("nothing stands behind '!'")
            found.append((_docker_regex(_clean(text)), brings_back))
        except (ValueError, re.error) as error:
            raise ProjectError(f"reading .dockerignore: line {number}: {error}") from None
    return DockerRules(tuple(found))


def _clean(pattern: str) -> str:
    cleaned = posixpath.normpath(pattern)
    return cleaned.lstrip("/") if len(cleaned.strip("/")) else cleaned


def _docker_regex(pattern: str) -> re.Pattern[str]:
    """A pattern of moby/patternmatcher as a regex for whole paths."""
    pieces = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if pattern.startswith("**", at):
            at += 3 if pattern[at + 2 : at + 3] == "/" else 2
            pieces.append(".*" if at >= len(pattern) else _doubled(pattern, at))
            continue
        if character == "*":
            pieces.append("[^/]*")
        elif character == "?":
            pieces.append("[^/]")
        elif character == "[":
            end = _bracket_end(pattern, at)
            pieces.append(_docker_bracket(pattern[at + 1 : end]))
            at = end
        elif character == "\\" and at + 1 < len(pattern):
            at += 1
            pieces.append(re.escape(pattern[at]))
        else:
            pieces.append(re.escape(character))
        at += 1
    return re.compile("".join(pieces), re.DOTALL)


def _doubled(pattern: str, at: int) -> str:
    """``**`` that something follows: directories, or any start of a name where only text does."""
    only_text = not set(pattern[at:]) & set("*?[\\")
    if pattern.startswith("**") and pattern[at - 1] == "*" and at == 2 and only_text:
        return ".*"
    return "(?:.*/)?"


def _bracket_end(pattern: str, at: int) -> int:
    end = at + 1
    while end < len(pattern) and (pattern[end] != "]" or end == at + 1):
        end += 2 if pattern[end] == "\\" else 1
    if end >= len(pattern):
        raise ValueError(f"the bracket in {pattern!r} is not closed")
    return end


def _docker_bracket(inner: str) -> str:
    """A class of characters; ``^`` negates, and ``!`` is one of them."""
    return "(?!/)[" + re.sub(r"([\[&~|])", r"\\\1", inner) + "]"
