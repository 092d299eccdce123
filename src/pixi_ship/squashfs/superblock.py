"""The superblock of a squashfs, as it is read: checked before anything follows it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pixi_ship.errors import ImageError
from pixi_ship.squashfs.format import MAGIC, NONE_64, SUPERBLOCK

_MIN_BLOCK, _MAX_BLOCK = 4 << 10, 1 << 20  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Superblock:
    """Sizes and places of a squashfs, in bytes from its start.

    inodes, fragments, ids: how many there are. time: seconds since 1970. compression: the
    codec's number. root: of its inode, ``block << 16 | offset``. used: bytes without the
    padding. fragment_table, xattr_table: None where there is none.
    """

    inodes: int
    time: int
    block_size: int
    fragments: int
    compression: int
    ids: int
    root: int
    used: int
    id_table: int
    xattr_table: int | None
    inode_table: int
    directory_table: int
    fragment_table: int | None

    @classmethod
    def unpack(cls, data: bytes, size: int, where: str) -> Superblock:
        """Read the superblock of a squashfs that has ``size`` bytes at most.

        Raises ImageError for what is no squashfs 4.0, or lies outside of its own bytes.
        """
        try:
            row = SUPERBLOCK.unpack(data)
        except struct.error:
            raise ImageError(f"reading {where}: it is no squashfs, it has {size} bytes") from None
        magic, inodes, time, block_size, fragments, codec, log, _, ids, major, minor = row[:11]
        root, used, id_table, xattrs, inode_table, directories, fragment_table, _ = row[11:]
        if magic != MAGIC:
            raise ImageError(f"reading {where}: it is no squashfs, its mark is {magic:#x}")
        if (major, minor) != (4, 0):
            raise ImageError(f"reading {where}: squashfs version {major}.{minor}, want 4.0")
        if not _MIN_BLOCK <= block_size <= _MAX_BLOCK or block_size != 1 << min(log, 32):
            raise ImageError(f"reading {where}: its squashfs has blocks of {block_size} bytes")
        if not SUPERBLOCK.size < used <= size:
            raise ImageError(f"reading {where}: its squashfs has {size} bytes and says {used}")
        found = cls(
            inodes=inodes,
            time=time,
            block_size=block_size,
            fragments=fragments,
            compression=codec,
            ids=ids,
            root=root,
            used=used,
            id_table=id_table,
            xattr_table=None if xattrs == NONE_64 else xattrs,
            inode_table=inode_table,
            directory_table=directories,
            fragment_table=None if fragment_table == NONE_64 else fragment_table,
        )
        found._check_tables(where)
        return found

    def _check_tables(self, where: str) -> None:
        tables = [self.id_table, self.inode_table, self.directory_table]
        tables += [each for each in (self.xattr_table, self.fragment_table) if each is not None]
        for table in tables:
            if not SUPERBLOCK.size <= table < self.used:
                raise ImageError(f"reading {where}: a table of its squashfs lies outside of it")
        if self.inode_table >= self.directory_table:
            raise ImageError(f"reading {where}: the tables of its squashfs are out of order")
