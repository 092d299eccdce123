"""What a build needs comes from the workspace's indexes and the caller's, as wheels alone."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from pixi_ship.errors import SourceError
from pixi_ship.source.environment import Installer
from pixi_ship.source.wheels import Workshop, build_facts, built_wheel
from pixi_ship.workspace import PypiOptions

from .conftest import wheel_of
from .projects import FLITTED, add, directory, hostile


def test_find_links_of_the_workspace(workshop: Workshop, backends: Path) -> None:
    (workshop.root / "wheels").symlink_to(backends)
    variables = dict(workshop.environment)
    del variables["UV_FIND_LINKS"]
    source = directory(workshop.root, "flitted", FLITTED)
    with pytest.raises(SourceError, match=r"what the build of flitted needs \(flit_core>=3\)"):
        built_wheel(source, replace(workshop, environment=variables))
    named = replace(workshop, environment=variables, indexes=PypiOptions(find_links=("./wheels",)))
    (requires,) = build_facts(built_wheel(source, named), named.cache).requires
    assert requires.startswith("flit_core-")


def test_offline_says_what_is_missing(workshop: Workshop) -> None:
    variables = {**workshop.environment, "UV_FIND_LINKS": "", "UV_NO_INDEX": ""}
    source = directory(workshop.root, "flitted", FLITTED)
    with pytest.raises(SourceError, match="flit_core") as raised:
        built_wheel(source, replace(workshop, environment=variables, offline=True))
    assert "without --offline" in str(raised.value.hint)


def test_a_requirement_without_a_wheel_is_not_built(workshop: Workshop, tmp_path: Path) -> None:
    """A source distribution among the links would be built by its setup.py, out here."""
    links, marker = tmp_path / "links", tmp_path / "started"
    links.mkdir()
    with tarfile.open(links / "planted-1.0.tar.gz", "w:gz") as tar:
        add(tar, "planted-1.0/setup.py", f"open({str(marker)!r}, 'w')".encode())
        add(tar, "planted-1.0/PKG-INFO", b"Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    files = hostile("return make(wheel_directory)")
    files = {**files, "pyproject.toml": files["pyproject.toml"].replace("[]", '["planted"]')}
    variables = {**workshop.environment, "UV_FIND_LINKS": str(links)}
    with pytest.raises(SourceError, match="planted") as raised:
        built_wheel(
            directory(workshop.root, "hostile", files), replace(workshop, environment=variables)
        )
    assert "as wheels" in str(raised.value.hint)
    assert not marker.exists()


def test_what_a_hook_requires_besides(workshop: Workshop) -> None:
    files = dict(hostile("import flit_core\nreturn make(wheel_directory)"))
    files["backend.py"] += "\ndef get_requires_for_build_wheel(settings=None):\n"
    files["backend.py"] += "    return ['flit_core']\n"
    wheel = built_wheel(directory(workshop.root, "hostile", files), workshop)
    assert [each.split("-")[0] for each in build_facts(wheel, workshop.cache).requires] == [
        "flit_core"
    ]


def test_logins_of_indexes_are_handed_over_as_variables(tmp_path: Path) -> None:
    options = PypiOptions(
        index_url="https://me:hunter2@example.org/simple",
        extra_index_urls=("https://extra.example.org/simple",),
        find_links=("wheels", "https://example.org/links"),
    )
    environment = {
        "UV_INDEX_URL": "https://callers.example.org",
        "UV_EXTRA_INDEX_URL": "https://more.example.org",
        "VIRTUAL_ENV": "/elsewhere",
        "UV_COMPILE_BYTECODE": "1",
        "HTTPS_PROXY": "http://proxy",
    }
    installer = Installer(
        environment=environment, indexes=options, root=tmp_path, offline=False, timeout=1
    )
    assert installer._variables() == {
        "UV_DEFAULT_INDEX": "https://me:hunter2@example.org/simple",
        "UV_EXTRA_INDEX_URL": "https://extra.example.org/simple https://more.example.org",
        "UV_FIND_LINKS": f"{tmp_path}/wheels,https://example.org/links",
        "HTTPS_PROXY": "http://proxy",
        "UV_LINK_MODE": "copy",
    }


def test_a_module_that_is_not_required_is_named(workshop: Workshop) -> None:
    source = directory(workshop.root, "hostile", hostile("import setuptools"))
    with pytest.raises(SourceError, match="No module named 'setuptools'") as raised:
        built_wheel(source, workshop)
    assert "build-system.requires" in str(raised.value.hint)


@pytest.mark.hostile
@pytest.mark.parametrize("where", ["file", "directory", "git", "http"])
@pytest.mark.parametrize("how", ["of an index", "of an address"])
def test_addresses_that_other_wheels_require(
    workshop: Workshop, tmp_path: Path, backends: Path, where: str, how: str
) -> None:
    """uv would have read them, or logged in there, with the caller's rights."""
    links, inner = tmp_path / "links", tmp_path / "inner"
    (inner / "planted").mkdir(parents=True)
    marker = inner / "started"
    (inner / "planted" / "setup.py").write_text(f"open({str(marker)!r}, 'w')")
    planted = wheel_of(inner, "planted")
    address = {
        "file": planted.as_uri(),
        "directory": (inner / "planted").as_uri(),
        "git": f"git+file://{inner}/planted",
        "http": "http://127.0.0.1:9/planted-1-py3-none-any.whl",
    }[where]
    outer = wheel_of(links, "outer", f"planted @ {address}")
    wanted = "outer" if how == "of an index" else f"outer @ {outer.as_uri()}"
    files = hostile("return make(wheel_directory)")
    files = {**files, "pyproject.toml": files["pyproject.toml"].replace("[]", f'["{wanted}"]')}
    variables = {**workshop.environment, "UV_FIND_LINKS": str(links)}
    said = "planted" if how == "of an index" else "'outer @ file:.* is no package of an index"
    with pytest.raises(SourceError, match=said):
        built_wheel(
            directory(workshop.root, "hostile", files), replace(workshop, environment=variables)
        )
    assert not marker.exists()


@pytest.mark.hostile
def test_what_was_installed_from_an_address_does_not_run(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line, where uv should take an address after all: here by an override."""
    planted = wheel_of(tmp_path / "inner", "planted")
    links = tmp_path / "links"
    wheel_of(links, "planted")
    overrides = tmp_path / "overrides.txt"
    overrides.write_text(f"planted @ {planted.as_uri()}\n")
    monkeypatch.setattr("pixi_ship.source.environment._LEADING", frozenset())
    files = hostile("return make(wheel_directory)")
    files = {**files, "pyproject.toml": files["pyproject.toml"].replace("[]", '["planted"]')}
    variables = {
        **workshop.environment,
        "UV_FIND_LINKS": str(links),
        "UV_OVERRIDE": str(overrides),
    }
    with pytest.raises(SourceError, match="'planted-1' is no package of an index"):
        built_wheel(
            directory(workshop.root, "hostile", files), replace(workshop, environment=variables)
        )


def test_the_callers_link_mode_does_not_reach_a_build(workshop: Workshop) -> None:
    variables = {**workshop.environment, "UV_LINK_MODE": "symlink"}
    source = directory(workshop.root, "flitted", FLITTED)
    wheel = built_wheel(source, replace(workshop, environment=variables))
    assert wheel.file_name == "flitted-0.3-py2.py3-none-any.whl"
