"""Which files Git would leave out: ``gitignore(5)``.

A file of rules counts for its directory and what is below, deeper files win, in a file the last
match; what is below a directory left out stays out. Libraries for this match everything below
what a pattern names as well, so they cannot tell a file that a person names from one that a
rule leaves out.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.errors import ProjectError
from pixi_ship.gitignore.wildcard import wildcard_regex

MAX_RULES = 1 << 20  # bytes of one file of rules
_BOM = b"\xef\xbb\xbf"
_NO_WILDCARDS = bytes(set(range(256)) - set(b"*?[\\"))


@dataclass(frozen=True, slots=True)
class GitPattern:
    """One line of a ``.gitignore``; ``by_name`` matches the last part of a path."""

    regex: re.Pattern[bytes]
    negated: bool
    directories_only: bool
    by_name: bool


def read_rules(path: Path) -> bytes:
    """A file of rules; empty where there is none, or a link, which Git does not follow."""
    try:
        if path.is_symlink() or not path.is_file():
            return b""
        with path.open("rb") as file:
            data = file.read(MAX_RULES + 1)
    except OSError as error:
        raise ProjectError(f"reading {path}: {error.strerror}") from error
    if len(data) > MAX_RULES:
        raise ProjectError(f"reading {path}: more than {MAX_RULES >> 10} KiB are no rules")
    return data


def git_patterns(data: bytes) -> tuple[GitPattern, ...]:
    """The patterns of a ``.gitignore``, in order."""
    found = [_git_pattern(line) for line in data.removeprefix(_BOM).split(b"\n")]
    return tuple(pattern for pattern in found if pattern is not None)


def _git_pattern(line: bytes) -> GitPattern | None:
    line = _without_blanks(line.removesuffix(b"\r"))
    if not line or line.startswith(b"#"):
        return None
    negated = line.startswith(b"!")
    line = line[1:] if negated else line
    directories_only = line.endswith(b"/")
    line = line[:-1] if directories_only else line
    by_name = b"/" not in line
    text = line.removeprefix(b"/")
    # Git compares what stands before the first wildcard of a path by itself.
    literal = 0 if by_name else len(text) - len(text.lstrip(_NO_WILDCARDS))
    regex = wildcard_regex(text, literal=literal) if line else None
    return None if regex is None else GitPattern(regex, negated, directories_only, by_name)


def _without_blanks(line: bytes) -> bytes:
    """Take spaces off the end; one behind a backslash is kept."""
    end = len(line)
    while end and line[end - 1 : end] == b" ":
        backslashes = len(line[: end - 1]) - len(line[: end - 1].rstrip(b"\\"))
        if backslashes % 2:
            break
        end -= 1
    return line[:end]


@dataclass(frozen=True, slots=True)
class GitFile:
    """One file of rules; ``names`` and ``paths`` each match what any of its patterns does.

    They are for the many paths that no pattern matches, which thus cost two matches.
    """

    directory: bytes
    patterns: tuple[GitPattern, ...]
    names: re.Pattern[bytes] | None
    paths: re.Pattern[bytes] | None

    def decides(self, path: bytes, name: bytes, *, is_directory: bool) -> bool | None:
        """Whether a path is left out by the last pattern that matches; None where none does."""
        below = path[len(self.directory) + 1 :] if self.directory else path
        if not (self.names and self.names.fullmatch(name)) and not (
            self.paths and self.paths.fullmatch(below)
        ):
            return None
        for pattern in reversed(self.patterns):
            if pattern.directories_only and not is_directory:
                continue
            if pattern.regex.fullmatch(name if pattern.by_name else below):
                return not pattern.negated
        return None


def _git_file(directory: bytes, patterns: tuple[GitPattern, ...]) -> GitFile:
    return GitFile(
        directory,
        patterns,
        _any_of([pattern.regex.pattern for pattern in patterns if pattern.by_name]),
        _any_of([pattern.regex.pattern for pattern in patterns if not pattern.by_name]),
    )


def _any_of(patterns: Sequence[bytes]) -> re.Pattern[bytes] | None:
    if not patterns:
        return None
    return re.compile(b"|".join(b"(?:%b)" % each for each in patterns), re.DOTALL)


@dataclass(frozen=True, slots=True)
class GitRules:
    """The files of rules that count in a directory, weakest first."""

    files: tuple[GitFile, ...] = ()

    def below(self, directory: bytes, data: bytes) -> GitRules:
        """The rules in a directory whose own file holds ``data``."""
        patterns = git_patterns(data)
        return GitRules((*self.files, _git_file(directory, patterns))) if patterns else self

    def ignores(self, path: bytes, *, is_directory: bool) -> bool:
        """Whether a path is left out; asked from the top, for one whose directory is not."""
        name = path.rpartition(b"/")[2]
        for file in reversed(self.files):
            decided = file.decides(path, name, is_directory=is_directory)
            if decided is not None:
                return decided
        return False


def git_rules(directory: Path, workspace: Path, *, excluded: bool = True) -> tuple[GitRules, bytes]:
    """The rules that count in a directory, and its path in the repository it lies in.

    The repository is the nearest directory upward that holds ``.git``; without one it is the
    workspace, if the directory is in that. A person's own ``core.excludesFile`` is no part of
    the project. excluded: whether ``.git/info/exclude``, which is this clone's alone, counts.
    """
    above = (directory, *directory.parents)
    beginning = workspace if workspace in above else directory
    repository = next((each for each in above if (each / ".git").exists()), beginning)
    place = posixpath.relpath(directory, repository)
    inside = b"" if place == "." else os.fsencode(place)
    rules = GitRules()
    if excluded:
        rules = rules.below(b"", read_rules(repository / ".git" / "info" / "exclude"))
    at = repository
    rules = rules.below(b"", read_rules(at / ".gitignore"))
    for part in inside.split(b"/") if inside else ():
        at = at / os.fsdecode(part)
        rules = rules.below(
            os.fsencode(posixpath.relpath(at, repository)), read_rules(at / ".gitignore")
        )
    return rules, inside
