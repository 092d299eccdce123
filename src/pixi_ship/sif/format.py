"""The structures of a SIF file, little-endian and packed.

    0      header, 128 bytes
    4096   descriptors, 585 bytes each, unused ones zero
    …      data objects; partitions start at whole pages

Source: the sif project's ``pkg/sif/{sif,descriptor,arch}.go``. Nothing here reads or writes
files; sizes and places from outside are checked against the file's size by the reader.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from pixi_ship.errors import ImageError

HEADER = struct.Struct("<32s10s3s3s16sqqqqqqqq")
DESCRIPTOR = struct.Struct("<i?IIIqqqqqqq128s384s")
PARTITION = struct.Struct("<ii3s")

LAUNCH = b"#!/usr/bin/env run-singularity\n"
MAGIC = b"SIF_MAGIC\0"
VERSION = b"01\0"
TABLE_OFFSET = 4096
SLOTS = 48  # descriptors that Apptainer itself makes room for
PAGE = 4096
GROUP = 0xF0000001  # the first group; signatures speak of it
MAX_SLOTS = 4096

# The names of the data objects that we write beside the root filesystem; the first three are
# Apptainer's own.
DEFINITION = "Singularity"
METADATA = "inspect-metadata.json"
OCI_CONFIG = "oci-config.json"
PACKS = "pixi-ship-packs.json"

# OCI architecture → the header's number.
ARCHITECTURES = {
    "386": b"01\0",
    "amd64": b"02\0",
    "arm": b"03\0",
    "arm64": b"04\0",
    "ppc64le": b"06\0",
    "s390x": b"11\0",
    "riscv64": b"12\0",
}


class DataType(IntEnum):
    """What a data object is."""

    DEFINITION = 0x4001
    ENVIRONMENT = 0x4002
    LABELS = 0x4003
    PARTITION = 0x4004
    SIGNATURE = 0x4005
    JSON = 0x4006
    GENERIC = 0x4007


class PartitionType(IntEnum):
    """What a partition is for; the primary system partition is the root filesystem."""

    SYSTEM = 1
    PRIMARY = 2
    DATA = 3
    OVERLAY = 4


SQUASHFS = 1  # the filesystem type of a partition


@dataclass(frozen=True, slots=True)
class Header:
    """The global header. times: seconds since 1970. places and sizes: bytes."""

    architecture: bytes
    created: int
    modified: int
    free: int
    slots: int
    table_offset: int
    table_size: int
    data_offset: int
    data_size: int
    identity: bytes = bytes(16)

    def pack(self) -> bytes:
        """The 128 bytes."""
        return HEADER.pack(
            LAUNCH.ljust(32, b"\0"),
            MAGIC,
            VERSION,
            self.architecture,
            self.identity,
            self.created,
            self.modified,
            self.free,
            self.slots,
            self.table_offset,
            self.table_size,
            self.data_offset,
            self.data_size,
        )

    @classmethod
    def unpack(cls, data: bytes, where: str) -> Header:
        """Read a header; raises ImageError for what is no SIF, or one of another version."""
        if len(data) < HEADER.size:
            raise ImageError(f"reading {where}: it is no SIF, it has {len(data)} bytes")
        _, magic, version, architecture, identity, *rest = HEADER.unpack_from(data)
        if magic != MAGIC:
            raise ImageError(f"reading {where}: it is no SIF, its mark is {magic!r}")
        if version != VERSION:
            raise ImageError(f"reading {where}: SIF version {version!r}, want {VERSION!r}")
        created, modified, free, slots, table, table_size, place, size = rest
        header = cls(
            architecture, created, modified, free, slots, table, table_size, place, size, identity
        )
        if not 0 <= header.slots <= MAX_SLOTS or header.table_offset < HEADER.size:
            raise ImageError(f"reading {where}: its table of descriptors cannot be")
        return header


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A data object's place in the file; ``padded`` counts the bytes skipped before it too."""

    kind: int
    number: int
    offset: int
    size: int
    padded: int
    name: str
    extra: bytes
    created: int = 0
    modified: int = 0
    group: int = GROUP
    link: int = 0

    def pack(self) -> bytes:
        """The 585 bytes."""
        return DESCRIPTOR.pack(
            self.kind,
            True,
            self.number,
            self.group,
            self.link,
            self.offset,
            self.size,
            self.padded,
            self.created,
            self.modified,
            0,
            0,
            self.name.encode()[:127].ljust(128, b"\0"),
            self.extra.ljust(384, b"\0"),
        )

    @classmethod
    def unpack(cls, data: bytes) -> Descriptor | None:
        """Read a descriptor; None for an unused one."""
        row = DESCRIPTOR.unpack(data)
        kind, used, number, group, link, offset, size, padded, created, modified = row[:10]
        if not used:
            return None
        name = row[12].partition(b"\0")[0].decode("utf-8", "replace")
        return cls(
            kind, number, offset, size, padded, name, row[13], created, modified, group, link
        )

    @property
    def partition(self) -> tuple[int, int] | None:
        """Filesystem and purpose, of a partition."""
        if self.kind != DataType.PARTITION:
            return None
        filesystem, purpose, _ = PARTITION.unpack_from(self.extra)
        return filesystem, purpose
