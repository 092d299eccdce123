"""ISA-L's deflate, made to depend on its input alone.

Left to itself, ISA-L 2.32.1 gives now and then other bytes for the same input: where the body
of its one-pass compressors meets the first byte of a stream, it hashes a register that still
holds the stream's address instead of the data (``.write_first_byte`` in
``igzip_icf_body_h1_gr_bt.asm``), and that bucket of its hash table then refers to the wrong
place. Which one is a matter of where the memory lies, so one stream in some thousands differs.
The short inputs that end in a flush are compressed by another routine, which has no such fault
and leaves the table as it should be. So the head of every stream is flushed first; it costs
about eleven bytes (docs/explanation/compression.md).
"""

from __future__ import annotations

import isal
from isal import isal_zlib

LEVEL = 2
# The body wants 16 bytes beyond what it compresses, and so it leaves a head of 16 alone. Four
# are enough for the other routine to leave the first byte behind.
_HEAD = 16
GZIP = 31
ZLIB = 15

KEY = f"isal-{isal.ISAL_VERSION} level-{LEVEL} head-{_HEAD}"
"""What compressed bytes depend on, besides the input and how it is cut into pieces."""


class Deflate:
    """One stream, in the container GZIP or ZLIB.

    Its bytes depend on how the input is cut into pieces. The first piece must have 16 bytes or
    be the only one.
    """

    def __init__(self, container: int) -> None:
        self._stream = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, container)
        self._begun = False

    def compress(self, data: bytes) -> bytes:
        """Take a piece; what is compressed by now."""
        if self._begun:
            return self._stream.compress(data)
        self._begun = True
        head, rest = data[:_HEAD], memoryview(data)[_HEAD:]
        compress, flush = self._stream.compress, self._stream.flush
        return b"".join((compress(head), flush(isal_zlib.Z_SYNC_FLUSH), compress(rest)))

    def flush(self) -> bytes:
        """End the stream; what is left of it."""
        return self._stream.flush()


def zlib_block(data: bytes) -> bytes:
    """A block as a zlib stream of its own."""
    stream = Deflate(ZLIB)
    return stream.compress(data) + stream.flush()
