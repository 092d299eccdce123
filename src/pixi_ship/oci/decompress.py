"""The tar inside a layer's blob."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import zstandard

from pixi_ship.errors import ImageError
from pixi_ship.oci.blob import Blob
from pixi_ship.oci.descriptor import LAYER_GZIP, LAYER_ZSTD


def decompressed(blob: Blob) -> Iterator[bytes]:
    """The uncompressed bytes of a layer, piece by piece; the blob is checked while it is read."""
    media_type = blob.descriptor.media_type
    if media_type == LAYER_GZIP:
        yield from _gunzipped(blob)
    elif media_type == LAYER_ZSTD:
        decoder = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
        for chunk in blob.chunks():
            yield decoder.decompress(chunk)
    else:
        yield from blob.chunks()


def _gunzipped(blob: Blob) -> Iterator[bytes]:
    """A gzip stream may have several members; each needs a decoder of its own."""
    decoder = zlib.decompressobj(31)
    for chunk in blob.chunks():
        while chunk:
            if decoder.eof:
                decoder = zlib.decompressobj(31)
            yield decoder.decompress(chunk)
            chunk = decoder.unused_data
    if not decoder.eof:
        raise ImageError(f"reading {blob.source.name}: the gzip stream ends too early")


class Unpacked:
    """The pieces of a tar, as a file to read."""

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
