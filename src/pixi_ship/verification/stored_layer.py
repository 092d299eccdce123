"""A layer as it is stored: its rows, and the digest of its tar; nothing touches the disk."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import zstandard

from pixi_ship.digest import Digest
from pixi_ship.errors import PixiShipError
from pixi_ship.oci.blob import Layer
from pixi_ship.oci.decompress import Unpacked, decompressed
from pixi_ship.tar_stream import Member, TarError, members
from pixi_ship.tree import checked_path
from pixi_ship.verification.contents import Node

_MAX_UNPACKED = 256 << 30  # bytes
_XATTR = "SCHILY.xattr."


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """rows: in the tar's order. diff_id: of the bytes that came. odd: sentences."""

    rows: tuple[tuple[str, Node], ...]
    diff_id: Digest
    odd: tuple[str, ...]


def read_layer(layer: Layer) -> StoredLayer:
    """Stream a layer through; raises PixiShipError where it cannot be read to its end.

    The blob is held against its digest while it passes.
    """
    digest = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for chunk in decompressed(layer.blob):
            digest.update(chunk)
            yield chunk

    chunks = hashed()
    rows, odd = [], []
    try:
        for member in members(Unpacked(chunks), limit=_MAX_UNPACKED, lenient=True):
            try:
                path = checked_path(member.name)
            except ValueError as error:
                if member.name.strip("/.") or member.kind != "directory":
                    odd.append(f"layer {layer.descriptor.digest}: {error}")
                continue
            rows.append((path, _node(member)))
        for _ in chunks:  # a reader stops at the end mark; the digest is of everything
            pass
    except (TarError, zlib.error, zstandard.ZstdError) as error:
        raise PixiShipError(f"reading layer {layer.descriptor.digest}: {error}") from error
    return StoredLayer(tuple(rows), Digest(digest.hexdigest()), tuple(odd))


def _node(member: Member) -> Node:
    attributes = _attributes(member.extended)
    if member.kind == "file":
        digest = hashlib.sha256()
        for chunk in member.chunks():
            digest.update(chunk)
        content = digest.hexdigest()
    elif member.kind == "hardlink":
        content = member.link.removeprefix("./").lstrip("/")
    else:
        content = member.link
    size = member.size if member.kind == "file" else 0
    return Node(member.kind, member.mode, size, content, member.owner, attributes)


def _attributes(extended: Mapping[str, bytes]) -> str:
    rows = sorted((key, value) for key, value in extended.items() if key.startswith(_XATTR))
    return hashlib.sha256(repr(rows).encode()).hexdigest() if rows else ""
