"""Wheels as trees, against what PyPA `installer` itself puts into a directory."""

from __future__ import annotations

import csv
import io
import posixpath
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile

from pixi_ship.errors import PackageError
from pixi_ship.prefix.layout import Placement, PrefixLayout
from pixi_ship.prefix.python import PythonInfo
from pixi_ship.prefix.wheel import INSTALLER, WheelTree, wheel_paths
from pixi_ship.tree import File

from ..conftest import TestData

PREFIX = "/app/.pixi/envs/default"
SITE = "lib/python3.11/site-packages"
LAYOUT = PrefixLayout(PREFIX, PythonInfo(3, 11, SITE))
NOWHERE = Placement()


@dataclass(frozen=True)
class Laid:
    executable: bool
    content: bytes


def ours(path: Path, placement: Placement = NOWHERE) -> dict[str, Laid]:
    found = {}
    for entry in WheelTree(path.name, path, LAYOUT, placement).entries():
        assert isinstance(entry, File)
        assert entry.mode in (0o644, 0o755)
        content = b"".join(entry.content)
        assert len(content) == entry.size
        found[entry.path.removeprefix(f"{PREFIX[1:]}/")] = Laid(entry.mode == 0o755, content)
    return found


def installers(path: Path, root: Path) -> dict[str, Laid]:
    name = path.name.split("-")[0]
    schemes = {
        "purelib": root / SITE,
        "platlib": root / SITE,
        "scripts": root / "bin",
        "data": root,
        "headers": root / "include/python3.11" / name,
    }
    destination = SchemeDictionaryDestination(
        {key: str(value) for key, value in schemes.items()},
        interpreter=f"{PREFIX}/bin/python3.11",
        script_kind="posix",
    )
    with WheelFile.open(path) as source:
        install(source, destination, {"INSTALLER": INSTALLER})
    return {
        found.relative_to(root).as_posix(): Laid(
            bool(found.stat().st_mode & 0o100), found.read_bytes()
        )
        for found in root.rglob("*")
        if found.is_file()
    }


def rows(content: bytes) -> list[list[str]]:
    """The rows of a RECORD by clean paths: installer writes "./" where schemes share a place."""
    found = csv.reader(io.StringIO(content.decode()))
    return sorted([posixpath.normpath(path), *rest] for path, *rest in found)


@pytest.mark.parametrize("name", ["numpy", "click", "trinket", "idna", "markupsafe"])
def test_a_wheel_is_laid_out_as_installer_does(
    name: str, channel_data: TestData, tmp_path: Path
) -> None:
    path = channel_data.wheel(name).path
    mine, theirs = ours(path), installers(path, tmp_path)
    records = [each for each in theirs if each.endswith(".dist-info/RECORD")]
    assert len(records) == 1
    assert rows(mine.pop(records[0]).content) == rows(theirs.pop(records[0]).content)
    assert mine.keys() == theirs.keys()
    # installer leaves a script that is no Python its mode; uv, whom Pixi asks, makes it a program.
    for each in [each for each in theirs if each.startswith("bin/")]:
        theirs[each] = replace(theirs[each], executable=True)
    assert [each for each in mine if mine[each] != theirs[each]] == []


def test_the_paths_of_a_wheel_are_known_without_reading_its_files(channel_data: TestData) -> None:
    path = channel_data.wheel("trinket").path
    assert list(wheel_paths(path.name, path, LAYOUT)) == sorted(ours(path))


def test_a_path_that_another_wheel_replaces_is_left_out(channel_data: TestData) -> None:
    path = channel_data.wheel("trinket").path
    dropped = f"{SITE}/trinket/cli.py"
    mine = ours(path, Placement(dropped=frozenset({dropped})))
    assert mine.keys() == ours(path).keys() - {dropped}


def wheel(folder: Path, *, entry_points: str = "", **files: str) -> Path:
    """A small wheel `w`; names of files have `__` for `/`."""
    info = "w-1.0.dist-info"
    members = {name.replace("__", "/"): text for name, text in files.items()}
    members |= {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: w\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if entry_points:
        members[f"{info}/entry_points.txt"] = entry_points
    members[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*members, f"{info}/RECORD"])
    path = folder / "w-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def test_an_entry_point_named_as_a_script_of_the_wheel_is_refused(tmp_path: Path) -> None:
    path = wheel(
        tmp_path,
        entry_points="[console_scripts]\ncmd = w:main\n",
        **{"w-1.0.data__scripts__cmd": "#!python\n"},
    )
    with pytest.raises(PackageError, match="twice"):
        ours(path)


def test_a_command_of_both_kinds_is_refused(tmp_path: Path) -> None:
    points = "[console_scripts]\ncmd = w:main\n[gui_scripts]\ncmd = w:other\n"
    with pytest.raises(PackageError, match="twice"):
        ours(wheel(tmp_path, entry_points=points))


def test_an_entry_point_that_climbs_out_is_refused(tmp_path: Path) -> None:
    points = "[console_scripts]\n../../cmd = w:main\n"
    with pytest.raises(PackageError):
        ours(wheel(tmp_path, entry_points=points))


def test_a_wheel_without_a_python_is_refused(tmp_path: Path) -> None:
    path = wheel(tmp_path, w="x = 1\n")
    tree = WheelTree(path.name, path, PrefixLayout(PREFIX, None), NOWHERE)
    with pytest.raises(PackageError, match="no python"):
        list(tree.entries())


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w-1.0-py3-none-any.whl"
    path.write_bytes(b"nothing")
    with pytest.raises(PackageError, match="damaged"):
        ours(path)
