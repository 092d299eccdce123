"""The root filesystem of a SIF: as it has to be, and as it is.

Layers are laid over one another by the code that writes SIFs, with digests in the place of
contents. That code drops owners and extended attributes, so all is root's, and has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pixi_ship.errors import ImageError
from pixi_ship.sif.layers import KEEP, merged_root
from pixi_ship.squashfs.filesystem import Directory, Leaf
from pixi_ship.squashfs.format import InodeType
from pixi_ship.squashfs.pack import Content, Pack, Row
from pixi_ship.squashfs.read import SquashfsEntry, SquashfsReader
from pixi_ship.tree import Directory as TreeDirectory
from pixi_ship.tree import File, Symlink, Tree, checked_path
from pixi_ship.verification.contents import Node, attributes_digest

Rows = Iterable[tuple[str, Node]]

_SPECIAL = {"character device": "3", "block device": "4", "named pipe": "6"}
_KINDS = {
    InodeType.DIRECTORY: "directory",
    InodeType.FILE: "file",
    InodeType.SYMLINK: "symlink",
    InodeType.CHARACTER_DEVICE: "character device",
    InodeType.BLOCK_DEVICE: "block device",
    InodeType.FIFO: "named pipe",
    InodeType.SOCKET: "socket",
}


def expected_root(layers: Iterable[Rows], tree: Tree) -> dict[str, Node]:
    """What each path has to be, the root's own being empty; ``tree`` is what SIFs have besides.

    Of several names of a file all but the first, in the order of :func:`stored_root`, name
    that one. Raises ImageError for layers that no SIF can be made of.
    """
    contents = _Contents()
    packs = [Pack(tuple(contents.rows(rows)), (), 0) for rows in layers]
    packs.append(Pack(tuple(contents.tree_rows(tree)), (), 0))
    return dict(_walk(merged_root(packs), contents))


class _Contents:
    """Digests of files; a row's ``start`` tells which of them is its own."""

    def __init__(self) -> None:
        self._digests: list[str] = []

    def rows(self, rows: Rows) -> Iterator[Row]:
        for path, node in rows:
            if node.kind == "file":
                yield Row(path, "file", node.mode, content=self._content(node.size, node.content))
            elif node.kind == "hardlink":
                yield Row(path, "hardlink", node.mode, _target(path, node.content))
            elif node.kind in _SPECIAL:
                kind = f"special {_SPECIAL[node.kind]}"
                yield Row(path, kind, node.mode, device=node.device)
            elif node.kind != "special":  # what no root filesystem can hold is left out
                yield Row(path, node.kind, node.mode, node.content)

    def tree_rows(self, tree: Tree) -> Iterator[Row]:
        for entry in tree.entries():
            if isinstance(entry, File):
                digest = hashlib.sha256(b"".join(entry.content)).hexdigest()
                yield Row(entry.path, "file", entry.mode, content=self._content(entry.size, digest))
            elif isinstance(entry, TreeDirectory):
                yield Row(entry.path, "directory", KEEP)
            else:
                kind = "symlink" if isinstance(entry, Symlink) else "hardlink"
                yield Row(entry.path, kind, 0o777, entry.target)

    def node(self, leaf: Leaf) -> Node:
        """What a leaf has to be in a squashfs."""
        kind = _KINDS[leaf.kind]
        if leaf.content is None:
            return Node(kind, leaf.mode & 0o7777, content=leaf.target, device=leaf.device)
        digest = self._digests[leaf.content.start]
        return Node(kind, leaf.mode & 0o7777, leaf.content.size, digest)

    def _content(self, size: int, digest: str) -> Content:
        self._digests.append(digest)
        return Content(size, start=len(self._digests) - 1)


def _target(path: str, link: str) -> str:
    try:
        return checked_path(link)
    except ValueError as error:
        raise ImageError(f"a layer's {path!r} is a hard link: {error}") from None


def _walk(root: Directory, contents: _Contents) -> Iterator[tuple[str, Node]]:
    """Every path: a directory, then what is in it, by the bytes of names."""
    first: dict[int, str] = {}
    waiting: list[tuple[str, Directory | Leaf]] = [("", root)]
    while waiting:
        path, each = waiting.pop()
        if isinstance(each, Leaf):
            known = first.setdefault(id(each), path)
            yield path, replace(contents.node(each), first="" if known == path else known)
            continue
        yield path, Node("directory", each.mode & 0o7777)
        names = sorted(each.names, key=str.encode, reverse=True)
        waiting += [(f"{path}/{name}" if path else name, each.names[name]) for name in names]


def stored_root(reader: SquashfsReader, want: Mapping[str, Node]) -> dict[str, Node]:
    """What each path is. Of a file whose size is wrong the content is not read.

    A file that cannot be read is a damaged one. Raises ImageError where names cannot be.
    """
    found = {"": _node(reader.root, None)}
    for entry in reader.entries():
        if entry.kind == "hardlink":
            found[entry.path] = replace(found[entry.link], first=entry.link)
        else:
            found[entry.path] = _node(entry, want.get(entry.path))
    return found


def _node(entry: SquashfsEntry, want: Node | None) -> Node:
    kind, content = _KINDS[entry.type], entry.link
    if entry.kind == "file" and want is not None and want.size == entry.size:
        try:
            content = _digest(entry)
        except ImageError:
            kind = "damaged file"
    attributes = attributes_digest(entry.extended)
    return Node(kind, entry.mode, entry.size, content, entry.owner, attributes, device=entry.device)


def _digest(entry: SquashfsEntry) -> str:
    digest = hashlib.sha256()
    for chunk in entry.chunks():
        digest.update(chunk)
    return digest.hexdigest()
