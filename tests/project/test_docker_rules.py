"""What is left out by ``.dockerignore`` is what Docker leaves out; the rules differ from Git's."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixi_ship.errors import ProjectError
from pixi_ship.project.dockerignore import docker_rules

from .made import dests, find, make

# Rules, then paths left out, then paths kept; read off moby/patternmatcher's documentation.
CASES: list[tuple[str, list[str], list[str]]] = [
    ("a", ["a", "a/b", "a/b/c"], ["b/a", "ab"]),
    ("/a", ["a", "a/b"], ["b/a"]),
    ("a/", ["a", "a/b"], ["b/a"]),
    ("./a/../b", ["b"], ["a"]),
    ("*.log", ["x.log"], ["d/x.log"]),
    ("**/*.log", ["x.log", "d/x.log", "d/e/x.log"], ["x.logs"]),
    ("*/temp*", ["d/temp", "d/temporary.txt", "d/temp/x"], ["temp", "d/e/temp"]),
    ("temp?", ["temp1", "tempa"], ["temp", "temp12"]),
    ("a/**", ["a/b", "a/b/c"], ["a", "b"]),
    ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["z", "a/bz"]),
    ("**", ["a", "a/b"], []),
    ("**/foo", ["foo", "d/foo", "d/e/foo"], ["dfoo"]),
    ("**foo", ["foo", "dfoo", "d/xfoo"], ["food"]),
    ("[a-c]x", ["ax", "cx"], ["dx", "a/x"]),
    ("[^a]x", ["bx"], ["ax"]),
    ("[!a]x", ["!x", "ax"], ["bx"]),
    ("a\\*", ["a*"], ["ab"]),
    ("*\n!a", ["b", "b/c"], ["a", "a/b"]),
    ("*\n!a/b", ["a", "a/c"], ["a/b", "a/b/c"]),
    ("!a\na", ["a"], []),
    ("*.md\n!README*.md\nREADME-secret.md", ["x.md", "README-secret.md"], ["README.md"]),
    ("# a\n\n  b  \n", ["b"], ["a", "# a"]),
    ("\ufeffa", ["a"], []),
    ("a.c", ["a.c"], ["abc"]),
    ("! a", [], ["a"]),
]


@pytest.mark.parametrize(("text", "left_out", "kept"), CASES)
def test_patterns(text: str, left_out: list[str], kept: list[str]) -> None:
    rules = docker_rules(text.encode())
    assert [path for path in left_out if not rules.ignores(path)] == []
    assert [path for path in kept if rules.ignores(path)] == []


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a\n[", "reading .dockerignore: line 2: the bracket in '[' is not closed"),
        ("!", "reading .dockerignore: line 1: nothing stands behind '!'"),
        ("[b-a]", "reading .dockerignore: line 1: bad character range"),
    ],
)
def test_lines_that_docker_refuses(text: str, want: str) -> None:
    with pytest.raises(ProjectError) as caught:
        docker_rules(text.encode())
    assert str(caught.value).startswith(want)


def test_brings_back_below_what_is_left_out(tmp_path: Path) -> None:
    files = {".dockerignore": "*\n!src/a\n", "src/a/x": "", "src/b": "", "c": ""}
    found = find(make(tmp_path, files), ".")
    assert dests(found) == ["app/src/a/x"]
    assert found.ignored == 3


def test_beside_git_either_leaves_out(tmp_path: Path) -> None:
    files = {".dockerignore": "!a.log\nb\n", ".gitignore": "*.log\n", "a.log": "", "b": "", "c": ""}
    assert dests(find(make(tmp_path, files), ".")) == [
        "app/.dockerignore",
        "app/.gitignore",
        "app/c",
    ]


def test_only_at_the_root_of_the_workspace(tmp_path: Path) -> None:
    files = {"sub/.dockerignore": "a", "sub/a": ""}
    assert dests(find(make(tmp_path, files), "sub")) == ["app/sub/.dockerignore", "app/sub/a"]
