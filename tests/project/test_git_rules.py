"""What is left out by ``.gitignore`` is what Git leaves out, for any tree and any patterns."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pixi_ship.errors import ProjectError
from pixi_ship.gitignore.wildcard import wildcard_regex

from .made import dests, find, make

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
ALONE = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.defpath}

names = st.sampled_from(
    ["a", "b", "ab", "abc", "a.c", ".x", "a b", "é", "[a]", "#a", "!b", "a ", "A", "-"]
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
pieces = st.sampled_from(
    [
        *("a", "b", "c", "ab", ".", "*", "**", "?", "/", "/", "**/", "/**", "[ab]", "[!a]"),
        *("[^b-z]", "[a-c]", "[]a]", "[[:alpha:]]", "[[:nope:]]", "[a", "[z-a]", "[a\\]]"),
        *("[-a]", "\\", "\\*", " ", "\\ ", "é", "#", "!", "\t", "[a/b]", "\xff"),
    ]
)
patterns = st.tuples(
    st.sampled_from(["", "", "!", "/", "!/", "\\!", "#"]),
    st.lists(pieces, min_size=1, max_size=4).map("".join),
    st.sampled_from(["", "", "/", " ", "\r"]),
).map("".join)
rules = st.lists(patterns, min_size=1, max_size=5).map("\n".join)


def git(root: Path, *words: str) -> bytes:
    ran = subprocess.run(["git", *words], cwd=root, env=ALONE, capture_output=True, check=True)
    return ran.stdout


def taken(root: Path) -> set[str]:
    try:
        return {dest.removeprefix("app/") for dest in dests(find(root, "."))}
    except ProjectError as error:
        return set() if "no file is left" in str(error) else {str(error)}


def untracked(root: Path) -> set[str]:
    listed = git(root, "ls-files", "-co", "--exclude-standard", "-z").split(b"\0")
    return {os.fsdecode(name) for name in listed if name} - {"pixi.toml", "pixi.lock"}


@needs_git
@settings(max_examples=60)
@given(
    tree=st.sets(paths, min_size=1, max_size=12),
    ignored=st.dictionaries(paths, rules, max_size=2),
    top=rules,
    exclude=rules,
)
@example(tree={"a/a"}, ignored={}, top="aa", exclude="a\na\n!/***")
@example(tree={"ab/b"}, ignored={}, top="a", exclude="a**/**/")
def test_agrees_with_git(tree: set[str], ignored: dict[str, str], top: str, exclude: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch).resolve()
        git(root, "init", "-q")
        for path in sorted(tree):
            if not any((root / above).is_file() for above in _above(path)):
                target = root / path
                if not target.is_dir():
                    make(root, {path: "x"})
        for directory, text in ignored.items():
            if (root / directory).is_dir():
                make(root, {f"{directory}/.gitignore": text.encode("latin-1", "replace")})
        make(root, {".gitignore": top.encode(), ".git/info/exclude": exclude.encode()})
        assert taken(root) == untracked(root)


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


@needs_git
def test_of_a_repository_that_begins_above(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    root = make(tmp_path / "sub" / "work", {"a.log": "", "b.tmp": "", "c.txt": "", "d/e.log": ""})
    (tmp_path / ".gitignore").write_text("*.log\n/sub/work/d/\n")
    (tmp_path / "sub" / ".gitignore").write_text("!a.log\n*.tmp\n")
    assert taken(root) == {"a.log", "c.txt"} == untracked(root)


def test_without_a_repository(tmp_path: Path) -> None:
    root = make(tmp_path, {".gitignore": "*.log\n!keep.log\n", "a.log": "", "keep.log": ""})
    found = find(root, ".")
    assert dests(found) == ["app/.gitignore", "app/keep.log"]
    assert found.ignored == 1


def test_a_directory_left_out_counts_once_and_keeps_its_own(tmp_path: Path) -> None:
    files = {".gitignore": "/out/\n", "out/.gitignore": "!*\n", "out/a": "", "out/b": "", "c": ""}
    found = find(make(tmp_path, files), ".")
    assert dests(found) == ["app/.gitignore", "app/c"]
    assert found.ignored == 1


def test_what_is_named_itself_is_taken_though_ignored(tmp_path: Path) -> None:
    files = {".gitignore": "out/\n*.csv\n", "out/a": "", "out/b.csv": "", "c.csv": ""}
    root = make(tmp_path, files)
    assert dests(find(root, "c.csv")) == ["app/c.csv"]
    assert dests(find(root, "out/b.csv")) == ["app/out/b.csv"]
    # The directory is named, what the rules say of files in it still counts.
    assert dests(find(root, "out")) == ["app/out/a"]


def test_never_taken(tmp_path: Path) -> None:
    files = {".git/config": "", ".pixi/envs/x": "", "m/__pycache__/a.pyc": "", "m/a.py": ""}
    assert dests(find(make(tmp_path, files), ".")) == ["app/m/a.py"]


@pytest.mark.parametrize("link", [True, False])
def test_rules_that_cannot_be_rules(tmp_path: Path, link: bool) -> None:
    root = make(tmp_path, {"a": ""})
    if link:
        (root / ".gitignore").symlink_to("pixi.toml")
        make(root, {"pixi.toml": "a\n"})
        # Git does not follow it either; as a file it is shipped like any link.
        assert dests(find(root, "a")) == ["app/a"]
        return
    (root / ".gitignore").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ProjectError, match=r"\.gitignore: more than 1024 KiB are no rules"):
        find(root, ".")


def test_every_byte_can_be_in_a_pattern() -> None:
    for byte in set(range(256)) - {0, ord("/"), ord("\n")}:
        one = bytes([byte])
        regex = wildcard_regex(b"\\" + one)
        assert regex is not None
        assert regex.fullmatch(one)
        assert not regex.fullmatch(one + one)
