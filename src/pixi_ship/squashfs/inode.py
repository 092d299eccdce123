"""Inodes and the listings of directories, as they are read."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pixi_ship.errors import ImageError
from pixi_ship.squashfs.format import (
    BASIC_DIRECTORY,
    BASIC_FILE,
    DEVICE,
    DIRECTORY_ENTRY,
    DIRECTORY_HEADER,
    DIRECTORY_INDEX,
    EXTENDED_DIRECTORY,
    EXTENDED_FILE,
    FIFO,
    INDEX,
    INODE,
    MAX_ENTRIES,
    MAX_NAME,
    METADATA_SIZE,
    NONE_32,
    SYMLINK,
    InodeType,
)
from pixi_ship.squashfs.metadata import Blocks, Cursor

_MAX_TARGET = 4095  # bytes, PATH_MAX without the NUL
_DOTS = 3  # what the size of a listing counts for "." and ".."


@dataclass(frozen=True, slots=True, kw_only=True)
class Inode:
    """An inode; ``type`` is always a basic one.

    owner: user and group, as indexes into the table of ids. xattrs: index of its set of
    extended attributes, ``NONE_32`` for none. size: bytes of a file, or of a listing.
    start: place of a file's first block, or of the listing's block below the directory table.
    offset: of the file's end in its fragment block, or of the listing in its block.
    rest: place of what follows: the stored sizes of a file's blocks, or the ``indexes`` entries
    of a directory's index.
    """

    type: InodeType
    mode: int
    owner: tuple[int, int]
    number: int
    size: int = 0
    start: int = 0
    offset: int = 0
    fragment: int = NONE_32
    rest: tuple[int, int] = (0, 0)
    indexes: int = 0
    target: bytes = b""
    device: int = 0
    xattrs: int = NONE_32


@dataclass(frozen=True, slots=True)
class _Head:
    """What every inode begins with."""

    type: InodeType
    mode: int
    owner: tuple[int, int]
    number: int
    is_extended: bool


@dataclass(frozen=True, slots=True)
class Named:
    """A name in a directory. place: of its inode below the inode table, and offset there."""

    name: bytes
    type: InodeType
    number: int
    place: tuple[int, int]


def read_inode(blocks: Blocks, at: int, offset: int) -> Inode:
    """Read the inode at an offset of a metadata block; raises ImageError for none that can be."""
    cursor = Cursor(blocks, at, offset)
    number, mode, user, group, _, identity = INODE.unpack(cursor.take(INODE.size))
    try:
        kind = InodeType(number)
    except ValueError:
        raise blocks.stretch.damaged(f"has an inode of type {number}") from None
    if mode > 0o7777:
        # The kernel would add the bits of the type to these.
        raise blocks.stretch.damaged(f"has an inode of mode {mode:o}")
    head = _Head(kind.basic, mode, (user, group), identity, kind.is_extended)
    if head.type is InodeType.FILE:
        return _file(cursor, head)
    if head.type is InodeType.DIRECTORY:
        return _directory(cursor, head)
    if head.type is InodeType.SYMLINK:
        return _symlink(blocks, cursor, head)
    return _special(cursor, head)


def _file(cursor: Cursor, head: _Head) -> Inode:
    xattrs = NONE_32
    if head.is_extended:
        row = EXTENDED_FILE.unpack(cursor.take(EXTENDED_FILE.size))
        start, size, _, _, fragment, offset, xattrs = row
    else:
        start, fragment, offset, size = BASIC_FILE.unpack(cursor.take(BASIC_FILE.size))
    return Inode(
        type=head.type,
        mode=head.mode,
        owner=head.owner,
        number=head.number,
        size=size,
        start=start,
        offset=offset,
        fragment=fragment,
        rest=cursor.place,
        xattrs=xattrs,
    )


def _directory(cursor: Cursor, head: _Head) -> Inode:
    xattrs, indexes = NONE_32, 0
    if head.is_extended:
        row = EXTENDED_DIRECTORY.unpack(cursor.take(EXTENDED_DIRECTORY.size))
        _, size, start, _, indexes, offset, xattrs = row
    else:
        start, _, size, offset, _ = BASIC_DIRECTORY.unpack(cursor.take(BASIC_DIRECTORY.size))
    return Inode(
        type=head.type,
        mode=head.mode,
        owner=head.owner,
        number=head.number,
        size=max(0, size - _DOTS),
        start=start,
        offset=offset,
        rest=cursor.place,
        indexes=indexes,
        xattrs=xattrs,
    )


def _symlink(blocks: Blocks, cursor: Cursor, head: _Head) -> Inode:
    _, size = SYMLINK.unpack(cursor.take(SYMLINK.size))
    if size > _MAX_TARGET:
        raise blocks.stretch.damaged(f"has a symbolic link of {size} bytes")
    target = cursor.take(size) if size else b""
    if b"\0" in target:
        raise blocks.stretch.damaged(f"has a symbolic link to {target[:100]!r}")
    return Inode(
        type=head.type,
        mode=head.mode,
        owner=head.owner,
        number=head.number,
        target=target,
        xattrs=_xattrs(cursor, head),
    )


def _special(cursor: Cursor, head: _Head) -> Inode:
    device = 0
    if head.type in (InodeType.BLOCK_DEVICE, InodeType.CHARACTER_DEVICE):
        _, device = DEVICE.unpack(cursor.take(DEVICE.size))
    else:
        cursor.take(FIFO.size)
    return Inode(
        type=head.type,
        mode=head.mode,
        owner=head.owner,
        number=head.number,
        device=device,
        xattrs=_xattrs(cursor, head),
    )


def _xattrs(cursor: Cursor, head: _Head) -> int:
    if not head.is_extended:
        return NONE_32
    (index,) = INDEX.unpack(cursor.take(INDEX.size))
    return int(index)


def read_block_sizes(blocks: Blocks, inode: Inode, count: int) -> Iterator[int]:
    """The stored sizes of a file's blocks, read as they are taken: there may be millions."""
    cursor = Cursor(blocks, *inode.rest)
    while count:
        most = min(count, METADATA_SIZE // INDEX.size)
        yield from struct.unpack(f"<{most}I", cursor.take(most * INDEX.size))
        count -= most


def read_listing(blocks: Blocks, table: int, directory: Inode) -> Iterator[Named]:
    """The names of a directory in their order; raises ImageError for what cannot be names.

    table: where the directory table starts. The kernel's search for a name relies on the
    order and on the index (``fs/squashfs/namei.c``), so it is an error if one is wrong, or a
    name there twice.
    """
    cursor = Cursor(blocks, table + directory.start, directory.offset)
    index = _Index(blocks, table, directory)
    left, before = directory.size, b""
    while left > 0:
        index.at_header(directory.size - left, cursor.place)
        count, block, first = DIRECTORY_HEADER.unpack(cursor.take(DIRECTORY_HEADER.size))
        left -= DIRECTORY_HEADER.size
        if count >= MAX_ENTRIES:
            raise blocks.stretch.damaged(f"has a directory header of {count + 1} names")
        for number in range(count + 1):
            offset, more, kind, size = DIRECTORY_ENTRY.unpack(cursor.take(DIRECTORY_ENTRY.size))
            if size >= MAX_NAME:
                raise blocks.stretch.damaged(f"has a name of {size + 1} bytes")
            name = cursor.take(size + 1)
            left -= DIRECTORY_ENTRY.size + size + 1
            if name in (b".", b"..") or b"/" in name or b"\0" in name:
                raise blocks.stretch.damaged(f"has a file named {name!r}")
            if name <= before:
                raise blocks.stretch.damaged(f"lists {name!r} after {before!r}")
            if not InodeType.DIRECTORY <= kind <= InodeType.SOCKET:
                raise blocks.stretch.damaged(f"lists {name!r} as of type {kind}")
            if number == 0:
                index.at_name(name)
            yield Named(name, InodeType(kind), first + more, (block, offset))
            before = name
    if left:
        raise blocks.stretch.damaged("has a directory whose names do not fill its listing")
    index.at_end()


class _Index:
    """The index of a directory, held against its listing while that is read."""

    def __init__(self, blocks: Blocks, table: int, directory: Inode) -> None:
        self._blocks = blocks
        self._table = table
        self._offset = directory.offset
        self._cursor = Cursor(blocks, *directory.rest)
        self._left = directory.indexes
        self._next: tuple[int, int, bytes] | None = None
        self._is_here = False
        self._advance()

    def at_header(self, at: int, place: tuple[int, int]) -> None:
        """A header begins, at a place of the listing and of the table."""
        self._is_here = self._next is not None and self._next[0] == at
        # The kernel takes every block of the table for a full one.
        if self._next is not None and self._is_here:
            want = self._table + self._next[1], (self._offset + at) % METADATA_SIZE
            if place != want:
                raise self._wrong()

    def at_name(self, name: bytes) -> None:
        """The first name after that header."""
        if self._next is not None and self._is_here:
            if self._next[2] != name:
                raise self._wrong()
            self._advance()

    def at_end(self) -> None:
        """The listing has ended."""
        if self._next is not None:
            raise self._wrong()

    def _advance(self) -> None:
        self._next = None
        if self._left:
            self._left -= 1
            at, block, size = DIRECTORY_INDEX.unpack(self._cursor.take(DIRECTORY_INDEX.size))
            if size >= MAX_NAME:
                raise self._wrong()
            self._next = at, block, self._cursor.take(size + 1)

    def _wrong(self) -> ImageError:
        return self._blocks.stretch.damaged("has a directory whose index is wrong")
