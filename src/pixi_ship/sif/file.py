"""A SIF file: data objects put after one another, and found again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.errors import ImageError
from pixi_ship.oci.blob import Source, Stretch
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
from pixi_ship.sif.pieces import Piece, Pieces

_MAX_DOCUMENT = 32 << 20  # bytes of an object that is read whole
# Header and table as Apptainer and we write them; read at once, for a registry's sake.
_USUAL_HEAD = TABLE_OFFSET + SLOTS * DESCRIPTOR.size


@dataclass(frozen=True, slots=True)
class Part:
    """A data object to be written; ``extra`` as its type has it."""

    kind: DataType
    name: str
    body: Pieces
    extra: bytes = b""

    @property
    def alignment(self) -> int:
        """Partitions are mounted, so they start at whole pages."""
        return PAGE if self.kind is DataType.PARTITION else 1


def root_partition(body: Pieces, architecture: str) -> Part:
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


def lay_out(parts: Sequence[Part], architecture: str, time: int) -> Pieces:
    """A SIF, front to back; the same parts and time give the same bytes.

    architecture: as OCI calls it. time: seconds since 1970, of header and objects.
    """
    slots = max(SLOTS, len(parts))
    data_offset = at = TABLE_OFFSET + slots * DESCRIPTOR.size
    table: list[bytes] = []
    bodies: list[Piece] = []
    for number, part in enumerate(parts, 1):
        skipped = -at % part.alignment
        start, size = at + skipped, part.body.size
        descriptor = Descriptor(
            part.kind, number, start, size, size + skipped, part.name, part.extra, time, time
        )
        table.append(descriptor.pack())
        bodies += [bytes(skipped), *part.body.pieces]
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
    head = header.pack().ljust(TABLE_OFFSET, b"\0") + b"".join(table)
    return Pieces((head.ljust(data_offset, b"\0"), *bodies))


@dataclass(frozen=True, slots=True)
class SifFile:
    """A SIF somewhere, its table checked against its size in bytes."""

    source: Source
    size: int
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
                    raise ImageError(
                        f"reading {self.source.name}: its root filesystem is no squashfs"
                    )
                return each
        raise ImageError(f"reading {self.source.name}: it has no root filesystem")

    def named(self, name: str) -> bytes | None:
        """A small object by its name; None where there is none."""
        for each in self.objects:
            if each.name == name and each.kind != DataType.PARTITION:
                return self.read(each)
        return None

    def read(self, found: Descriptor) -> bytes:
        """The bytes of a small object; raises ImageError where it is not small."""
        if found.size > _MAX_DOCUMENT:
            raise ImageError(f"reading {self.source.name}: {found.name!r} has {found.size} bytes")
        data = b"".join(self.source.read(found.offset, found.size))
        if len(data) != found.size:
            raise ImageError(f"reading {self.source.name}: {found.name!r} ends too early")
        return data


def read_sif(path: Path) -> SifFile:
    """Open a SIF file; raises ImageError as :func:`read_sif_from` does."""
    try:
        size = path.stat().st_size
        return read_sif_from(Stretch(path), size)
    except OSError as error:
        raise ImageError(f"reading {path}: {error.strerror or error}") from error


def read_sif_from(source: Source, size: int) -> SifFile:
    """Read header and table of a SIF of ``size`` bytes, wherever it lies.

    Raises ImageError for what is none, or does not hold what its table says.
    """
    head = b"".join(source.read(0, min(size, _USUAL_HEAD)))
    header = Header.unpack(head, source.name)
    table_size = header.slots * DESCRIPTOR.size
    table = head[header.table_offset : header.table_offset + table_size]
    if len(table) < table_size:
        table = b"".join(source.read(header.table_offset, table_size))
    if len(table) < table_size:
        raise ImageError(f"reading {source.name}: its table of descriptors ends too early")
    objects = []
    for at in range(0, table_size, DESCRIPTOR.size):
        found = Descriptor.unpack(table[at : at + DESCRIPTOR.size])
        if found is None:
            continue
        if found.offset < HEADER.size or found.size < 0 or found.offset + found.size > size:
            raise ImageError(f"reading {source.name}: object {found.number} lies outside the file")
        objects.append(found)
    return SifFile(source, size, header, tuple(objects))
