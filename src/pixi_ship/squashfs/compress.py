"""Compress and expand single blocks, as squashfs wants each of its codecs."""

from __future__ import annotations

import importlib
import lzma
import zlib
from collections.abc import Callable
from functools import partial
from types import ModuleType

import zstandard

from pixi_ship import deflate
from pixi_ship.errors import ImageError
from pixi_ship.squashfs.format import BLOCK_SIZE, SquashfsCompression

_ZSTD_LEVEL = 3

Codec = Callable[[bytes], bytes]


def compressor(compression: SquashfsCompression) -> Codec:
    """A function from a block to its compressed bytes; not to be shared by threads."""
    if compression is SquashfsCompression.GZIP:
        # The kernel calls zlib streams "gzip".
        return deflate.zlib_block
    if compression is SquashfsCompression.LZ4:
        return partial(_lz4().compress, store_size=False)
    if compression is SquashfsCompression.ZSTD:
        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=False).compress
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": BLOCK_SIZE}]
    return lambda data: lzma.compress(data, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)


def codec_key(compression: SquashfsCompression) -> str:
    """What the bytes of a pack depend on besides its files: codec, level, version.

    The version of liblzma is not to be had.
    """
    if compression is SquashfsCompression.GZIP:
        return deflate.KEY
    if compression is SquashfsCompression.LZ4:
        return f"lz4-{_lz4('lz4').library_version_string()}"
    if compression is SquashfsCompression.ZSTD:
        version = ".".join(str(part) for part in zstandard.ZSTD_VERSION)
        return f"zstd-{version} level-{_ZSTD_LEVEL}"
    return "xz level-6"


def expander(number: int) -> Callable[[bytes, int], bytes]:
    """A function from compressed bytes and the most they may give to the block.

    number: the superblock's. Raises ImageError for a codec that is not known, and so does the
    function for damaged bytes.
    """
    expand = {1: _zlib, 4: _xz, 5: _lz4_block, 6: _zstd}.get(number)
    if expand is None:
        raise ImageError(
            f"its squashfs is compressed by codec {number}, want gzip, lz4, xz or zstd"
        )
    if expand is _lz4_block:
        _lz4()

    def checked(data: bytes, most: int) -> bytes:
        try:
            block = expand(data, most)
        except (zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
            raise ImageError(f"a block of its squashfs is damaged: {error}") from None
        if len(block) > most:
            raise ImageError("a block of its squashfs is larger than it may be")
        return block

    return checked


def _lz4(module: str = "lz4.block") -> ModuleType:
    """The lz4 library, which few want; raises ImageError where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImageError(
            "squashfs by lz4 needs the Python package lz4", hint="pip install 'pixi-ship[lz4]'"
        ) from None


def _lz4_block(data: bytes, most: int) -> bytes:
    lz4 = _lz4()
    try:
        block: bytes = lz4.decompress(data, uncompressed_size=most)
    except lz4.LZ4BlockError as error:
        raise ImageError(
            f"a block of its squashfs is damaged, or larger than it may be: {error}"
        ) from None
    return block


def _zlib(data: bytes, most: int) -> bytes:
    decoder = zlib.decompressobj()
    return _whole(decoder.decompress(data, most + 1), decoder.eof, most)


def _xz(data: bytes, most: int) -> bytes:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=64 << 20)
    return _whole(decoder.decompress(data, most + 1), decoder.eof, most)


def _whole(block: bytes, ended: bool, most: int) -> bytes:
    """These two decoders take a stream that is cut off for one that goes on later."""
    if not ended and len(block) <= most:
        raise ImageError("a block of its squashfs ends too early")
    return block


def _zstd(data: bytes, most: int) -> bytes:
    if zstandard.frame_content_size(data) > most:
        raise ImageError("a block of its squashfs is larger than it may be")
    return zstandard.ZstdDecompressor(max_window_size=1 << 23).decompress(
        data, max_output_size=most + 1
    )
