"""The tar inside a layer's blob."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import IO, cast

import zstandard
from isal import isal_zlib

from pixi_ship.digest import BLOCK
from pixi_ship.errors import ImageError
from pixi_ship.oci.blob import Blob
from pixi_ship.oci.descriptor import LAYER_GZIP, LAYER_ZSTD

# isal's stubs call its error a class that is no exception.
_DAMAGED = cast("tuple[type[Exception], ...]", (isal_zlib.error, zstandard.ZstdError, EOFError))
_GZIP = 31  # window bits of zlib's that stand for the gzip format
_MAX_WINDOW = 1 << 27  # bytes, what zstd's own tools take without being asked


class DamagedStream(ImageError):
    """The bytes have the right digest, but are not what their media type says."""


def decompressed(blob: Blob) -> Iterator[bytes]:
    """The uncompressed bytes of a layer, in pieces of at most 1 MiB.

    The blob is checked while it is read. Raises DamagedStream, DigestMismatch.
    """
    expand = _EXPANDERS.get(blob.descriptor.media_type, iter)
    chunks = blob.chunks()
    try:
        yield from expand(chunks)
    except _DAMAGED as error:
        # Where the bytes are not those of the digest, that is the better thing to say.
        for _ in chunks:
            pass
        raise DamagedStream(f"reading {blob.source.name}: {error}") from None


def _gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """A gzip stream may have several members; each needs a decoder of its own."""
    decoder = isal_zlib.decompressobj(_GZIP)
    for chunk in chunks:
        while chunk:
            if decoder.eof:
                decoder = isal_zlib.decompressobj(_GZIP)
            yield decoder.decompress(chunk, BLOCK)
            chunk = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
    if not decoder.eof:
        raise EOFError("the gzip stream ends too early")


def _unzstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    decoder = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    source = cast("IO[bytes]", Unpacked(chunks))  # it is only read
    with decoder.stream_reader(source, read_across_frames=True) as reader:
        while piece := reader.read(BLOCK):
            yield piece


_EXPANDERS: Mapping[str, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    LAYER_GZIP: _gunzipped,
    LAYER_ZSTD: _unzstd,
}


class Unpacked:
    """Pieces of bytes, as a file to read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes, none at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = chunk
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece
