"""The structures of squashfs 4.0, little-endian and packed.

Source: the kernel's ``fs/squashfs/squashfs_fs.h`` and its documentation. A filesystem is

    superblock · the codec's options · data blocks and fragment blocks · inode table ·
    directory table · fragment table · id table · extended attributes

where every table is cut into metadata blocks of 8 KiB, each compressed on its own.
"""

from __future__ import annotations

import struct
from enum import IntEnum, StrEnum

MAGIC = 0x73717368
BLOCK_SIZE = 128 << 10  # bytes of a file's data block, what mksquashfs takes too
BLOCK_LOG = 17
METADATA_SIZE = 8192  # bytes of a metadata block before compression
METADATA_RAW = 0x8000  # in a metadata block's header: it is not compressed
DATA_RAW = 1 << 24  # in a data block's size: it is not compressed
NONE_32 = 0xFFFFFFFF
NONE_64 = 0xFFFFFFFFFFFFFFFF

SUPERBLOCK = struct.Struct("<IIIIIHHHHHHQQQQQQQQ")
INODE = struct.Struct("<HHHHII")  # type, mode, uid and gid index, mtime, number
BASIC_DIRECTORY = struct.Struct("<IIHHI")  # block, links, size, offset, parent
EXTENDED_DIRECTORY = struct.Struct("<IIIIHHI")  # links, size, block, parent, indexes, offset, xattr
DIRECTORY_INDEX = struct.Struct("<III")  # place of a header, block of it, size of the name - 1
BASIC_FILE = struct.Struct("<IIII")  # start, fragment, offset, size
EXTENDED_FILE = struct.Struct("<QQQIIII")  # start, size, sparse, links, fragment, offset, xattr
SYMLINK = struct.Struct("<II")  # links, size of the target
DEVICE = struct.Struct("<II")  # links, device number
FIFO = struct.Struct("<I")  # links
DIRECTORY_HEADER = struct.Struct("<III")  # entries - 1, block of the inodes, first number
DIRECTORY_ENTRY = struct.Struct("<HhHH")  # offset, number - first, type, size of the name - 1
FRAGMENT = struct.Struct("<QII")  # start, size, unused
POINTER = struct.Struct("<Q")
HEADER = struct.Struct("<H")
INDEX = struct.Struct("<I")  # into the table of extended attributes, of an extended inode
XATTR_TABLE = struct.Struct("<QII")  # start of names and values, sets, unused
XATTR_SET = struct.Struct("<QII")  # place of the first, how many, bytes in all
XATTR_NAME = struct.Struct("<HH")  # prefix, size of the rest of the name
XATTR_VALUE = struct.Struct("<I")  # size
XATTR_ELSEWHERE = 0x0100  # in a prefix: the value is the place of another one
LZ4_OPTIONS = struct.Struct("<II")  # version, flags
XATTR_PREFIXES = (b"user.", b"trusted.", b"security.")

MAX_ENTRIES = 256  # of a directory header
MAX_INDEXES = 0xFFFF  # of a directory
MAX_NAME = 256  # bytes, one more than most filesystems take
NO_XATTRS = 0x0200  # the superblock's flags
CODEC_OPTIONS = 0x0400  # a metadata block with options follows the superblock


class InodeType(IntEnum):
    """What an inode is; directories list the basic types."""

    DIRECTORY = 1
    FILE = 2
    SYMLINK = 3
    BLOCK_DEVICE = 4
    CHARACTER_DEVICE = 5
    FIFO = 6
    SOCKET = 7
    EXTENDED_DIRECTORY = 8
    EXTENDED_FILE = 9
    EXTENDED_SYMLINK = 10
    EXTENDED_BLOCK_DEVICE = 11
    EXTENDED_CHARACTER_DEVICE = 12
    EXTENDED_FIFO = 13
    EXTENDED_SOCKET = 14

    @property
    def is_extended(self) -> bool:
        """Whether the inode has room for extended attributes, and more."""
        return self >= InodeType.EXTENDED_DIRECTORY

    @property
    def basic(self) -> InodeType:
        """The same kind of file as directories list it."""
        return InodeType(self - 7) if self.is_extended else self


class SquashfsCompression(StrEnum):
    """How blocks are compressed; the number is the superblock's."""

    GZIP = "gzip"
    LZ4 = "lz4"
    XZ = "xz"
    ZSTD = "zstd"

    @property
    def number(self) -> int:
        """The identifier in the superblock."""
        return {"gzip": 1, "xz": 4, "lz4": 5, "zstd": 6}[self.value]

    @property
    def options(self) -> bytes:
        """The codec's options, a metadata block; the kernel wants those of lz4 (lz4_wrapper.c)."""
        if self is not SquashfsCompression.LZ4:
            return b""
        options = LZ4_OPTIONS.pack(1, 0)  # the "legacy" format, the only one; no flags
        return HEADER.pack(len(options) | METADATA_RAW) + options
