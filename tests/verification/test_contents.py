"""Layers laid over each other give what a plain model of paths gives, and what umoci unpacks."""

from __future__ import annotations

import hashlib
import shutil
import stat
import tarfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pixi_ship.layer.tar import TarWriter
from pixi_ship.tree import Directory, Entry, File, Hardlink, Symlink
from pixi_ship.verification.contents import Node, Root, noted

from ..contract.tools import need, output
from ..property.test_tar import trees
from .tamper import Image, Piece, joined, piece, pieces

Row = tuple[str, Node]
UNLISTED = "unlisted directory"

# --- a plain model: every path and what it is, nothing nested -------------------------------


def lie_below(state: dict[str, Node], path: str) -> list[str]:
    return [each for each in state if each.startswith(f"{path}/") or not path]


def forget(state: dict[str, Node], paths: Iterable[str]) -> None:
    for path in list(paths):
        state.pop(path, None)


def above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def reachable(state: dict[str, Node], path: str) -> bool:
    """Whether nothing above the path is anything but a directory."""
    return all(each not in state or "directory" in state[each].kind for each in above(path))


def laid_over(state: dict[str, Node], rows: list[Row]) -> None:
    """What the spec says of one layer, by paths alone."""
    hides = [row for row in rows if row[0].rpartition("/")[2].startswith(".wh.")]
    for path, node in [*hides, *(row for row in rows if row not in hides)]:
        if not reachable(state, path):
            continue
        for each in above(path):
            state.setdefault(each, Node(UNLISTED, 0o755))
        folder, _, name = path.rpartition("/")
        if name == ".wh..wh..opq":
            forget(state, lie_below(state, folder))
        elif name.startswith(".wh."):
            hidden = f"{folder}/{name[4:]}".lstrip("/")
            forget(state, [hidden, *lie_below(state, hidden)])
        elif node.kind == "directory":
            state[path] = node
        elif node.kind == "hardlink":
            target = state.get(node.content)
            if target and reachable(state, node.content) and "directory" not in target.kind:
                forget(state, lie_below(state, path))
                state[path] = replace(target, first=node.content)
        else:
            forget(state, lie_below(state, path))
            state[path] = node


