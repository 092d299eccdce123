"""A root filesystem as names and digests, put together layer by layer as runtimes do it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pixi_ship.errors import ImageError
from pixi_ship.oci.layer_tar import OPAQUE, WHITEOUT
from pixi_ship.tree import DIRECTORY_MODE, Directory, Entry, File, Hardlink, Symlink, parents

_XATTR = "SCHILY.xattr."
_MAX_UNLISTED = 1_000_000


@dataclass(frozen=True, slots=True)
class Node:
    """What a path is. content: a file's sha256, a link's target, else empty.

    attributes: a digest of extended attributes, empty where there are none. first: for a
    second name of a file, the name that its hard link gives. device: its number, of one.
    """

    kind: str
    mode: int
    size: int = 0
    content: str = ""
    owner: tuple[int, int] = (0, 0)
    attributes: str = ""
    first: str = ""
    device: int = 0

    def __str__(self) -> str:
        words = f"{self.kind} {self.mode:o}"
        if self.owner != (0, 0):
            words += f" owner {self.owner[0]}:{self.owner[1]}"
        if self.kind == "file":
            words += f" {self.size} bytes"
            words += f" sha256:{self.content[:12]}…" if self.content else ""
        elif self.device:
            words += f" {self.device:#x}"
        elif self.content:
            words += f" -> {self.content}"
        if self.first:
            words += f", a hard link to {self.first}"
        return words + (" with extended attributes" if self.attributes else "")


_PLAIN_DIRECTORY = Node("directory", DIRECTORY_MODE)
# No entry gives it a mode or an owner: each runtime has its own idea of them.
_UNLISTED = Node("unlisted directory", DIRECTORY_MODE)


@dataclass(slots=True)
class Folder:
    """A directory and what is in it."""

    node: Node = _UNLISTED
    names: dict[str, Folder | Node] = field(default_factory=dict)

    def copy(self) -> Folder:
        """A folder that can be changed without changing this one."""
        whole = Folder(self.node)
        waiting = [(self, whole)]
        while waiting:  # no recursion: paths of an image may be as deep as they like
            source, target = waiting.pop()
            for name, each in source.names.items():
                if isinstance(each, Folder):
                    target.names[name] = below = Folder(each.node)
                    waiting.append((each, below))
                else:
                    target.names[name] = each
        return whole

    def paths(self) -> Iterator[tuple[str, Node]]:
        """Every path below the folder, with what it is."""
        waiting = [("", self)]
        while waiting:
            above, folder = waiting.pop()
            for name, each in folder.names.items():
                path = f"{above}{name}"
                if isinstance(each, Folder):
                    yield path, each.node
                    waiting.append((f"{path}/", each))
                else:
                    yield path, each


@dataclass(frozen=True, slots=True)
class OddEntry:
    """An entry that no layer of ours has; the problem says what is odd about it."""

    path: str
    problem: str


class _Astray(ValueError):
    """An entry that has no place in the root; the message is the problem."""


class Root:
    """A root filesystem that layers are laid over."""

    def __init__(self, folder: Folder | None = None) -> None:
        self.folder = folder or Folder()
        self._unlisted = 0

    def copy(self) -> Root:
        """A root of its own."""
        return Root(self.folder.copy())

    def nodes(self) -> dict[str, Node]:
        """Every path of the root."""
        return dict(self.folder.paths())

    def lay_over(self, changes: Iterable[tuple[str, Node]]) -> list[OddEntry]:
        """Apply one layer; returns its odd entries, of which those astray are left out."""
        rows = list(changes)
        odd, seen = [], set()
        # What a layer hides is what lower layers have, wherever in the layer it says so.
        for path, node in sorted(rows, key=lambda row: not _hides(row[0])):
            if _hides(path):
                odd.append(OddEntry(path, "a whiteout"))
            elif path in seen and node.kind != "directory":
                odd.append(OddEntry(path, "a second entry of that name in its layer"))
            seen.add(path)
            try:
                self._apply(path, node)
            except _Astray as error:
                odd.append(OddEntry(path, str(error)))
        return odd

    def _apply(self, path: str, node: Node) -> None:
        above, _, name = path.rpartition("/")
        folder = self._folder(above)
        if name == OPAQUE:
            folder.names.clear()
        elif name.startswith(WHITEOUT):
            folder.names.pop(name.removeprefix(WHITEOUT), None)
        elif node.kind == "directory":
            there = folder.names.get(name)
            if isinstance(there, Folder):
                there.node = node
            else:
                folder.names[name] = Folder(node)
        elif node.kind == "hardlink":
            folder.names[name] = self._target(node.content)
        else:
            folder.names[name] = node

    def _target(self, target: str) -> Node:
        above, _, name = target.rpartition("/")
        found = self._folder(above, make=False).names.get(name)
        if not isinstance(found, Node):
            raise _Astray(f"a hard link to {target!r}, which is no file")
        return replace(found, first=target)

    def _folder(self, path: str, *, make: bool = True) -> Folder:
        folder = self.folder
        for name in path.split("/") if path else ():
            there = folder.names.get(name)
            if there is None:
                there = Folder()
                if make:
                    self._count_unlisted()
                    folder.names[name] = there
            if not isinstance(there, Folder):
                raise _Astray(f"it lies below a {there.kind}: runtimes disagree where that is")
            folder = there
        return folder

    def _count_unlisted(self) -> None:
        # An entry of 4 KiB may imply 2000 directories: without a bound, a small image fills memory.
        self._unlisted += 1
        if self._unlisted > _MAX_UNLISTED:
            raise ImageError(f"the image's layers leave {_MAX_UNLISTED} directories unlisted")


def _hides(path: str) -> bool:
    return path.rpartition("/")[2].startswith(WHITEOUT)


def attributes_digest(extended: Mapping[str, bytes]) -> str:
    """A digest of the extended attributes among pax records; empty where there are none."""
    rows = sorted((key, value) for key, value in extended.items() if key.startswith(_XATTR))
    return hashlib.sha256(repr(rows).encode()).hexdigest() if rows else ""


def noted(entries: Iterable[Entry], rows: list[tuple[str, Node]]) -> Iterator[Entry]:
    """Pass a tree's entries on, and note in ``rows`` what a tar of them holds.

    A file's row is there once its content was taken.
    """
    made: set[str] = set()
    for entry in entries:
        above = entry.path.rpartition("/")[0]
        wanted = entry.path if isinstance(entry, Directory) else above
        if wanted and wanted not in made:
            for path in (*parents(wanted), wanted):
                if path not in made:
                    made.add(path)
                    rows.append((path, _PLAIN_DIRECTORY))
        if isinstance(entry, File):
            digest = hashlib.sha256()
            content = _watched(entry.content, digest.update)
            yield File(entry.path, entry.mode, entry.size, content)
            rows.append((entry.path, Node("file", entry.mode, entry.size, digest.hexdigest())))
            continue
        yield entry
        if isinstance(entry, Symlink):
            rows.append((entry.path, Node("symlink", 0o777, content=entry.target)))
        elif isinstance(entry, Hardlink):
            rows.append((entry.path, Node("hardlink", 0o644, content=entry.target)))


def _watched(chunks: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for chunk in chunks:
        update(chunk)
        yield chunk
