"""The compressors a layer can have, pinned so that their bytes never depend on the machine.

What was measured (docs/explanation/compression.md): ISA-L's gzip depends on how its input
is sliced, its level 3 on the CPU, and without care on addresses (:mod:`pixi_ship.deflate`);
zstd depends on whether it runs with worker threads. So input comes in blocks of exactly 1 MiB,
levels are fixed, and the codec's version is part of every layer's key.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import zstandard

from pixi_ship import deflate
from pixi_ship.digest import BLOCK

ZSTD_LEVEL = 3


class Compression(StrEnum):
    """How layers are compressed."""

    GZIP = "gzip"
    ZSTD = "zstd"

    @property
    def media_type(self) -> str:
        """The OCI media type of a layer."""
        return f"application/vnd.oci.image.layer.v1.tar+{self.value}"

    @property
    def key(self) -> str:
        """What the compressed bytes depend on, besides the input."""
        if self is Compression.GZIP:
            return f"gzip {deflate.KEY} block-{BLOCK}"
        version = ".".join(str(part) for part in zstandard.ZSTD_VERSION)
        return f"zstd zstd-{version} level-{ZSTD_LEVEL} block-{BLOCK}"


class _Encoder(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class Compressor:
    """Compress what is written, in blocks of 1 MiB, and pass it on."""

    def __init__(self, compression: Compression, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._encoder = (
            deflate.Deflate(deflate.GZIP) if compression is Compression.GZIP else _zstd()
        )

    def block(self, data: bytes) -> None:
        """Compress one block; all but the last must have exactly 1 MiB."""
        if compressed := self._encoder.compress(data):
            self._write(compressed)

    def close(self) -> None:
        """Write what is left."""
        self._write(self._encoder.flush())


def _zstd() -> _Encoder:
    # threads=0 takes another path through the library and gives other bytes than 1 or more.
    return zstandard.ZstdCompressor(
        level=ZSTD_LEVEL, threads=1, write_checksum=False, write_content_size=False
    ).compressobj()


class Blocks:
    """Cut what is written into blocks of exactly 1 MiB, whatever the pieces were."""

    def __init__(self, emit: Callable[[bytes], None]) -> None:
        self._emit = emit
        self._pieces: list[bytes] = []
        self._held = 0

    def write(self, data: bytes) -> None:
        """Take bytes; emits each block as it gets full."""
        self._pieces.append(data)
        self._held += len(data)
        if self._held >= BLOCK:
            whole = b"".join(self._pieces)
            end = len(whole) - len(whole) % BLOCK
            for at in range(0, end, BLOCK):
                self._emit(whole[at : at + BLOCK])
            rest = whole[end:]
            self._pieces = [rest] if rest else []
            self._held = len(rest)

    def close(self) -> None:
        """Emit what is left."""
        if self._held:
            self._emit(b"".join(self._pieces))
        self._pieces, self._held = [], 0
