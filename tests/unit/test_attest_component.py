"""Components and dependencies are what the lock says, between packages that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixi_ship.attest.component import Kind, components
from pixi_ship.attest.depends import top_level
from pixi_ship.attest.requires import wheel_requirements
from pixi_ship.errors import LockError

from ..conftest import TestData
from .attest_data import bill_of, conda, edges_by_name, selected, selection_of, wheel


def test_conda_component() -> None:
    """Everything that the record says has its place."""
    package = conda("attrs", "python >=3.9", license="MIT", purls=["pkg:pypi/attrs"])
    (found,) = components(selection_of(package))
    assert (found.kind, found.name, found.version) == (Kind.CONDA, "attrs", "1.0")
    assert (found.licence, found.supplier) == ("MIT", "conda-forge")
    assert (found.sha256, found.md5) == (package.sha256, package.md5)
    assert found.location == package.location
    assert found.purls[1:] == ("pkg:pypi/attrs@1.0",)
    assert found.ref == "conda:attrs-1.0-h0_0.conda"


def test_local_files_tell_nothing_of_the_machine() -> None:
    """A path is neither a download location nor a channel."""
    place = "file:///home/somebody/channel/"
    found = components(
        selection_of(conda("a", channel=place), wheel("b", location="/home/somebody/b.whl"))
    )
    assert [each.location for each in found] == [None, None]
    assert "somebody" not in repr(found)


def test_components_are_sorted_and_there_once() -> None:
    """The order is not the link order, which an added package can change."""
    selection = selection_of(conda("b"), wheel("z"), conda("a"), conda("b"))
    names = [each.name for each in components(selection)]
    assert names == ["a", "b", "z"]


def test_edges_of_conda_packages() -> None:
    """Names of match specs; virtual packages, absent ones and the package itself are no edges."""
    found = edges_by_name(
        (
            conda("a", "b >=1,<2", "__glibc >=2.17", "absent", "a", "conda-forge::c 1.*"),
            conda("b", "C"),
            conda("c", "d[version='>=1']"),
            conda("d"),
            conda("importlib-metadata", "importlib_metadata"),
            conda("importlib_metadata"),
        )
    )
    assert found == {
        "conda:a": ["conda:b", "conda:c"],
        "conda:b": ["conda:c"],
        "conda:c": ["conda:d"],
        "conda:d": [],
        "conda:importlib-metadata": ["conda:importlib_metadata"],
        "conda:importlib_metadata": [],
    }


def test_edges_of_wheels() -> None:
    """Wheels need wheels, and conda packages that stand for what they ask for."""
    packages = (
        conda("python-dateutil", purls=["pkg:pypi/python-dateutil"]),
        conda("pytorch", purls=["pkg:pypi/torch"]),
        conda("protobuf", purls=[]),
        conda("numpy"),
        wheel("top"),
        wheel("Typing_Extensions"),
    )
    lines = ("torch>=2", "protobuf", "numpy", "typing.extensions", "absent", "python-dateutil", "?")
    found = edges_by_name(packages, {"top": lines})
    assert found["pypi:top"] == [
        "conda:numpy",
        "conda:python-dateutil",
        "conda:pytorch",
        "pypi:Typing_Extensions",
    ]


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        ('x; python_version < "3.13"', True),
        ('x; python_version < "3.12"', False),
        ('x; python_full_version >= "3.12.4"', True),
        ('x; sys_platform == "win32"', False),
        ('x; os_name == "posix" and platform_system == "Linux"', True),
        ('x; platform_machine == "aarch64"', True),
        ('x; platform_machine == "x86_64"', False),
        ('x; implementation_name == "pypy"', False),
        ('x; platform_release >= "6"', False),
        ('x; extra == "test"', False),
    ],
)
def test_markers_are_the_targets(line: str, holds: bool) -> None:
    """Markers hold for the image's platform and Python, whatever machine this is."""
    found = edges_by_name((wheel("top"), wheel("x")), {"top": (line,)}, subdir="linux-aarch64")
    assert found["pypi:top"] == (["pypi:x"] if holds else [])


def test_extras_are_followed() -> None:
    """An extra counts from the moment another wheel asks for it, through extras of extras."""
    requires = {
        "a": ("b[all]",),
        "b": ('b[fast]; extra == "all"', 'x; extra == "fast"', 'y; extra == "slow"'),
    }
    found = edges_by_name((wheel("a"), wheel("b"), wheel("x"), wheel("y")), requires)
    assert found["pypi:b"] == ["pypi:x"]


def test_without_python_wheels_have_no_edges() -> None:
    """Nothing is known of a marker then."""
    found = edges_by_name((wheel("a"), wheel("b")), {"a": ("b",)}, python=None)
    assert found == {"pypi:a": [], "pypi:b": []}


@pytest.mark.parametrize(
    ("edges", "roots"),
    [
        ({"a": ("b",), "b": ("c",), "c": (), "d": ("c",)}, ("a", "d")),
        ({"a": ("b",), "b": ("a",), "c": ()}, ("a", "c")),
        ({"z": ("m",), "m": ("n",), "n": ("m",)}, ("z",)),
        ({}, ()),
    ],
)
def test_top_level(edges: dict[str, tuple[str, ...]], roots: tuple[str, ...]) -> None:
    """Everything can be reached from them, rings too."""
    assert top_level(edges) == roots


def test_wheels_of_a_lock(channel_data: TestData) -> None:
    """``requires_dist`` is read from the lock."""
    selection = selected(channel_data.workspace("numpy"))
    assert wheel_requirements(selection)["trinket"] == ("click>=8", "idna ; extra == 'names'")
    bill = bill_of(selection)
    refs = {each.name: each.ref for each in bill.components}
    assert bill.depends_on[refs["trinket"]] == (refs["click"],)


def test_a_lock_that_changed_is_refused(channel_data: TestData, tmp_path: Path) -> None:
    """Requirements of another lock would be a lie."""
    source = channel_data.workspace("numpy")
    for name in ("pixi.toml", "pixi.lock"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    selection = selected(tmp_path)
    with (tmp_path / "pixi.lock").open("a") as file:
        file.write("\n")
    with pytest.raises(LockError, match="not the lock the image was made from"):
        wheel_requirements(selection)
    (tmp_path / "pixi.lock").unlink()
    with pytest.raises(LockError, match="again"):
        wheel_requirements(selection)
