"""Versions that come from a repository: as setuptools-scm has them, without running anything."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pixi_ship.errors import SourceError
from pixi_ship.source.git import Git
from pixi_ship.source.scm import Repository, asks_repository
from pixi_ship.source.wheels import Workshop, built_wheel, known_wheel

from ..channel.tools import run
from .projects import HATCHED, Files, directory, git, repository, scm_project, write

Change = Callable[[Path], object]
CHANGES: dict[str, Change] = {
    "a tag": lambda place: git(place, "tag", "v1.2"),
    "a tag with the project's name": lambda place: git(place, "tag", "tagged-1.2"),
    "a candidate": lambda place: git(place, "tag", "v2.0rc1"),
    "no tag": lambda place: None,
    "no tag of a version": lambda place: git(place, "tag", "nightly"),
    "a commit after it": lambda place: (
        git(place, "tag", "v1.2.3"),
        repository(place, {"more.py": ""}),
    ),
    "commits after a candidate": lambda place: (
        git(place, "tag", "v2.0rc1"),
        repository(place, {"more.py": ""}),
        repository(place, {"most.py": ""}),
    ),
}


@pytest.fixture(scope="module")
def judge(backends: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """setuptools-scm itself, importable."""
    place = tmp_path_factory.mktemp("setuptools-scm")
    for wheel in backends.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place)
    return place


def ours(place: Path, variables: dict[str, str]) -> str | None:
    return Repository(Git("git", variables), place).version()


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_what_setuptools_scm_says(
    tmp_path: Path, variables: dict[str, str], judge: Path, change: str
) -> None:
    repository(tmp_path / "project", scm_project())
    CHANGES[change](tmp_path / "project")
    words = ("env", f"PYTHONPATH={judge}", "TZ=UTC", sys.executable, "-m", "setuptools_scm")
    said = run(*words, "--root", tmp_path / "project").strip().splitlines()[-1]
    # How many characters of a commit are shown is git's to choose.
    assert (
        said[: said.find("+g") + 6]
        == (ours(tmp_path / "project", variables) or "")[: said.find("+g") + 6]
    )
    assert said.partition("+")[0] == (ours(tmp_path / "project", variables) or "").partition("+")[0]


def rewritten(place: Path, path: str, data: bytes) -> Path:
    """Other contents, and a time that makes git look at them."""
    (place / path).write_bytes(data)
    os.utime(place / path, (1_000_000_000, 1_000_000_000))
    return place / path


def checked_out(place: Path, path: str, *settings: str) -> Path:
    """A file as git writes it with settings, its line ends with CR where they say so."""
    for setting in settings:
        git(place, "config", *setting.split("="))
    (place / path).unlink()
    git(place, "checkout", "--", path)
    assert (place / path).read_bytes() == CRLF
    return place / path


def removed(place: Path, path: str) -> Path:
    here = place / path
    if here.is_dir():
        shutil.rmtree(here)
    else:
        here.unlink()
    return here


def linked(place: Path, path: str, target: str) -> Path:
    removed(place, path).symlink_to(target)
    return place / path


TEXT, BINARY = b"".join(b"line %d\n" % number for number in range(9)), b"\0a\nb\n"
CRLF = TEXT.replace(b"\n", b"\r\n")
DIRTY: dict[str, tuple[Change, bool]] = {
    "another content": (lambda place: rewritten(place, "text", b"else\n"), True),
    "deleted": (lambda place: (place / "text").unlink(), True),
    "deleted with its directory": (lambda place: shutil.rmtree(place / "inner"), True),
    "deleted though ignored": (lambda place: (place / "kept.log").unlink(), True),
    "deleted of a sparse checkout": (
        lambda place: git(place, "sparse-checkout", "set", "--no-cone", "/*", "!/inner"),
        False,
    ),
    "executable": (lambda place: (place / "text").chmod(0o755), True),
    "no longer executable": (lambda place: (place / "run.sh").chmod(0o644), True),
    "modes that do not count": (
        lambda place: (
            git(place, "config", "core.fileMode", "false"),
            run("chmod", "755", place / "text"),
        ),
        False,
    ),
    "another group's modes": (lambda place: (place / "text").chmod(0o664), False),
    "another target": (lambda place: linked(place, "link", "run.sh"), True),
    "the same target": (lambda place: linked(place, "link", "text"), False),
    "a link in place of a file": (
        lambda place: linked(place, "text", "run.sh"),
        True,
    ),
    "a directory in place of a file": (
        lambda place: removed(place, "text").mkdir(),
        True,
    ),
    "a file in place of a directory": (
        lambda place: removed(place, "inner").touch(),
        True,
    ),
    "added and recorded for the next commit": (
        lambda place: (write(place, {"new.py": ""}), git(place, "add", "new.py")),
        True,
    ),
    "not recorded": (lambda place: write(place, {"new.py": ""}), False),
    "a filter that is nowhere": (
        lambda place: rewritten(place, "data.lfs", b"else\n"),
        True,
    ),
    "line ends without a setting": (
        lambda place: rewritten(place, "text", CRLF),
        True,
    ),
    "line ends with core.autocrlf": (
        lambda place: checked_out(place, "text", "core.autocrlf=true"),
        False,
    ),
    "line ends with core.autocrlf at the commit's return": (
        lambda place: (
            checked_out(place, "text", "core.autocrlf=true"),
            git(place, "config", "core.autocrlf", "input"),
        ),
        False,
    ),
    "line ends with core.autocrlf before": (
        lambda place: (
            checked_out(place, "text", "core.autocrlf=true"),
            git(place, "config", "core.autocrlf", "false"),
            rewritten(place, "text", CRLF),
        ),
        True,
    ),
    "line ends and a change": (
        lambda place: (
            git(place, "config", "core.autocrlf", "true"),
            rewritten(place, "text", CRLF + b"more\r\n"),
        ),
        True,
    ),
    "line ends of what is no text": (
        lambda place: (
            git(place, "config", "core.autocrlf", "true"),
            rewritten(place, "binary", BINARY.replace(b"\n", b"\r\n")),
        ),
        True,
    ),
    "line ends by attribute": (
        lambda place: checked_out(place, "a.txt", "core.eol=crlf"),
        False,
    ),
    "line ends by eol": (lambda place: checked_out(place, "a.crlf"), False),
    "line ends against an attribute": (
        lambda place: (
            git(place, "config", "core.autocrlf", "true"),
            rewritten(place, "a.raw", CRLF),
        ),
        True,
    ),
}


@pytest.mark.parametrize("change", DIRTY)
def test_changes_are_those_that_setuptools_scm_sees(
    tmp_path: Path, variables: dict[str, str], judge: Path, change: str
) -> None:
    place = tmp_path / "project"
    attributes = "*.txt text\n*.crlf eol=crlf\n*.raw -text\n*.lfs filter=lfs\n"
    write(place, {**scm_project(), ".gitattributes": attributes, "inner/a.py": "", "kept.log": ""})
    for name in ("text", "a.txt", "a.crlf", "a.raw", "data.lfs"):
        (place / name).write_bytes(TEXT)
    (place / "binary").write_bytes(BINARY)
    (place / "run.sh").touch(0o755)
    (place / "link").symlink_to("text")
    repository(place, {}, "v1.2")
    write(place, {".git/info/exclude": "*.log\n"})
    apply, is_dirty = DIRTY[change]
    apply(place)
    words = ("env", f"PYTHONPATH={judge}", "TZ=UTC", sys.executable, "-m", "setuptools_scm")
    said = run(*words, "--root", place).strip().splitlines()[-1]
    found = ours(place, variables) or ""
    assert (said != "1.2") is is_dirty, said
    assert found.partition("+")[0] == said.partition("+")[0]
    assert found.endswith(".dirty") is is_dirty


def test_a_file_of_lfs_is_told_by_its_pointer(tmp_path: Path, variables: dict[str, str]) -> None:
    """The program of the filter is never run: here it is one that would fail."""
    data = b"large\n" * 1000
    pointer = (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{hashlib.sha256(data).hexdigest()}\nsize {len(data)}\n"
    )
    attributes = {".gitattributes": "*.bin filter=lfs -text\n", "data.bin": pointer}
    repository(tmp_path, {**scm_project(), **attributes}, "v1.2")
    git(tmp_path, "config", "filter.lfs.clean", "false")
    git(tmp_path, "config", "filter.lfs.required", "true")
    assert ours(tmp_path, variables) == "1.2"
    (tmp_path / "data.bin").write_bytes(data)
    assert ours(tmp_path, variables) == "1.2"
    (tmp_path / "data.bin").write_bytes(data[1:])
    assert (ours(tmp_path, variables) or "").endswith(".dirty")


@pytest.mark.parametrize("attribute", ["ident", "working-tree-encoding=UTF-16"])
def test_what_cannot_be_told_is_refused(
    tmp_path: Path, variables: dict[str, str], attribute: str
) -> None:
    repository(tmp_path, scm_project(), "v1.2")
    write(tmp_path, {".git/info/attributes": f"tagged.py {attribute}\n", "tagged.py": "$Id: 1$"})
    with pytest.raises(SourceError, match="cannot be told"):
        ours(tmp_path, variables)


def test_a_changed_file_is_seen_and_an_added_one_is_not(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    commit = repository(tmp_path, scm_project(), "v1.2")
    write(tmp_path, {"unrecorded.py": ""})
    assert ours(tmp_path, variables) == "1.2"
    write(tmp_path, {"tagged.py": "changed"})
    assert ours(tmp_path, variables) == f"1.3.dev0+g{commit[:7]}.dirty"


def test_no_repository_no_version(tmp_path: Path, variables: dict[str, str]) -> None:
    write(tmp_path, scm_project())
    assert ours(tmp_path, variables) is None


@pytest.mark.parametrize(
    ("requires", "tool", "asks"),
    [
        ('["setuptools_scm[toml]>=6"]', "", True),
        ('["hatchling", "hatch-vcs"]', "", True),
        ('["pdm-backend"]', '[tool.pdm.version]\nsource = "scm"\n', True),
        ('["pdm-backend"]', '[tool.pdm.version]\nsource = "file"\n', False),
        ('["setuptools"]', "[tool.setuptools_scm]\n", False),
        ("3", "", False),
    ],
)
def test_who_asks(tmp_path: Path, requires: str, tool: str, asks: bool) -> None:
    write(tmp_path, {"pyproject.toml": f"[build-system]\nrequires = {requires}\n{tool}"})
    assert asks_repository(tmp_path) is asks


def vcs_hatched() -> Files:
    manifest = HATCHED["pyproject.toml"].replace('"hatchling"', '"hatchling", "hatch-vcs"')
    return {**HATCHED, "pyproject.toml": manifest.replace("path =", 'source = "vcs" #')}


@pytest.mark.parametrize(("name", "files"), [("tagged", scm_project()), ("hatched", vcs_hatched())])
def test_a_tag_is_the_version_of_the_wheel(workshop: Workshop, name: str, files: Files) -> None:
    source = directory(workshop.root, name, files)
    repository(workshop.root, {".gitignore": ".pixi\n"}, "v4.5")
    assert built_wheel(source, workshop).version == "4.5"
    repository(workshop.root, {"elsewhere": ""}, "v5.0")
    assert known_wheel(source, workshop) is None, "the version is part of what the source is"
    assert built_wheel(source, workshop).version == "5.0"
    git(workshop.root, "checkout", "-q", "v4.5")
    found = known_wheel(source, workshop)
    assert found is not None
    assert found.version == "4.5"


def test_settings_of_the_repository_start_nothing(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    place = tmp_path / "project"
    repository(place, {**scm_project(), ".gitattributes": "* filter=evil diff=evil\n"}, "v1.0")
    marker = tmp_path / "started"
    program = tmp_path / "evil"
    program.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    program.chmod(0o755)
    names = (
        *("core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "core.pager"),
        *("diff.evil.command", "diff.evil.textconv", "core.alternateRefsCommand"),
    )
    for name in names:
        git(place, "config", name, str(program))
    (place / ".git" / "hooks").mkdir(exist_ok=True)
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        (place / ".git" / "hooks" / hook).symlink_to(program)
    write(place, {"tagged.py": "changed"})
    with pytest.raises(
        SourceError, match=r"'tagged\.py' .*\(filter in \.gitattributes\)"
    ) as raised:
        ours(place, variables)
    assert "pyproject.toml" in str(raised.value.hint)
    assert not marker.exists()
