"""A SIF file: data objects put after one another, and found again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pixi_ship.errors import ImageError
from pixi_ship.sif.format import (
    ARCHITECTURES,
    DESCRIPTOR,
    HEADER,
    PAGE,
    PARTITION,
    SLOTS,
    SQUASHFS,
    TABLE_OFFSET,
    DataType,
    Descriptor,
    Header,
    PartitionType,
)

_MAX_DOCUMENT = 32 << 20  # bytes of an object that is read whole


class Body(Protocol):
    """The bytes of a data object."""

    @property
    def size(self) -> int:
        """How many."""

    def copy_to(self, write: Callable[[bytes], object]) -> None:
        """Write them."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """A small object at hand."""

    data: bytes

    @property
    def size(self) -> int:
        """How many bytes."""
        return len(self.data)

    def copy_to(self, write: Callable[[bytes], object]) -> None:
        """Write them."""
        write(self.data)


@dataclass(frozen=True, slots=True)
class Part:
    """A data object to be written; ``extra`` as its type has it."""

    kind: DataType
    name: str
    body: Body
    extra: bytes = b""

    @property
    def alignment(self) -> int:
        """Partitions are mounted, so they start at whole pages."""
        return PAGE if self.kind is DataType.PARTITION else 1


def root_partition(body: Body, architecture: str) -> Part:
    """The squashfs that is the root filesystem; architecture: as OCI calls it."""
    extra = PARTITION.pack(SQUASHFS, PartitionType.PRIMARY, architecture_number(architecture))
    return Part(DataType.PARTITION, "rootfs", body, extra)


def architecture_number(architecture: str) -> bytes:
    """The SIF's number for an OCI architecture; raises ImageError where there is none."""
    try:
        return ARCHITECTURES[architecture]
    except KeyError:
        raise ImageError(
            f"a SIF cannot be for architecture {architecture!r}",
            hint=f"it can be for {', '.join(ARCHITECTURES)}",
        ) from None


def write_sif(
    parts: Sequence[Part], architecture: str, time: int, write: Callable[[bytes], object]
) -> None:
    """Write a SIF front to back; the same parts and time give the same bytes.

    architecture: as OCI calls it. time: seconds since 1970, of header and objects.
    """
    slots = max(SLOTS, len(parts))
    data_offset = at = TABLE_OFFSET + slots * DESCRIPTOR.size
    descriptors = []
    for number, part in enumerate(parts, 1):
        skipped = -at % part.alignment
        start, size = at + skipped, part.body.size
        descriptors.append(
            Descriptor(
                part.kind, number, start, size, size + skipped, part.name, part.extra, time, time
            )
        )
        at = start + size
    header = Header(
        architecture=architecture_number(architecture),
        created=time,
        modified=time,
        free=slots - len(parts),
        slots=slots,
        table_offset=TABLE_OFFSET,
        table_size=slots * DESCRIPTOR.size,
        data_offset=data_offset,
        data_size=at - data_offset,
    )
    write(header.pack() + bytes(TABLE_OFFSET - HEADER.size))
    write(b"".join(each.pack() for each in descriptors))
    write(bytes((slots - len(parts)) * DESCRIPTOR.size))
    for part, descriptor in zip(parts, descriptors, strict=True):
        write(bytes(descriptor.padded - descriptor.size))
        part.body.copy_to(write)


@dataclass(frozen=True, slots=True)
class SifFile:
    """A SIF on disk, its table checked against the file's size."""

    path: Path
    header: Header
    objects: tuple[Descriptor, ...]

    @property
    def architecture(self) -> str:
        """As OCI calls it; empty where it is none of those."""
        names = {number: name for name, number in ARCHITECTURES.items()}
        return names.get(self.header.architecture, "")

    @property
    def root(self) -> Descriptor:
        """The primary partition; raises ImageError where there is none, or no squashfs."""
        for each in self.objects:
            if each.partition is not None and each.partition[1] == PartitionType.PRIMARY:
                if each.partition[0] != SQUASHFS:
                    raise ImageError(f"reading {self.path}: its root filesystem is no squashfs")
                return each
        raise ImageError(f"reading {self.path}: it has no root filesystem")

    def named(self, name: str) -> bytes | None:
        """A small object by its name; None where there is none."""
        for each in self.objects:
            if each.name == name and each.kind != DataType.PARTITION:
                return b"".join(self.read(each))
        return None

    def read(self, found: Descriptor) -> Iterator[bytes]:
        """The bytes of a small object; raises ImageError where it is not small."""
        if found.size > _MAX_DOCUMENT:
            raise ImageError(f"reading {self.path}: {found.name!r} has {found.size} bytes")
        with self.path.open("rb") as file:
            file.seek(found.offset)
            yield file.read(found.size)


def read_sif(path: Path) -> SifFile:
    """Open a SIF; raises ImageError for what is none, or does not hold what its table says."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(0)
            header = Header.unpack(file.read(HEADER.size), str(path))
            file.seek(header.table_offset)
            table = file.read(header.slots * DESCRIPTOR.size)
    except OSError as error:
        raise ImageError(f"reading {path}: {error.strerror or error}") from error
    if len(table) < header.slots * DESCRIPTOR.size:
        raise ImageError(f"reading {path}: its table of descriptors ends too early")
    objects = []
    for at in range(0, len(table), DESCRIPTOR.size):
        found = Descriptor.unpack(table[at : at + DESCRIPTOR.size])
        if found is None:
            continue
        if found.offset < HEADER.size or found.size < 0 or found.offset + found.size > end:
            raise ImageError(f"reading {path}: object {found.number} lies outside the file")
        objects.append(found)
    return SifFile(path, header, tuple(objects))
