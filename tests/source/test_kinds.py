"""Every kind of source becomes a wheel that is laid out in a prefix as any other is."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pixi_ship.errors import SourceError
from pixi_ship.lock.model import PypiPackage, PypiSource
from pixi_ship.prefix.layout import Placement, PrefixLayout
from pixi_ship.prefix.wheel import WheelTree
from pixi_ship.source.wheels import Workshop, build_facts, built_wheel, known_wheel
from pixi_ship.tree import File

from ..channel.tools import run
from .conftest import MINOR
from .projects import (
    COMPILED,
    FLITTED,
    HATCHED,
    LEGACY,
    TRINKET,
    directory,
    from_git,
    git,
    repository,
    scm_project,
    sdist,
    write,
)

SITE = f"opt/env/lib/python{MINOR}/site-packages"


def laid_out(wheel: PypiPackage, workshop: Workshop) -> dict[str, bytes]:
    """Path → content of a wheel in a prefix; the digest of the archive is checked on the way."""
    archive = workshop.archives.get(wheel)
    assert archive.sha256 == wheel.sha256
    layout = PrefixLayout("/opt/env", workshop.python)
    tree = WheelTree(wheel.file_name, archive.path, layout, Placement())
    return {each.path: b"".join(each.content) for each in tree.entries() if isinstance(each, File)}


def built_anew(source: PypiSource, workshop: Workshop) -> dict[str, bytes]:
    assert known_wheel(source, workshop) is None
    wheel = built_wheel(source, workshop)
    assert known_wheel(source, workshop) == wheel
    assert wheel.source == source
    assert wheel.location == source.location
    assert build_facts(wheel, workshop.cache).glibc is None
    return laid_out(wheel, workshop)


def test_a_directory_with_a_src_layout_a_script_data_and_extras(workshop: Workshop) -> None:
    files = built_anew(directory(workshop.root, "trinket", TRINKET), workshop)
    assert files[f"{SITE}/trinket/words.txt"] == b"glimmer\n"
    assert b"from trinket.shine import main" in files["opt/env/bin/trinket"]
    metadata = files[f"{SITE}/trinket-1.2.dist-info/METADATA"]
    assert b"Provides-Extra: polish" in metadata
    assert not [path for path in files if "direct_url" in path]


def test_a_dynamic_version_of_hatchling_is_the_wheels(workshop: Workshop) -> None:
    source = directory(workshop.root, "hatched", HATCHED)
    wheel = built_wheel(source, workshop)
    assert wheel.version == "2.5"
    assert wheel.file_name.endswith("-none-any.whl")
    assert f"{SITE}/hatched/__init__.py" in laid_out(wheel, workshop)


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip"])
def test_a_source_distribution_of_every_format(workshop: Workshop, suffix: str) -> None:
    source = sdist(workshop.root, "flitted", "0.3", FLITTED, suffix)
    assert f"{SITE}/flitted.py" in built_anew(source, workshop)


def test_a_source_distribution_without_pyproject(workshop: Workshop) -> None:
    source = sdist(workshop.root, "legacy", "0.9", LEGACY)
    assert f"{SITE}/legacy.py" in built_anew(source, workshop)
    wheel = known_wheel(source, workshop)
    assert wheel is not None
    requires = build_facts(wheel, workshop.cache).requires
    assert any(each.startswith("setuptools-") for each in requires)


def test_a_directory_that_is_called_like_an_archive(workshop: Workshop) -> None:
    source = replace(directory(workshop.root, "hatched.tar.gz", HATCHED), name="hatched")
    assert f"{SITE}/hatched/__init__.py" in built_anew(source, workshop)


@pytest.mark.parametrize("query", ["", "?branch=main", "?tag=v1", "?rev=v1"])
def test_a_commit_of_a_repository(workshop: Workshop, tmp_path: Path, query: str) -> None:
    commit = repository(tmp_path / "origin", FLITTED, "v1")
    repository(tmp_path / "origin", {"flitted.py": "not what is locked"})
    source = from_git("flitted", tmp_path / "origin", commit, query)
    assert b"0.3" in built_anew(source, workshop)[f"{SITE}/flitted.py"]


def test_a_commit_that_is_no_branchs_end_and_its_older_spelling(
    workshop: Workshop, tmp_path: Path
) -> None:
    origin = tmp_path / "an origin"
    commit = repository(origin, FLITTED)
    repository(origin, {"flitted.py": "newer"})
    source = replace(
        from_git("flitted", origin, commit), location=f"git+file://{tmp_path}/an%20origin@{commit}"
    )
    assert b"0.3" in built_anew(source, workshop)[f"{SITE}/flitted.py"]


def test_a_subdirectory_of_a_repository(workshop: Workshop, tmp_path: Path) -> None:
    files = {f"python/pkg/{path}": text for path, text in FLITTED.items()}
    commit = repository(tmp_path / "origin", files)
    query = "?subdirectory=python%2Fpkg"
    assert built_anew(from_git("flitted", tmp_path / "origin", commit, query), workshop)
    with pytest.raises(SourceError, match="no directory 'elsewhere'"):
        built_wheel(
            from_git("flitted", tmp_path / "origin", commit, "?subdirectory=elsewhere"), workshop
        )


def test_a_repository_with_a_submodule(workshop: Workshop, tmp_path: Path) -> None:
    inner = repository(tmp_path / "inner", {"words.txt": "from the submodule\n"})
    modules = '[submodule "words"]\n\tpath = src/trinket/words\n\turl = ../inner\n'
    manifest = TRINKET["pyproject.toml"].replace('"*.txt"', '"words/*.txt"')
    files = {**TRINKET, "pyproject.toml": manifest, ".gitmodules": modules}
    repository(tmp_path / "outer", files)
    git(
        tmp_path / "outer",
        "update-index",
        "--add",
        "--cacheinfo",
        f"160000,{inner},src/trinket/words",
    )
    git(tmp_path / "outer", "commit", "-q", "-m", "a submodule")
    commit = git(tmp_path / "outer", "rev-parse", "HEAD")
    files_laid = built_anew(from_git("trinket", tmp_path / "outer", commit), workshop)
    assert files_laid[f"{SITE}/trinket/words/words.txt"] == b"from the submodule\n"


def test_a_locked_version_is_what_the_repository_would_have_said(
    workshop: Workshop, tmp_path: Path
) -> None:
    commit = repository(tmp_path / "origin", scm_project())
    source = from_git("tagged", tmp_path / "origin", commit, version="3.1.dev4+gabc")
    assert built_wheel(source, workshop).version == "3.1.dev4+gabc"


def test_a_c_extension(workshop: Workshop, tmp_path: Path) -> None:
    source = directory(workshop.root, "compiled", COMPILED)
    wheel = built_wheel(source, workshop)
    glibc = build_facts(wheel, workshop.cache).glibc
    assert glibc is not None
    assert glibc.startswith("2.")
    assert "libc.so.6" in build_facts(wheel, workshop.cache).libraries
    ((path, data),) = [row for row in laid_out(wheel, workshop).items() if row[0].endswith(".so")]
    library = tmp_path / Path(path).name
    library.write_bytes(data)
    code = "import compiled; print(compiled.answer())"
    assert run("env", f"PYTHONPATH={tmp_path}", sys.executable, "-c", code) == "42\n"
    assert known_wheel(source, workshop) == wheel


def test_a_c_extension_is_refused_for_another_processor(workshop: Workshop) -> None:
    source = directory(workshop.root, "compiled", COMPILED)
    elsewhere = replace(workshop, subdir="linux-aarch64", runs_target=False)
    assert known_wheel(source, elsewhere) is None
    with pytest.raises(SourceError, match=r"compiled files.*linux-aarch64") as raised:
        built_wheel(source, elsewhere)
    assert "linux-aarch64 machine" in str(raised.value.hint)
    assert "--from-prefix" in str(raised.value.hint)


def test_a_c_extension_is_refused_for_another_python(workshop: Workshop) -> None:
    source = directory(workshop.root, "compiled", COMPILED)
    other = replace(workshop.python, minor=workshop.python.minor + 1)
    with pytest.raises(SourceError, match=f"the Python at hand is {MINOR}, not ") as raised:
        built_wheel(source, replace(workshop, python=other))
    assert other.short_version in str(raised.value.hint)
    with pytest.raises(SourceError, match="there is no Python") as raised:
        built_wheel(source, replace(workshop, interpreters={}))
    assert "on PATH" in str(raised.value.hint)


def test_the_workspace_itself(workshop: Workshop) -> None:
    """What Pixi keeps beside the manifest is no part of the package."""
    source = replace(directory(workshop.root, ".", HATCHED), name="hatched", location=".")
    write(workshop.root, {".pixi/envs/default/bin/python": "large", "pixi.lock": "version: 6\n"})
    told: list[str] = []
    files = laid_out(built_wheel(source, replace(workshop, report=told.append)), workshop)
    assert f"{SITE}/hatched/__init__.py" in files
    assert told == ["hatched"]


def test_a_pure_wheel_for_another_processor_and_python(workshop: Workshop) -> None:
    source = directory(workshop.root, "hatched", HATCHED)
    other = replace(workshop.python, minor=workshop.python.minor + 1)
    elsewhere = replace(workshop, subdir="linux-aarch64", runs_target=False, python=other)
    assert built_wheel(source, elsewhere).sha256 == built_wheel(source, workshop).sha256
