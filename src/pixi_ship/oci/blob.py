"""Blobs: bytes named by their digest, wherever they lie, and the layers made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pixi_ship.digest import BLOCK, Digest
from pixi_ship.errors import DigestMismatch, ImageError
from pixi_ship.oci.descriptor import Descriptor

MAX_DOCUMENT = 32 << 20  # bytes of a manifest, index or config


class Source(Protocol):
    """Where the bytes of a blob lie."""

    @property
    def name(self) -> str:
        """How errors call the place."""

    def read(self, start: int, size: int) -> Iterator[bytes]:
        """At most ``size`` bytes from ``start`` on; fewer where there are no more."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a file, from ``offset`` on."""

    path: Path
    offset: int = 0

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.path)

    def read(self, start: int, size: int) -> Iterator[bytes]:
        """Read in blocks; raises ImageError where there is no such file."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset + start)
                while size > 0 and (chunk := file.read(min(BLOCK, size))):
                    size -= len(chunk)
                    yield chunk
        except FileNotFoundError:
            raise ImageError(f"there is no blob at {self.path}") from None


@dataclass(frozen=True, slots=True)
class InMemory:
    """Bytes at hand; ``name`` says what they are."""

    data: bytes
    name: str

    def read(self, start: int, size: int) -> Iterator[bytes]:
        """The bytes, in one piece."""
        yield self.data[start : start + size]


@dataclass(frozen=True, slots=True)
class Watched:
    """A source whose readers are watched: ``report`` gets each number of bytes read."""

    source: Source
    report: Callable[[int], None]

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name

    def read(self, start: int, size: int) -> Iterator[bytes]:
        """Read, and say so."""
        for chunk in self.source.read(start, size):
            self.report(len(chunk))
            yield chunk


@dataclass(frozen=True, slots=True)
class Blob:
    """A descriptor, and where its bytes lie."""

    descriptor: Descriptor
    source: Source

    @classmethod
    def of(cls, descriptor: Descriptor, data: bytes) -> Blob:
        """A blob whose bytes are at hand."""
        return cls(descriptor, InMemory(data, f"blob {descriptor.digest}"))

    def chunks(self) -> Iterator[bytes]:
        """The bytes, held against size and digest while they pass."""
        digest, left = hashlib.sha256(), self.descriptor.size
        for chunk in self.source.read(0, left):
            digest.update(chunk)
            left -= len(chunk)
            yield chunk
        got = Digest(digest.hexdigest())
        if left or got != self.descriptor.digest:
            raise DigestMismatch(
                self.source.name,
                want=str(self.descriptor.digest),
                got=str(got),
                says="its manifest",
                hint="the bytes are damaged: remove them, then run the same again",
            )

    def copy_to(self, write: Callable[[bytes], object]) -> None:
        """Write the bytes, checked."""
        for chunk in self.chunks():
            write(chunk)

    def document(self) -> bytes:
        """The bytes of a small blob, checked; raises ImageError where it is no small one."""
        if self.descriptor.size > MAX_DOCUMENT:
            raise ImageError(f"{self.source.name}: a document of {self.descriptor.size} bytes")
        return b"".join(self.chunks())


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: its blob, and ``diff_id``, the digest of the tar in it.

    uncompressed_size: bytes of that tar, where it is known.
    """

    blob: Blob
    diff_id: Digest
    uncompressed_size: int | None = None

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the compressed bytes."""
        return self.blob.descriptor
