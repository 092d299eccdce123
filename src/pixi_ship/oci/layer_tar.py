"""The entries of a layer, held against what the image's config says of it.

Spec: OCI image-spec 1.1, ``layer.md``: a later entry replaces an earlier one, ``.wh.NAME``
removes a name, ``.wh..wh..opq`` all that lower layers have in a directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from pixi_ship.digest import Digest
from pixi_ship.errors import DigestMismatch, ImageError
from pixi_ship.oci.blob import Layer
from pixi_ship.oci.decompress import Unpacked, decompressed
from pixi_ship.tar_stream import Member, TarError, members

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_MAX_UNPACKED = 256 << 30  # bytes


@contextmanager
def layer_members(layer: Layer) -> Iterator[Iterator[Member]]:
    """The members of a layer's tar, which is read once, to be taken in the block.

    When the block ends well, the tar is held against the layer's diff_id; the blob is held
    against its digest while it passes. Raises ImageError also for what goes wrong in the block
    while a member is read, DigestMismatch.
    """
    digest = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for chunk in decompressed(layer.blob):
            digest.update(chunk)
            yield chunk

    chunks = hashed()
    try:
        yield members(Unpacked(chunks), limit=_MAX_UNPACKED, lenient=True)
        for _ in chunks:  # a reader stops at the end mark; the digest is of everything
            pass
    except TarError as error:
        raise ImageError(f"reading layer {layer.descriptor.digest}: {error}") from error
    got = Digest(digest.hexdigest())
    if got != layer.diff_id:
        raise DigestMismatch(
            f"the tar in layer {layer.descriptor.digest}",
            want=str(layer.diff_id),
            got=str(got),
            says="the image's config",
        )