names = st.sampled_from(["a", "b", "c"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
FILES = st.builds(lambda mode, text: Node("file", mode, 1, text), st.just(0o644), names)
LINKS = st.builds(lambda target: Node("symlink", 0o777, content=target), paths)
HARD = st.builds(lambda target: Node("hardlink", 0o644, content=target), paths)
FOLDERS = st.sampled_from([Node("directory", 0o755), Node("directory", 0o700)])
EMPTY = Node("file", 0)
hides = st.one_of(
    paths.map(lambda path: "/".join([*path.split("/")[:-1], f".wh.{path.split('/')[-1]}"])),
    paths.map(lambda path: f"{path}/.wh..wh..opq"),
    st.just(".wh..wh..opq"),
).map(lambda path: (path, EMPTY))
rows_of = st.one_of(st.tuples(paths, st.one_of(FILES, FILES, LINKS, HARD, FOLDERS, FOLDERS)), hides)
layers_of = st.lists(st.lists(rows_of, max_size=8), max_size=4)


@given(layers_of)
@example([[("a/b", Node("file", 0o644))], [(".wh.a", EMPTY), ("a", Node("directory", 0o755))]])
@example([[("a", Node("symlink", 0o777, content="b"))], [("a/c", Node("file", 0o644))]])
def test_a_root_is_its_paths(layers: list[list[Row]]) -> None:
    root, state = Root(), dict[str, Node]()
    for rows in layers:
        root.lay_over(rows)
        laid_over(state, rows)
        assert root.nodes() == state


@given(layers_of, st.lists(rows_of, max_size=8))
def test_a_copy_is_on_its_own(layers: list[list[Row]], more: list[Row]) -> None:
    root = Root()
    for rows in layers:
        root.lay_over(rows)
    before, copy = root.nodes(), root.copy()
    copy.lay_over(more)
    assert root.nodes() == before


@given(layers_of)
def test_odd_entries_are_told(layers: list[list[Row]]) -> None:
    """Every whiteout, every name that stands twice, and every entry that has no place."""
    root, state = Root(), dict[str, Node]()
    for rows in layers:
        odd = {each.path for each in root.lay_over(rows)}
        found = [path for path, _ in rows]
        assert {path for path in found if path.rpartition("/")[2].startswith(".wh.")} <= odd
        twice = {path for path, node in rows if found.count(path) > 1 and node.kind == "file"}
        last = {path: node.kind for path, node in rows}
        assert {path for path in twice if last[path] == "file"} <= odd
        laid_over(state, rows)
        assert set(found) - odd <= state.keys() | {
            path for path in found if any(path.startswith(f"{each}/") for each in found)
        }


@given(trees())
def test_notes_are_what_the_tar_holds(tree: list[tuple[str, str | bytes | None, int]]) -> None:
    """A tree's rows, taken while its tar is written, are the rows of reading that tar."""
    rows: list[Row] = []
    found: list[bytes] = []
    writer = TarWriter(found.append)
    writer.add_all(noted((_entry(*each) for each in tree), rows))
    writer.close()
    assert rows == [_row(each) for each in pieces(b"".join(found))]


def _entry(path: str, content: str | bytes | None, mode: int) -> Entry:
    if content is None:
        return Directory(path)
    if isinstance(content, str):
        return Symlink(path, content)
    return File(path, mode & 0o777, len(content), (content,))


def _row(found: Piece) -> Row:
    info = found.info
    if info.isdir():
        return found.path, Node("directory", info.mode)
    if info.issym():
        return found.path, Node("symlink", info.mode, content=info.linkname)
    digest = hashlib.sha256(found.data).hexdigest()
    return found.path, Node("file", info.mode, info.size, digest)


def test_a_hard_link_is_noted() -> None:
    rows: list[Row] = []
    for entry in noted([File("a", 0o755, 1, (b"x",)), Hardlink("d/b", "a")], rows):
        if isinstance(entry, File):
            assert b"".join(entry.content) == b"x"
    root = Root()
    assert root.lay_over(rows) == []
    assert root.nodes()["d/b"] == replace(root.nodes()["a"], first="a")


# --- umoci ------------------------------------------------------------------------------------


def folder(path: str, mode: int = 0o755) -> Piece:
    return piece(path, type=tarfile.DIRTYPE, mode=mode)


def link(path: str, target: str) -> Piece:
    return piece(path, type=tarfile.SYMTYPE, linkname=target, mode=0o777)


def hard(path: str, target: str) -> Piece:
    return piece(path, type=tarfile.LNKTYPE, linkname=target)


CASES: dict[str, list[list[Piece]]] = {
    "a file replaced": [[piece("a", b"1")], [piece("a", b"2", mode=0o755)]],
    "a file made a directory": [[piece("a", b"1")], [folder("a"), piece("a/b", b"2")]],
    "a directory made a file": [[folder("a"), piece("a/b", b"1")], [piece("a", b"2")]],
    "a directory made a link": [[folder("a"), piece("a/b", b"1")], [link("a", "c")]],
    "a link made a file": [[link("a", "c"), piece("c", b"1")], [piece("a", b"2")]],
    "a directory's mode": [[folder("a"), piece("a/b", b"1")], [folder("a", 0o700)]],
    "a file hidden": [[piece("a", b"1"), piece("b", b"2")], [piece(".wh.a")]],
    "a directory hidden": [[folder("a"), piece("a/b", b"1")], [piece(".wh.a")]],
    "a link hidden, not what it leads to": [
        [folder("a"), piece("a/b", b"1"), link("c", "a")],
        [piece(".wh.c")],
    ],
    "hidden, and there again": [
        [folder("a"), piece("a/b", b"1")],
        [piece(".wh.a"), folder("a"), piece("a/c", b"2")],
    ],
    "opaque": [
        [folder("a"), piece("a/b", b"1"), folder("a/d"), piece("a/d/e", b"2")],
        [folder("a"), piece("a/.wh..wh..opq"), piece("a/c", b"3")],
    ],
    "opaque, said at the end": [
        [folder("a"), piece("a/b", b"1")],
        [folder("a"), piece("a/c", b"2"), piece("a/.wh..wh..opq")],
    ],
    "a second name": [[piece("a", b"1", mode=0o755), hard("b", "a")]],
    "a second name of a file below": [[piece("a", b"1", mode=0o755)], [hard("b", "a")]],
    "a second name whose first is replaced": [
        [piece("a", b"1"), hard("b", "a")],
        [piece("a", b"2")],
    ],
    "a second name whose first is hidden": [[piece("a", b"1"), hard("b", "a")], [piece(".wh.a")]],
    "the same name twice": [[piece("a", b"1"), piece("a", b"2")]],
}


@pytest.mark.parametrize("name", CASES)
def test_umoci_unpacks_the_same(tmp_path: Path, name: str) -> None:
    need("umoci", root=True)
    layers = CASES[name]
    root = Root()
    for layer in layers:
        root.lay_over(
            (each.path, Node("hardlink", 0o644, content=each.info.linkname))
            if each.info.islnk()
            else _row(each)
            for each in layer
        )
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers"}}
    image = Image(config, [joined(layer) for layer in layers], {"schemaVersion": 2}, 0)
    image.write(tmp_path / "layout")
    output("umoci", "unpack", "--image", f"{tmp_path / 'layout'}:t", tmp_path / "bundle")
    try:
        unpacked = dict(_unpacked(tmp_path / "bundle" / "rootfs"))
    finally:
        shutil.rmtree(tmp_path / "bundle")
    assert unpacked == {path: replace(node, first="") for path, node in root.nodes().items()}


def _unpacked(root: Path) -> Iterable[Row]:
    for path in root.rglob("*"):
        told = path.lstat()
        name, mode = str(path.relative_to(root)), stat.S_IMODE(told.st_mode)
        if path.is_symlink():
            yield name, Node("symlink", 0o777, content=str(path.readlink()))
        elif path.is_dir():
            yield name, Node("directory", mode)
        else:
            data = path.read_bytes()
            yield name, Node("file", mode, len(data), hashlib.sha256(data).hexdigest())
