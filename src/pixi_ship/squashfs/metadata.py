"""The bytes of a squashfs that is read: stretches of its file, metadata blocks, lookup tables.

Every byte that comes from here counts towards a limit, so that no file, however it refers to
itself, keeps its reader busy for long.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from pixi_ship.errors import ImageError
from pixi_ship.squashfs.format import (
    DATA_RAW,
    HEADER,
    METADATA_RAW,
    METADATA_SIZE,
    POINTER,
)

_CACHED = 256  # metadata blocks, 2 MiB in all


class Stretch:
    """A stretch of a file, from ``offset`` on, open for reading; a context manager.

    limit: bytes that all that is read may unpack to. The constructor raises ImageError where
    the file cannot be opened, or ends before the stretch does.
    """

    def __init__(self, path: Path, offset: int, size: int, limit: int) -> None:
        self.where = str(path)
        self.size = size
        self._offset = offset
        self._limit = self._left = limit
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise ImageError(f"reading {path}: {error.strerror or error}") from error
        end = os.fstat(self._file.fileno()).st_size
        if offset < 0 or size < 0 or offset + size > end:
            self._file.close()
            raise ImageError(f"reading {path}: its squashfs lies outside the file")

    def __enter__(self) -> Stretch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing can be read any more."""
        self._file.close()

    def damaged(self, words: str) -> ImageError:
        """An error that says what is wrong with the squashfs."""
        return ImageError(
            f"reading {self.where}: its squashfs {words}",
            hint="the file is damaged: make it again, or copy it again",
        )

    def take(self, size: int) -> None:
        """Count bytes that come out; raises ImageError for more than the limit."""
        self._left -= size
        if self._left < 0:
            raise self.damaged(f"unpacks to more than {self._limit} bytes (a decompression bomb?)")

    def read(self, at: int, size: int) -> bytes:
        """Exactly ``size`` bytes from ``at`` on; raises ImageError where they are not there."""
        if at < 0 or at + size > self.size:
            raise self.damaged(f"refers to bytes at {at}, it has {self.size}")
        pieces = []
        while size:
            try:
                piece = os.pread(self._file.fileno(), size, self._offset + at)
            except OSError as error:
                raise ImageError(f"reading {self.where}: {error.strerror or error}") from error
            if not piece:
                raise self.damaged("ends too early")
            pieces.append(piece)
            at, size = at + len(piece), size - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Blocks:
    """The blocks of a squashfs, unpacked; metadata blocks are kept for a while.

    expand: from stored bytes and the most they may give to a block, ImageError for damage.
    """

    def __init__(self, stretch: Stretch, expand: Callable[[bytes, int], bytes]) -> None:
        self.stretch = stretch
        self._expand = expand
        self._metadata: dict[int, tuple[bytes, int]] = {}

    def data(self, at: int, word: int, most: int) -> bytes:
        """A data block of at most ``most`` bytes; word: its stored size, and whether it is raw."""
        stored = word & ~DATA_RAW
        if not 0 < stored <= most:
            raise self.stretch.damaged(f"has a block of {most} bytes that takes {stored}")
        return self._unpacked(at, stored, most, raw=bool(word & DATA_RAW))

    def metadata(self, at: int) -> tuple[bytes, int]:
        """A metadata block, never empty, and where the next one lies."""
        found = self._metadata.pop(at, None)
        if found is None:
            found = self._read_metadata(at)
            if len(self._metadata) >= _CACHED:
                del self._metadata[next(iter(self._metadata))]
        self._metadata[at] = found  # the last one now, so that it is dropped last
        return found

    def _read_metadata(self, at: int) -> tuple[bytes, int]:
        (word,) = HEADER.unpack(self.stretch.read(at, HEADER.size))
        stored = word & ~METADATA_RAW
        if not 0 < stored <= METADATA_SIZE:
            raise self.stretch.damaged(f"has a metadata block of {stored} bytes")
        start = at + HEADER.size
        block = self._unpacked(start, stored, METADATA_SIZE, raw=bool(word & METADATA_RAW))
        if not block:
            raise self.stretch.damaged("has an empty metadata block")
        return block, start + stored

    def _unpacked(self, at: int, stored: int, most: int, *, raw: bool) -> bytes:
        block = self.stretch.read(at, stored)
        if not raw:
            try:
                block = self._expand(block, most)
            except ImageError as error:
                raise ImageError(
                    f"reading {self.stretch.where}: {error}", hint=error.hint
                ) from error
        self.stretch.take(len(block))
        return block


class Cursor:
    """Reads on through metadata blocks, from an offset in the unpacked block at ``at``."""

    __slots__ = ("_after", "_at", "_block", "_blocks", "_offset")

    def __init__(self, blocks: Blocks, at: int, offset: int) -> None:
        self._blocks = blocks
        self._at = at
        self._offset = offset
        self._block, self._after = b"", at  # not read yet

    @property
    def place(self) -> tuple[int, int]:
        """Where the next byte is; another cursor can begin there."""
        if self._block and self._offset == len(self._block):
            return self._after, 0
        return self._at, self._offset

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes; raises ImageError where the blocks end before."""
        self._blocks.stretch.take(size)
        end = self._offset + size
        if end <= len(self._block):
            piece = self._block[self._offset : end]
            self._offset = end
            return piece
        pieces = []
        while size > 0:
            self._at, self._offset = self.place
            self._block, self._after = self._blocks.metadata(self._at)
            piece = self._block[self._offset : self._offset + size]
            if not piece:
                raise self._blocks.stretch.damaged("refers to bytes behind a metadata block's end")
            pieces.append(piece)
            size -= len(piece)
            self._offset += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class LookupTable:
    """Records of one size, found by a list of pointers to their metadata blocks.

    at: where that list is. count: of the records.
    """

    def __init__(self, blocks: Blocks, at: int, count: int, size: int) -> None:
        self._blocks = blocks
        self._at = at
        self._count = count
        self._size = size

    def record(self, number: int, what: str) -> bytes:
        """One record, from 0 on; raises ImageError where there is no such one."""
        stretch = self._blocks.stretch
        if number >= self._count:
            raise stretch.damaged(f"has no {what} {number}, it has {self._count}")
        place, offset = divmod(number * self._size, METADATA_SIZE)
        pointer = stretch.read(self._at + place * POINTER.size, POINTER.size)
        return Cursor(self._blocks, POINTER.unpack(pointer)[0], offset).take(self._size)
