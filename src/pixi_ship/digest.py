"""Content digests, and files that check or compute them while bytes pass."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_SHA256_HEX = re.compile(r"[0-9a-f]{64}\Z")
BLOCK = 1 << 20  # bytes read at a time; large enough that the GIL is released for long


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A sha256 digest; ``str()`` is the OCI form ``sha256:<64 hex>``."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read ``sha256:<64 lower-case hex>``; raises ValueError for anything else."""
        algorithm, _, value = text.partition(":")
        if algorithm != "sha256" or not _SHA256_HEX.match(value):
            raise ValueError(f"not a sha256 digest: {text!r}")
        return cls(value)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The digest of ``data``."""
        return cls(hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


def digest_file(path: Path) -> Digest:
    """The sha256 of a file, read in blocks."""
    with path.open("rb") as file:
        return Digest(hashlib.file_digest(file, "sha256").hexdigest())


class HashingWriter:
    """Pass bytes on to ``write`` while counting and hashing them."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Hash and pass on ``data``."""
        self._hash.update(data)
        self.size += len(data)
        self._write(data)

    @property
    def digest(self) -> Digest:
        """The digest of everything written so far."""
        return Digest(self._hash.hexdigest())


def copy_hashing(source: BinaryIO, write: Callable[[bytes], object]) -> tuple[Digest, int]:
    """Copy a stream through ``write``; returns its sha256 and its size in bytes."""
    writer = HashingWriter(write)
    while block := source.read(BLOCK):
        writer.write(block)
    return writer.digest, writer.size
