"""Layers laid over one another give the root filesystem that runtimes would make of them."""

from __future__ import annotations

import pytest

from pixi_ship.errors import ImageError
from pixi_ship.sif.layers import KEEP, merged_root
from pixi_ship.squashfs.filesystem import Directory, Leaf
from pixi_ship.squashfs.pack import Pack, Row


def laid(*layers: list[Row]) -> Directory:
    return merged_root([Pack(tuple(rows), (), 0) for rows in layers])


def at(root: Directory, path: str) -> Directory | Leaf:
    found: Directory | Leaf = root
    for name in path.split("/"):
        assert isinstance(found, Directory)
        found = found.names[name]
    return found


def test_a_directory_that_is_only_to_be_there() -> None:
    """What Apptainer wants in a root must not replace what the image has instead."""
    link = Row("home", "symlink", 0o777, "var/home")
    wanted = [Row("home", "directory", KEEP), Row("tmp", "directory", KEEP)]
    root = laid([link, Row("tmp", "directory", 0o1777)], wanted)
    home, tmp = at(root, "home"), at(root, "tmp")
    assert isinstance(home, Leaf)
    assert home.target == "var/home"
    assert isinstance(tmp, Directory)
    assert tmp.mode == 0o1777


def test_a_file_below_a_link_of_a_lower_layer() -> None:
    lower = [Row("usr/lib", "directory", 0o755), Row("lib", "symlink", 0o777, "usr/lib")]
    root = laid(lower, [Row("lib/one", "file", 0o644)])
    assert isinstance(at(root, "usr/lib/one"), Leaf)
    assert isinstance(at(root, "lib"), Leaf)


@pytest.mark.parametrize(
    ("whiteout", "left"), [("a/.wh.one", {"two", "new"}), ("a/.wh..wh..opq", {"new"})]
)
def test_whiteouts(whiteout: str, left: set[str]) -> None:
    lower = [Row("a/one", "file", 0o644), Row("a/two", "file", 0o644)]
    root = laid(lower, [Row("a/new", "file", 0o644), Row(whiteout, "file", 0o644)])
    found = at(root, "a")
    assert isinstance(found, Directory)
    assert set(found.names) == left


def test_links_in_a_circle() -> None:
    circle = [Row("a", "symlink", 0o777, "b"), Row("b", "symlink", 0o777, "a")]
    with pytest.raises(ImageError, match="below 'a', which is no directory"):
        laid(circle, [Row("a/file", "file", 0o644)])


def test_a_link_above_the_root_stays_in_it() -> None:
    root = laid([Row("up", "symlink", 0o777, "../../../etc")], [Row("up/file", "file", 0o644)])
    assert isinstance(at(root, "etc/file"), Leaf)
