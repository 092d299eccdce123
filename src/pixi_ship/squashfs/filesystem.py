"""A squashfs made of packs: their data copied, and tables of inodes and directories written.

The bytes follow from the nodes and packs alone. Nothing of a file's content is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pixi_ship.errors import ImageError
from pixi_ship.squashfs.compress import Codec, compressor
from pixi_ship.squashfs.format import (
    BASIC_DIRECTORY,
    BASIC_FILE,
    BLOCK_LOG,
    BLOCK_SIZE,
    CODEC_OPTIONS,
    DEVICE,
    DIRECTORY_ENTRY,
    DIRECTORY_HEADER,
    DIRECTORY_INDEX,
    EXTENDED_DIRECTORY,
    EXTENDED_FILE,
    FIFO,
    FRAGMENT,
    HEADER,
    INODE,
    MAGIC,
    MAX_ENTRIES,
    MAX_INDEXES,
    MAX_NAME,
    METADATA_RAW,
    METADATA_SIZE,
    NO_XATTRS,
    NONE_32,
    NONE_64,
    POINTER,
    SUPERBLOCK,
    SYMLINK,
    InodeType,
    SquashfsCompression,
)
from pixi_ship.squashfs.pack import Content, Pack

_ALIGNMENT = 4096  # a loop device takes whole pages
_MAX_16, _MAX_32 = 0xFFFF, 0xFFFFFFFF


@dataclass(slots=True, eq=False)
class Leaf:
    """Anything but a directory. links: how many names it has.

    pack: which of the packs has the content of a file.
    """

    kind: InodeType
    mode: int
    target: str = ""
    content: Content | None = None
    pack: int = 0
    device: int = 0
    links: int = 1


@dataclass(slots=True, eq=False)
class Directory:
    """A directory; a leaf may stand under several names."""

    mode: int = 0o755
    names: dict[str, Directory | Leaf] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Filesystem:
    """A squashfs about to be written.

    superblock: what comes before the packs' data, the codec's options too. tables: what comes
    after, padding too. size: bytes in all.
    """

    superblock: bytes
    tables: bytes
    size: int


class _Table:
    """Metadata blocks in the making; a place is (start of its block, offset in it)."""

    def __init__(self, compress: Codec) -> None:
        self._compress = compress
        self._pending = bytearray()
        self.data = bytearray()
        self.starts: list[int] = []

    @property
    def place(self) -> tuple[int, int]:
        return len(self.data), len(self._pending)

    def block_of(self, number: int) -> int:
        """Where a block starts; number: of the block, counted from the table's first."""
        return self.starts[number] if number < len(self.starts) else len(self.data)

    def add(self, record: bytes) -> tuple[int, int]:
        place = self.place
        self._pending += record
        while len(self._pending) >= METADATA_SIZE:
            self._flush()
        return place

    def close(self) -> bytes:
        if self._pending:
            self._flush()
        return bytes(self.data)

    def _flush(self) -> None:
        block = bytes(self._pending[:METADATA_SIZE])
        del self._pending[:METADATA_SIZE]
        packed = self._compress(block)
        self.starts.append(len(self.data))
        if len(packed) < len(block):
            self.data += HEADER.pack(len(packed)) + packed
        else:
            self.data += HEADER.pack(len(block) | METADATA_RAW) + block


def make_filesystem(
    root: Directory, packs: Sequence[Pack], compression: SquashfsCompression, time: int
) -> Filesystem:
    """Write the tables of a filesystem that has the packs one after the other.

    time: seconds since 1970, of everything. All owners are root, as in images that an
    ordinary user makes. Raises ImageError for a name that is too long.
    """
    return _Maker(packs, compression, time).make(root)


