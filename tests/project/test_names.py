"""Names that would take files away from an image, and includes that their own text gives back."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixi_ship.errors import ProjectError
from pixi_ship.project.find import find_files
from pixi_ship.project.include import parse_include


@pytest.mark.parametrize("name", [".wh.x", ".wh..wh..opq", "d/.wh.y", ".wh.d/y"])
def test_a_name_that_hides_others_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "src" / name
    path.parent.mkdir(parents=True)
    path.write_text("x")
    with pytest.raises(ProjectError, match="hides others in a layer"):
        find_files(tmp_path, "pixi.toml", [parse_include("src")])


@pytest.mark.parametrize("dest", ["/app", "/etc", "/usr"])
def test_a_file_takes_no_directorys_place(tmp_path: Path, dest: str) -> None:
    (tmp_path / "run.py").write_text("x")
    with pytest.raises(ProjectError, match="is a directory of the image"):
        find_files(tmp_path, "pixi.toml", [parse_include(f"run.py:{dest}")])


@pytest.mark.parametrize("text", ["src", "a:b", "run.py:tools/", "run.py:.", "x:/etc/y", "a:b:"])
def test_the_text_of_an_include_gives_it_back(text: str) -> None:
    include = parse_include(text)
    assert parse_include(str(include)) == include
