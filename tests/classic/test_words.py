"""Names that mean something to a Dockerfile, a definition, a workflow or a shell are refused.

What is let through comes out of each language's own reading as it went in.
"""

from __future__ import annotations

import json
import re
import shlex

import pytest

from pixi_ship.classic.words import (
    definition_word,
    environment_word,
    json_words,
    path_word,
    platform_word,
    version_word,
)
from pixi_ship.errors import UsageError

TRICKS = [
    "$HOME",
    "a\nRUN id",
    "a`id`",
    "{{ ENVIRONMENT }}",
    "${{ secrets.GITHUB_TOKEN }}",
    "a;id",
    "a&id",
    "a|id",
    'a"b',
    "a'b",
    "a\\b",
    "[a]",
    "a*",
    "a?",
    "!a",
    "#a",
    "-a",
    "--from=build",
    "<<EOF",
    "a\tb",
    "a\x00b",
    "a\u2028b",
    "",
    " a",
    "a ",
]


@pytest.mark.parametrize("word", [path_word, environment_word, platform_word, version_word])
@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_are_refused(word: object, trick: str) -> None:
    assert callable(word)
    with pytest.raises(UsageError) as refused:
        word(trick)
    assert repr(trick) in str(refused.value)
    assert refused.value.hint


# Apptainer 1.4, pkg/build/types/parser: how a line of %files is cut.
_FILES = re.compile(r"""([^\s"']*{{\s*\w+\s*}}*[^\s{}"']*)+|([^\s"']+|"([^"]*)"|'([^']*))""")


@pytest.mark.parametrize("path", ["a", "my data/a b.csv", "../x", "c++", "a@1,2=3%~_-.", "Größe/é"])
def test_paths_come_back(path: str) -> None:
    assert path_word(path) == path
    assert json.loads(json_words(path, "b")) == [path, "b"]
    line = f"{definition_word(path)} {definition_word('/' + path)}"
    cut = [each.group(0).strip('"') for each in _FILES.finditer(line)]
    assert cut == [path, f"/{path}"]
    assert shlex.split(shlex.quote(path)) == [path]


@pytest.mark.parametrize("name", ["default", "py-312", "3"])
def test_environments(name: str) -> None:
    assert environment_word(name) == name


@pytest.mark.parametrize("name", ["Default", "a_b", "-a", "ä"])
def test_what_pixi_refuses_as_an_environment(name: str) -> None:
    with pytest.raises(UsageError):
        environment_word(name)


@pytest.mark.parametrize("version", ["12", "12.9", "12.9.1"])
def test_versions(version: str) -> None:
    assert version_word(version) == version
