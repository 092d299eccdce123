"""A root filesystem as names and digests, put together layer by layer as runtimes do it.

Spec: OCI image-spec 1.1, ``layer.md``: a later entry replaces an earlier one, ``.wh.NAME``
removes a name, ``.wh..wh..opq`` all that lower layers have in a directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pixi_ship.tree import DIRECTORY_MODE, Directory, Entry, File, Hardlink, Symlink, parents

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True, slots=True)
class Node:
    """What a path is. content: a file's sha256, a link's target, else empty.

    attributes: a digest of extended attributes, empty where there are none.
    """

    kind: str
    mode: int
    size: int = 0
    content: str = ""
    owner: tuple[int, int] = (0, 0)
    attributes: str = ""

    def __str__(self) -> str:
        words = f"{self.kind} {self.mode:o}"
        if self.owner != (0, 0):
            words += f" owner {self.owner[0]}:{self.owner[1]}"
        if self.kind == "file":
            words += f" {self.size} bytes sha256:{self.content[:12]}…"
        elif self.content:
            words += f" -> {self.content}"
        return words + (" with extended attributes" if self.attributes else "")


_PLAIN_DIRECTORY = Node("directory", DIRECTORY_MODE)


@dataclass(slots=True)
class Folder:
    """A directory and what is in it."""

    node: Node = _PLAIN_DIRECTORY
    names: dict[str, Folder | Node] = field(default_factory=dict)

    def copy(self) -> Folder:
        """A folder that can be changed without changing this one."""
        names = {
            name: each.copy() if isinstance(each, Folder) else each
            for name, each in self.names.items()
        }
        return Folder(self.node, names)

    def paths(self, below: str = "") -> Iterator[tuple[str, Node]]:
        """Every path below the folder, with what it is."""
        for name, each in self.names.items():
            path = f"{below}{name}"
            if isinstance(each, Folder):
                yield path, each.node
                yield from each.paths(f"{path}/")
            else:
                yield path, each


class OddEntry(ValueError):
    """An entry that no honest layer has; the message says what it is."""


class Root:
    """A root filesystem that layers are laid over."""

    def __init__(self, folder: Folder | None = None) -> None:
        self.folder = folder or Folder()

    def copy(self) -> Root:
        """A root of its own."""
        return Root(self.folder.copy())

    def nodes(self) -> dict[str, Node]:
        """Every path of the root."""
        return dict(self.folder.paths())

    def lay_over(self, changes: Iterable[tuple[str, Node]]) -> list[str]:
        """Apply one layer; returns what is odd about its entries, a sentence each."""
        rows = list(changes)
        odd = []
        # What a layer hides is what lower layers have, wherever in the layer it says so.
        for path, node in sorted(rows, key=lambda row: not _hides(row[0])):
            try:
                self._apply(path, node)
            except OddEntry as error:
                odd.append(str(error))
        return odd

    def _apply(self, path: str, node: Node) -> None:
        above, _, name = path.rpartition("/")
        if name == _OPAQUE:
            self._folder(above, path).names.clear()
        elif name.startswith(_WHITEOUT):
            self._folder(above, path).names.pop(name.removeprefix(_WHITEOUT), None)
        else:
            self._put(self._folder(above, path), name, path, node)

    def _put(self, folder: Folder, name: str, path: str, node: Node) -> None:
        there = folder.names.get(name)
        if node.kind == "directory":
            if isinstance(there, Folder):
                there.node = node
            else:
                folder.names[name] = Folder(node)
        elif node.kind == "hardlink":
            folder.names[name] = self._target(path, node.content)
        else:
            folder.names[name] = node

    def _target(self, path: str, target: str) -> Node:
        above, _, name = target.rpartition("/")
        found = self._folder(above, path).names.get(name)
        if not isinstance(found, Node):
            raise OddEntry(f"{path} is a hard link to {target}, which is no file")
        return found

    def _folder(self, path: str, of: str) -> Folder:
        folder = self.folder
        for name in path.split("/") if path else ():
            there = folder.names.setdefault(name, Folder())
            if not isinstance(there, Folder):
                raise OddEntry(f"{of} lies below a {there.kind}: runtimes disagree what that is")
            folder = there
        return folder


def _hides(path: str) -> bool:
    return path.rpartition("/")[2].startswith(_WHITEOUT)


def tree_rows(entries: Iterable[Entry]) -> Iterator[tuple[str, Node]]:
    """The rows of a layer made of a tree, with the directories that its tar would have."""
    made: set[str] = set()
    for entry in entries:
        above = entry.path.rpartition("/")[0]
        wanted = entry.path if isinstance(entry, Directory) else above
        if wanted and wanted not in made:
            for path in (*parents(wanted), wanted):
                if path not in made:
                    made.add(path)
                    yield path, _PLAIN_DIRECTORY
        if isinstance(entry, File):
            digest = hashlib.sha256()
            for chunk in entry.content:
                digest.update(chunk)
            yield entry.path, Node("file", entry.mode, entry.size, digest.hexdigest())
        elif isinstance(entry, Symlink):
            yield entry.path, Node("symlink", 0o777, content=entry.target)
        elif isinstance(entry, Hardlink):
            yield entry.path, Node("hardlink", 0o644, content=entry.target)
