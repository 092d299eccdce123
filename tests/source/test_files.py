"""Which files of a project count, and that they alone decide what the source is."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from pixi_ship.errors import SourceError
from pixi_ship.source import files as module
from pixi_ship.source.files import copy_files, digest_of, project_files
from pixi_ship.source.wheels import Workshop, built_wheel, known_wheel

from ..channel.tools import run
from ..tiny import Tiny, ship
from .projects import HATCHED, add, directory, git, repository, write


def paths(project: Path, workspace: Path | None = None) -> list[str]:
    return [each.path for each in project_files(project, workspace or project)]


def test_times_do_not_count_contents_and_execute_bits_do(workshop: Workshop) -> None:
    source = directory(workshop.root, "hatched", HATCHED)
    project = workshop.root / "hatched"
    built = built_wheel(source, workshop)
    os.utime(project / "pyproject.toml", (1, 1))
    assert known_wheel(source, workshop) == built
    (project / "hatched" / "more.py").write_text("")
    assert known_wheel(source, workshop) is None
    changed = built_wheel(source, workshop)
    assert changed.sha256 != built.sha256
    (project / "hatched" / "more.py").chmod(0o755)
    assert known_wheel(source, workshop) is None
    (project / "hatched" / "more.py").unlink()
    assert known_wheel(source, workshop) == built


def test_the_target_of_a_link_counts(tmp_path: Path) -> None:
    write(tmp_path, {"a": "", "b": ""})
    (tmp_path / "link").symlink_to("a")
    before = digest_of(project_files(tmp_path, tmp_path))
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("b")
    assert digest_of(project_files(tmp_path, tmp_path)) != before


def test_a_copy_is_what_was_looked_at(tmp_path: Path) -> None:
    project = write(tmp_path / "project", {"a.py": "a", "deep/er/b.sh": "b"})
    (project / "deep" / "er" / "b.sh").chmod(0o750)
    (project / "link").symlink_to("deep/er")
    found = project_files(project, project)
    (tmp_path / "copy").mkdir()
    assert copy_files(found, tmp_path / "copy") == digest_of(found)
    assert digest_of(project_files(tmp_path / "copy", tmp_path)) == digest_of(found)
    (project / "a.py").write_text("changed")
    (tmp_path / "second").mkdir()
    assert copy_files(found, tmp_path / "second") != digest_of(
        project_files(tmp_path / "copy", tmp_path)
    )


def test_git_itself_leaves_out_the_same(tmp_path: Path) -> None:
    """git's own list of what it does not ignore is the judge."""
    names = (
        *("keep.py", "drop.log", "keep.log", "data/x.bin", "data/keep/y.bin", "sub/only/z"),
        *("sub/a.tmp", "other/a.tmp", "build/lib/x.py", "sub/build", "doc/a.txt", "doc/d/b.txt"),
        *("#hash", "!bang", "sub/dr op", "sub/trailing ", "deep/foo/bar/baz"),
    )
    ignore = "*.log\n!keep.log\n/data/*\n!/data/keep/\nbuild/\ndoc/**/b.txt\n\\#hash\n"
    ignore += "!\n[\n**/foo/**/baz\n"
    write(tmp_path, dict.fromkeys(names, ""))
    write(tmp_path, {".gitignore": ignore, "sub/.gitignore": "/only\n*.tmp\n!keep.log\ndr op\n"})
    git(tmp_path, "init", "-q")
    listed = git(tmp_path, "ls-files", "-z", "--others", "--exclude-standard", "--cached")
    assert paths(tmp_path) == sorted(each for each in listed.split("\0") if each)


def test_what_the_repository_ignores_above_the_project_counts(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "*.dat\n", "python/.gitignore": "!keep.dat\n"})
    write(tmp_path / "python" / "pkg", {"a.py": "", "big.dat": "", "keep.dat": ""})
    assert paths(tmp_path / "python" / "pkg") == ["a.py", "big.dat", "keep.dat"]
    git(tmp_path, "init", "-q")
    assert paths(tmp_path / "python" / "pkg") == ["a.py", "keep.dat"]


def test_caches_and_environments_never_count(tmp_path: Path) -> None:
    never = (
        *(".git/HEAD", ".pixi/envs/x", ".venv/bin/python", "a/__pycache__/b.pyc", "c.pyc"),
        *(".tox/x", ".mypy_cache/x", ".pytest_cache/x", ".ruff_cache/x", "node_modules/x/y"),
    )
    write(tmp_path, dict.fromkeys((*never, "a/b.py"), ""))
    os.mkfifo(tmp_path / "pipe")
    assert paths(tmp_path) == ["a/b.py"]