class _Maker:
    def __init__(self, packs: Sequence[Pack], compression: SquashfsCompression, time: int) -> None:
        self._compression = compression
        self._compress = compressor(compression)
        self._time = time
        self._inodes = _Table(self._compress)
        self._directories = _Table(self._compress)
        self._numbers: dict[int, int] = {}
        self._places: dict[int, tuple[int, int]] = {}
        self._starts: list[int] = []
        self._first_fragment: list[int] = []
        self._fragments: list[tuple[int, int]] = []
        at = SUPERBLOCK.size + len(compression.options)
        for pack in packs:
            self._starts.append(at)
            self._first_fragment.append(len(self._fragments))
            self._fragments += [(at + start, size) for start, size in pack.fragments]
            at += pack.size
        self._data_end = at

    def make(self, root: Directory) -> Filesystem:
        self._number(root)
        place = self._directory(root, len(self._numbers) + 1)
        inodes, directories = self._inodes.close(), self._directories.close()
        inode_start = self._data_end
        directory_start = inode_start + len(inodes)
        fragments, fragment_start = self._pointed(
            directory_start + len(directories),
            b"".join(FRAGMENT.pack(start, size, 0) for start, size in self._fragments),
        )
        ids, id_start = self._pointed(
            directory_start + len(directories) + len(fragments), struct.pack("<I", 0)
        )
        tables = inodes + directories + fragments + ids
        end = inode_start + len(tables)
        superblock = SUPERBLOCK.pack(
            MAGIC,
            len(self._numbers),
            self._time,
            BLOCK_SIZE,
            len(self._fragments),
            self._compression.number,
            BLOCK_LOG,
            NO_XATTRS | (CODEC_OPTIONS if self._compression.options else 0),
            1,  # ids
            4,
            0,
            place[0] << 16 | place[1],
            end,
            id_start,
            NONE_64,
            inode_start,
            directory_start,
            fragment_start if self._fragments else NONE_64,
            NONE_64,
        )
        padding = bytes(-end % _ALIGNMENT)
        head = superblock + self._compression.options
        return Filesystem(head, tables + padding, end + len(padding))

    def _pointed(self, at: int, records: bytes) -> tuple[bytes, int]:
        """A table that is found by a list of pointers to its blocks, and where that list is."""
        table = _Table(self._compress)
        table.add(records)
        blocks = table.close()
        pointers = b"".join(POINTER.pack(at + start) for start in table.starts)
        return blocks + pointers, at + len(blocks)

    def _number(self, root: Directory) -> None:
        """Give every inode its number, parents after their children, as they are written."""
        for node in _post_order(root):
            self._numbers.setdefault(id(node), len(self._numbers) + 1)

    def _directory(self, root: Directory, above_root: int) -> tuple[int, int]:
        """Write the inodes of a whole tree, children first; returns the root's place."""
        parents = {id(root): above_root}
        for directory in _pre_order(root):
            for child in directory.names.values():
                if isinstance(child, Directory):
                    parents[id(child)] = self._numbers[id(directory)]
        for node in _post_order(root):
            if id(node) in self._places:
                continue
            if isinstance(node, Directory):
                record = self._directory_inode(node, parents[id(node)])
            else:
                record = self._leaf_inode(node)
            self._places[id(node)] = self._inodes.add(record)
        return self._places[id(root)]

    def _head(self, kind: InodeType, mode: int, node: Directory | Leaf) -> bytes:
        number = self._numbers[id(node)]
        return INODE.pack(kind, mode & 0o7777, 0, 0, self._time, number)

    def _directory_inode(self, directory: Directory, parent: int) -> bytes:
        runs = self._runs(directory)
        listing = b"".join(run for _, run in runs)
        size = len(listing) + 3  # the kernel counts "." and ".." so
        links = 2 + sum(isinstance(each, Directory) for each in directory.names.values())
        number = len(self._directories.starts)
        block, offset = self._directories.place
        if listing:
            self._directories.add(listing)
        indexes = self._indexes(runs, number, offset)
        if size <= _MAX_16 and not indexes:
            head = self._head(InodeType.DIRECTORY, directory.mode, directory)
            return head + BASIC_DIRECTORY.pack(block, links, size, offset, parent)
        head = self._head(InodeType.EXTENDED_DIRECTORY, directory.mode, directory)
        row = EXTENDED_DIRECTORY.pack(links, size, block, parent, len(indexes), offset, NONE_32)
        return head + row + b"".join(indexes)

    def _runs(self, directory: Directory) -> list[tuple[bytes, bytes]]:
        """A listing as headers with the names that follow them, and the first name of each."""
        rows = sorted((name.encode(), node) for name, node in directory.names.items())
        runs: list[tuple[bytes, bytes]] = []
        at = 0
        while at < len(rows):
            block = self._places[id(rows[at][1])][0]
            first = self._numbers[id(rows[at][1])]
            entries = []
            for name, node in rows[at : at + MAX_ENTRIES]:
                if len(name) > MAX_NAME:
                    raise ImageError(
                        f"writing a squashfs: {name.decode()!r} has {len(name)} bytes, "
                        f"a name can have {MAX_NAME}"
                    )
                place, number = self._places[id(node)], self._numbers[id(node)]
                if place[0] != block or not -0x8000 <= number - first < 0x8000:
                    break
                kind = InodeType.DIRECTORY if isinstance(node, Directory) else node.kind
                entries.append(
                    DIRECTORY_ENTRY.pack(place[1], number - first, kind, len(name) - 1) + name
                )
            header = DIRECTORY_HEADER.pack(len(entries) - 1, block, first)
            runs.append((rows[at][0], header + b"".join(entries)))
            at += len(entries)
        return runs

    def _indexes(
        self, runs: Sequence[tuple[bytes, bytes]], number: int, offset: int
    ) -> list[bytes]:
        """For each later block of a listing that a header starts in, where the first one is.

        number: of the listing's first block. offset: of the listing in it. The kernel searches
        a large directory from the right header on, and not from its beginning.
        """
        indexes: list[bytes] = []
        at, before = 0, 0
        for name, run in runs:
            block = (offset + at) // METADATA_SIZE
            if block != before and len(indexes) < MAX_INDEXES:
                place = self._directories.block_of(number + block)
                indexes.append(DIRECTORY_INDEX.pack(at, place, len(name) - 1) + name)
                before = block
            at += len(run)
        return indexes

    def _leaf_inode(self, leaf: Leaf) -> bytes:
        if leaf.kind is InodeType.FILE:
            return self._file_inode(leaf)
        head = self._head(leaf.kind, leaf.mode, leaf)
        if leaf.kind is InodeType.SYMLINK:
            target = leaf.target.encode()
            return head + SYMLINK.pack(leaf.links, len(target)) + target
        if leaf.kind in (InodeType.BLOCK_DEVICE, InodeType.CHARACTER_DEVICE):
            return head + DEVICE.pack(leaf.links, leaf.device)
        return head + FIFO.pack(leaf.links)

    def _file_inode(self, leaf: Leaf) -> bytes:
        content = leaf.content or Content(0)
        fragment, start = NONE_32, 0
        if content.fragment is not None:
            fragment = self._first_fragment[leaf.pack] + content.fragment
        if content.blocks:
            start = self._starts[leaf.pack] + content.start
        sizes = struct.pack(f"<{len(content.blocks)}I", *content.blocks)
        sparse = sum(BLOCK_SIZE for size in content.blocks if size == 0)
        if leaf.links == 1 and start <= _MAX_32 and content.size <= _MAX_32 and not sparse:
            head = self._head(InodeType.FILE, leaf.mode, leaf)
            return head + BASIC_FILE.pack(start, fragment, content.offset, content.size) + sizes
        head = self._head(InodeType.EXTENDED_FILE, leaf.mode, leaf)
        return (
            head
            + EXTENDED_FILE.pack(
                start,
                content.size,
                min(sparse, content.size),
                leaf.links,
                fragment,
                content.offset,
                NONE_32,
            )
            + sizes
        )


def _pre_order(root: Directory) -> Iterator[Directory]:
    stack = [root]
    while stack:
        directory = stack.pop()
        yield directory
        stack += [each for each in directory.names.values() if isinstance(each, Directory)]


def _post_order(root: Directory) -> Iterator[Directory | Leaf]:
    """Every node after what is in it, by name: the same tree gives the same order."""
    stack: list[tuple[Directory | Leaf, bool]] = [(root, False)]
    while stack:
        node, opened = stack.pop()
        if opened or not isinstance(node, Directory):
            yield node
            continue
        stack.append((node, True))
        for _, child in sorted(
            ((name.encode(), child) for name, child in node.names.items()),
            key=lambda row: row[0],
            reverse=True,
        ):
            stack.append((child, False))
