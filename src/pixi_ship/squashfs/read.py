"""Read a squashfs, as a partition of a SIF or a file of its own, without mounting it.

Source: the kernel's ``fs/squashfs`` and its documentation, and the format as squashfs-tools-ng
writes it down (``doc/format.adoc``). What the kernel would not show as it is written here
(names out of order, two inodes of one number, types that disagree) is an error and no guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from pixi_ship.errors import ImageError
from pixi_ship.squashfs.attributes import Attributes
from pixi_ship.squashfs.compress import expander
from pixi_ship.squashfs.contents import Contents
from pixi_ship.squashfs.format import METADATA_SIZE, SUPERBLOCK, InodeType
from pixi_ship.squashfs.inode import Inode, Named, read_inode, read_listing
from pixi_ship.squashfs.metadata import Blocks, LookupTable, Stretch
from pixi_ship.squashfs.superblock import Superblock

_MAX_ENTRIES = 1_000_000
_LONG = 256  # bytes of a path that count as one entry more
_MAX_PATH = 4095  # bytes that Linux takes (PATH_MAX, less the NUL); bounds the depth too
# Blocks of zeros shrink without end, real files 2 to 20-fold.
_MAX_RATIO = 1000
_MIN_LIMIT = 4 << 30  # bytes
_MAX_UNPACKED = 256 << 30  # bytes

_ID_SIZE = 4
_KINDS = {
    InodeType.DIRECTORY: "directory",
    InodeType.FILE: "file",
    InodeType.SYMLINK: "symlink",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SquashfsEntry:
    """A name in a squashfs. ``kind``: 'file', 'symlink', 'hardlink', 'directory', or 'special'.

    link: the target of a symbolic link; of a hard link (any further name of an inode) the
    first path. owner: user and group by number. device: of a special file that is one.
    extended: its attributes as pax records ``SCHILY.xattr.NAME``. inode: its number. type:
    what the inode is. size: bytes, 0 for all but files.
    """

    path: str
    kind: str
    mode: int
    size: int = 0
    link: str = ""
    owner: tuple[int, int]
    device: int = 0
    extended: Mapping[str, bytes]
    inode: int
    type: InodeType
    _open: Callable[[], Iterator[bytes]] = field(repr=False, compare=False)

    def chunks(self) -> Iterator[bytes]:
        """The content, in pieces of up to 1 MiB; none but for files. Raises ImageError."""
        return self._open()


class SquashfsReader:
    """A squashfs in ``size`` bytes of a file from ``offset`` on; a context manager.

    max_entries: names at most, of which long paths count as several. max_unpacked: bytes that
    files have together at most, and that all that is read may unpack to; by default a
    thousandfold of the size. The constructor raises ImageError for what is no squashfs 4.0
    compressed by gzip, xz or zstd.
    """

    def __init__(
        self,
        path: Path,
        offset: int,
        size: int,
        *,
        max_entries: int = _MAX_ENTRIES,
        max_unpacked: int | None = None,
    ) -> None:
        if max_unpacked is None:
            max_unpacked = min(max(_MIN_LIMIT, size * _MAX_RATIO), _MAX_UNPACKED)
        self._max_entries = max_entries
        self._max_unpacked = max_unpacked
        self._stretch = stretch = Stretch(path, offset, size, max_unpacked)
        try:
            head = stretch.read(0, min(size, SUPERBLOCK.size))
            self.superblock = Superblock.unpack(head, size, str(path))
            stretch.size = self.superblock.used
            self._blocks = Blocks(stretch, self._expander())
            self._ids = LookupTable(
                self._blocks, self.superblock.id_table, self.superblock.ids, _ID_SIZE
            )
            self._owners: dict[int, int] = {}
            self._attributes = Attributes(self._blocks, self.superblock.xattr_table)
            self._contents = Contents(self._blocks, self.superblock)
        except BaseException:
            stretch.close()
            raise

    def __enter__(self) -> SquashfsReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stretch.close()

    @property
    def root(self) -> SquashfsEntry:
        """The root directory; its path is empty. Raises ImageError."""
        return self._entry("", self._root())

    def entries(self) -> Iterator[SquashfsEntry]:
        """Every name below the root: a directory, then what is in it, by the bytes of names.

        Raises ImageError for what cannot be, or is more than the limits allow.
        """
        walk = _Walk(self._stretch, self.superblock.inodes, self._max_entries, self._max_unpacked)
        root = self._root()
        walk.first_path(root, self._place(self.superblock.root), "")
        waiting = [(b"", self._listing(root))]
        while waiting:
            above, names = waiting[-1]
            named = next(names, None)
            if named is None:
                waiting.pop()
                continue
            raw = above + named.name
            path = walk.path(raw)
            inode = self._named_inode(named)
            first = walk.first_path(inode, named.place, path)
            entry = self._entry(path, inode, first)
            walk.count(entry.size)
            yield entry
            if inode.type is InodeType.DIRECTORY:
                waiting.append((raw + b"/", self._listing(inode)))

    def _listing(self, directory: Inode) -> Iterator[Named]:
        return read_listing(self._blocks, self.superblock.directory_table, directory)

    def _expander(self) -> Callable[[bytes, int], bytes]:
        try:
            return expander(self.superblock.compression)
        except ImageError as error:
            raise ImageError(f"reading {self._stretch.where}: {error}", hint=error.hint) from None

    @staticmethod
    def _place(reference: int) -> tuple[int, int]:
        return reference >> 16, reference & 0xFFFF

    def _root(self) -> Inode:
        inode = self._inode(self._place(self.superblock.root))
        if inode.type is not InodeType.DIRECTORY:
            raise self._stretch.damaged("has a root that is no directory")
        return inode

    def _named_inode(self, named: Named) -> Inode:
        inode = self._inode(named.place)
        if (inode.type, inode.number) != (named.type, named.number):
            raise self._stretch.damaged(f"lists {named.name!r} as another inode than it is")
        return inode

    def _inode(self, place: tuple[int, int]) -> Inode:
        block, offset = place
        if offset >= METADATA_SIZE:
            raise self._stretch.damaged(f"refers to an inode at {offset} of a metadata block")
        return read_inode(self._blocks, self.superblock.inode_table + block, offset)

    def _entry(self, path: str, inode: Inode, first: str | None = None) -> SquashfsEntry:
        user, group = inode.owner
        is_file = inode.type is InodeType.FILE and first is None
        return SquashfsEntry(
            path=path,
            kind=_KINDS.get(inode.type, "special") if first is None else "hardlink",
            mode=inode.mode,
            size=inode.size if is_file else 0,
            link=_text(inode.target) if first is None else first,
            owner=(self._owner(user), self._owner(group)),
            device=inode.device,
            extended=self._attributes.of(inode.xattrs),
            inode=inode.number,
            type=inode.type,
            _open=(lambda: self._contents.chunks(inode)) if is_file else _nothing,
        )

    def _owner(self, index: int) -> int:
        found = self._owners.get(index)
        if found is None:
            found = int.from_bytes(self._ids.record(index, "owner"), "little")
            self._owners[index] = found
        return found


class _Walk:
    """What a walk has met so far, held against the limits."""

    def __init__(self, stretch: Stretch, inodes: int, entries: int, unpacked: int) -> None:
        self._stretch = stretch
        self._inodes = inodes
        self._entries = entries
        self._unpacked = unpacked
        self._first: dict[int, tuple[tuple[int, int], str]] = {}
        self._replaced: set[str] = set()

    def path(self, raw: bytes) -> str:
        """Count a path, and give it as text; two that are the same as text are an error."""
        if len(raw) > _MAX_PATH:
            raise self._stretch.damaged(f"has a path of more than {_MAX_PATH} bytes")
        self._entries -= 1 + len(raw) // _LONG
        if self._entries < 0:
            raise self._stretch.damaged("has more entries than any image needs")
        path = _text(raw)
        if "\N{REPLACEMENT CHARACTER}" in path:
            if path in self._replaced:
                raise self._stretch.damaged(f"has two names outside UTF-8 that read as {path!r}")
            self._replaced.add(path)
        return path

    def first_path(self, inode: Inode, place: tuple[int, int], path: str) -> str | None:
        """The path that an inode was met under before, if it was; that is no directory's.

        The kernel tells inodes apart by number alone, so there must be one place for each.
        """
        if not 1 <= inode.number <= self._inodes:
            raise self._stretch.damaged(f"has inode {inode.number}, it has {self._inodes}")
        known = self._first.setdefault(inode.number, (place, path))
        if known[0] != place:
            raise self._stretch.damaged(f"has two inodes of number {inode.number}")
        if known[1] == path:
            return None
        if inode.type is InodeType.DIRECTORY:
            raise self._stretch.damaged(f"has directory {known[1]!r} a second time, as {path!r}")
        return known[1]

    def count(self, size: int) -> None:
        """Count the bytes of a file."""
        self._unpacked -= size
        if self._unpacked < 0:
            raise self._stretch.damaged(
                "has files of more bytes than it may (a decompression bomb?)"
            )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _nothing() -> Iterator[bytes]:
    return iter(())