def test_a_link_to_a_file_of_the_workspace_is_a_copy_of_it(tmp_path: Path) -> None:
    write(tmp_path, {"LICENSE": "free\n", "pkg/a.py": ""})
    (tmp_path / "pkg" / "LICENSE").symlink_to("../LICENSE")
    (found, _) = project_files(tmp_path / "pkg", tmp_path)
    assert found.link is None
    before = digest_of(project_files(tmp_path / "pkg", tmp_path))
    (tmp_path / "LICENSE").write_text("not free\n")
    assert digest_of(project_files(tmp_path / "pkg", tmp_path)) != before


@pytest.mark.parametrize("target", ["/etc/passwd", "../../beyond", "../elsewhere"])
def test_a_link_out_of_the_workspace_is_named(tmp_path: Path, target: str) -> None:
    project = write(tmp_path / "workspace" / "pkg", {"a.py": ""})
    write(tmp_path, {"beyond": "secret", "workspace/elsewhere/x": ""})
    (project / "link").symlink_to(target)
    with pytest.raises(SourceError, match=r"'link' is a link to .*no file of the workspace"):
        project_files(project, tmp_path / "workspace")
    (project / ".gitignore").write_text("link\n")
    assert paths(project) == [".gitignore", "a.py"]


def test_a_directory_that_is_not_there(workshop: Workshop) -> None:
    source = directory(workshop.root, "gone", {})
    with pytest.raises(SourceError, match="there is no such directory"):
        known_wheel(source, workshop)


def test_a_workspace_full_of_data_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 5)
    write(tmp_path, {f"results/run{number}": "x" * 100 for number in range(9)})
    write(tmp_path, {"a.py": "", "few/b.py": ""})
    with pytest.raises(SourceError, match=r"11 files.*biggest: results") as raised:
        project_files(tmp_path, tmp_path)
    assert ".gitignore" in str(raised.value.hint)
    (tmp_path / ".gitignore").write_text("/results/\n")
    assert len(project_files(tmp_path, tmp_path)) == 3
    monkeypatch.setattr(module, "MAX_SIZE", 1000)
    write(tmp_path, {"few/big": "x" * 2000})
    with pytest.raises(SourceError, match="biggest: few"):
        project_files(tmp_path, tmp_path)


def test_a_commit_that_ignored_files_do_not_reach(tmp_path: Path) -> None:
    repository(tmp_path, {"a.py": "", ".gitignore": "*.so\n"})
    before = digest_of(project_files(tmp_path, tmp_path))
    write(tmp_path, {"a.so": "compiled in place"})
    assert digest_of(project_files(tmp_path, tmp_path)) == before
    assert "a.so" in run("ls", tmp_path)


def test_images_and_caches_in_the_project_are_no_part_of_it(tmp_path: Path) -> None:
    """A workspace that is its own path dependency would be another source after each build."""
    tiny = Tiny(tmp_path)
    tiny.lock(tiny.good())
    write(tiny.work, {"a.py": "", "data/manifest.json": "[" * 2000, "oci-layout/a.py": ""})
    with tarfile.open(tiny.work / "data" / "some.tar", "w") as tar:
        add(tar, "manifest.json", b"{}" * 1000)
    (tiny.work / "data" / "index.json").write_text("{}")
    (tiny.work / "data" / "oci-layout").write_text("{}")
    before = project_files(tiny.work, tiny.work)
    (tiny.work / "out").mkdir()
    places = (
        "oci:{}/layout:t",
        "oci-archive:{}/o.tar:t",
        "docker-archive:{}/d.tar:t",
        "sif:{}/a.sif",
    )
    for place in places:
        words: list[str | Path] = [
            "build",
            "-w",
            tiny.work,
            "--base",
            "scratch",
            "--cache-dir",
            tiny.work / "cache",
        ]
        ran = ship(*words, "--to", place.format(tiny.work / "out"))
        assert ran.status == 0, ran.err
    assert len(list((tiny.work / "out").iterdir())) == len(places)
    assert (tiny.work / "cache" / "archives").is_dir()
    assert project_files(tiny.work, tiny.work) == before
    assert {"data/some.tar", "data/oci-layout", "oci-layout/a.py"} <= {each.path for each in before}
