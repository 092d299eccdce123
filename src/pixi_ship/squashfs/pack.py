"""Pack the files of one layer: their data blocks, and where each file has its own.

A pack is the part of a squashfs that costs time. It does not say where in a filesystem it
will lie, so that it can be kept, and copied into every filesystem that holds the layer.
Files smaller than a block share fragment blocks; those come between the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from pixi_ship.errors import ImageError
from pixi_ship.squashfs.compress import compressor
from pixi_ship.squashfs.format import BLOCK_SIZE, DATA_RAW, SquashfsCompression

_ZEROS = bytes(BLOCK_SIZE)


@dataclass(frozen=True, slots=True)
class Content:
    """Where a file's bytes lie in a pack.

    start: of the first block. blocks: stored size of each, with ``DATA_RAW`` where it is not
    compressed; 0 is a block of zeros that is not stored. fragment: which fragment block has
    the bytes of a small file, from ``offset`` on.
    """

    size: int
    start: int = 0
    blocks: tuple[int, ...] = ()
    fragment: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """An entry of a layer. kind: as in ``tar_stream``; device: its number, for special ones."""

    path: str
    kind: str
    mode: int
    link: str = ""
    content: Content | None = None
    device: int = 0


@dataclass(frozen=True, slots=True)
class Pack:
    """The rows of a layer in their order, and ``(start, size)`` of each fragment block.

    size: bytes of the packed data.
    """

    rows: tuple[Row, ...]
    fragments: tuple[tuple[int, int], ...]
    size: int


class PackWriter:
    """Cut files into blocks, compress them, and write them out; one thread's work.

    write: takes the bytes of the pack, in order.
    """

    def __init__(self, write: Callable[[bytes], object], compression: SquashfsCompression) -> None:
        self._write = write
        self._compress = compressor(compression)
        self._at = 0
        self._small = bytearray()
        self._fragments: list[tuple[int, int]] = []

    def add(self, size: int, chunks: Iterable[bytes]) -> Content:
        """Pack a file of ``size`` bytes; raises ImageError where it has more or fewer."""
        if size < BLOCK_SIZE:
            data = b"".join(chunks)
            _check(len(data), size)
            return self._add_small(data) if data else Content(0)
        start, sizes, got = self._at, [], 0
        for block in _blocks(chunks):
            got += len(block)
            sizes.append(0 if block == _ZEROS[: len(block)] else self._put(block))
        _check(got, size)
        return Content(size, start, tuple(sizes))

    def close(self) -> tuple[tuple[int, int], ...]:
        """Write what is left; returns start and stored size of every fragment block."""
        self._flush()
        return tuple(self._fragments)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._at

    def _add_small(self, data: bytes) -> Content:
        if len(self._small) + len(data) > BLOCK_SIZE:
            self._flush()
        offset = len(self._small)
        self._small += data
        return Content(len(data), fragment=len(self._fragments), offset=offset)

    def _flush(self) -> None:
        if self._small:
            start = self._at
            self._fragments.append((start, self._put(bytes(self._small))))
            self._small.clear()

    def _put(self, block: bytes) -> int:
        packed = self._compress(block)
        raw = len(packed) >= len(block)
        stored = block if raw else packed
        self._write(stored)
        self._at += len(stored)
        return len(stored) | (DATA_RAW if raw else 0)


def _check(got: int, size: int) -> None:
    # An inode that says another size than its blocks give is a file that cannot be read.
    if got != size:
        raise ImageError(f"packing a file: it has {got} bytes, its entry says {size}")


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of the filesystem's size, the last one shorter."""
    pieces: list[bytes] = []
    held = 0
    for chunk in chunks:
        pieces.append(chunk)
        held += len(chunk)
        if held >= BLOCK_SIZE:
            whole = b"".join(pieces)
            end = held - held % BLOCK_SIZE
            for at in range(0, end, BLOCK_SIZE):
                yield whole[at : at + BLOCK_SIZE]
            rest = whole[end:]
            pieces, held = [rest], len(rest)
    if held:
        yield b"".join(pieces)


def pack_to_json(pack: Pack) -> dict[str, object]:
    """The index of a pack, for the cache."""
    return {
        "size": pack.size,
        "fragments": [list(each) for each in pack.fragments],
        "rows": [_row_to_json(row) for row in pack.rows],
    }


def _row_to_json(row: Row) -> list[object]:
    found = row.content
    content = found and [found.size, found.start, list(found.blocks), found.fragment, found.offset]
    return [row.path, row.kind, row.mode, row.link, content, row.device]


def pack_from_json(document: Mapping[str, object]) -> Pack:
    """Read what :func:`pack_to_json` gave; raises KeyError, TypeError or ValueError."""
    fragments = cast("list[list[int]]", document["fragments"])
    rows = cast("list[list[object]]", document["rows"])
    return Pack(
        tuple(_row_from_json(row) for row in rows),
        tuple((start, size) for start, size in fragments),
        int(cast("int", document["size"])),
    )


def _row_from_json(row: list[object]) -> Row:
    path, kind, mode, link, content, device = cast(
        "tuple[str, str, int, str, list[object] | None, int]", row
    )
    found = None
    if content is not None:
        size, start, blocks, fragment, offset = cast(
            "tuple[int, int, list[int], int | None, int]", content
        )
        found = Content(size, start, tuple(blocks), fragment, offset)
    return Row(path, kind, mode, link, found, device)
