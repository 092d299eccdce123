"""Bytes and blobs after one another: a file that is known before it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pixi_ship.digest import Digest, HashingWriter
from pixi_ship.oci.blob import Blob

Piece = bytes | Blob


@dataclass(frozen=True, slots=True)
class Pieces:
    """A file, or a part of one, as the pieces that it is made of."""

    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, *pieces: Piece) -> Pieces:
        """Pieces in their order."""
        return cls(pieces)

    @property
    def name(self) -> str:
        """How errors call it."""
        return "the SIF"

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(_size(each) for each in self.pieces)

    def digest(self) -> Digest:
        """The digest of everything; raises DigestMismatch as :meth:`copy_to` does."""
        hashing = HashingWriter(lambda data: None)
        self.copy_to(hashing.write)
        return hashing.digest

    def copy_to(self, write: Callable[[bytes], object]) -> None:
        """Write everything; each blob is held against its digest. Raises DigestMismatch."""
        for each in self.pieces:
            if isinstance(each, bytes):
                write(each)
            else:
                each.copy_to(write)

    def read(self, start: int, size: int) -> Iterator[bytes]:
        """At most ``size`` bytes from ``start`` on, not held against any digest."""
        for each in self.pieces:
            length = _size(each)
            if start < length and size > 0:
                taken = min(size, length - start)
                if isinstance(each, bytes):
                    yield each[start : start + taken]
                else:
                    yield from each.source.read(start, taken)
                size -= taken
            start = max(0, start - length)


def _size(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.descriptor.size
