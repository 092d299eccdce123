"""A layer as it is stored: its rows, and the digest of its tar; nothing touches the disk."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pixi_ship.digest import Digest
from pixi_ship.errors import ImageError
from pixi_ship.oci.blob import Layer
from pixi_ship.oci.decompress import Unpacked, decompressed
from pixi_ship.tar_stream import Member, members
from pixi_ship.tree import checked_path
from pixi_ship.verification.contents import Node, OddEntry, attributes_digest

# A tar of zeros shrinks some 30,000-fold under zstd, real layers 2 to 20-fold.
_MAX_RATIO = 1000
_MIN_LIMIT = 256 << 20  # bytes
_MAX_UNPACKED = 256 << 30  # bytes
_LONG = 256  # characters of names that count as one entry more
_MAX_PATH = 4095  # bytes that Linux takes (PATH_MAX, less the NUL)
# Type flags of special files (POSIX.1-2001); others are no file that an image can hold.
_SPECIAL = {"3": "character device", "4": "block device", "6": "named pipe"}


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """rows: in the tar's order. diff_id: of the bytes that came. odd: what is not in rows."""

    rows: tuple[tuple[str, Node], ...]
    diff_id: Digest
    odd: tuple[OddEntry, ...]

    @property
    def paths(self) -> frozenset[str]:
        """The path of every entry."""
        return frozenset([*(path for path, _ in self.rows), *(each.path for each in self.odd)])


@dataclass(slots=True)
class Allowance:
    """What all layers of an image together may hold; threads may share it.

    entries: how many more. unpacked: bytes that a layer may always have, however small it is.
    """

    entries: int
    unpacked: int = _MIN_LIMIT
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self, member: Member) -> None:
        """Count an entry, with long names as several; raises ImageError for too many."""
        with self._lock:
            self.entries -= 1 + (len(member.name) + len(member.link)) // _LONG
            if self.entries < 0:
                raise ImageError("the image's layers hold more entries than any image needs")

    def limit(self, layer: Layer) -> int:
        """How many bytes a layer may unpack to."""
        most = max(_MIN_LIMIT, self.unpacked, layer.descriptor.size * _MAX_RATIO)
        return min(most, _MAX_UNPACKED)


def read_layer(layer: Layer, allowance: Allowance) -> StoredLayer:
    """Stream a layer through; the blob is held against its digest while it passes.

    Raises ImageError where it is no tar to its end, or more than the allowance.
    """
    digest = hashlib.sha256()
    chunks = _hashed(layer, allowance.limit(layer), digest.update)
    rows, odd = [], []
    try:
        for member in members(Unpacked(chunks), limit=_MAX_UNPACKED, lenient=True):
            allowance.take(member)
            if len(member.name.encode()) > _MAX_PATH:
                odd.append(OddEntry(f"{member.name[:100]}…", "a path too long for Linux"))
                continue
            try:
                path = checked_path(member.name)
            except ValueError as error:
                if member.name.strip("/.") or member.kind != "directory":
                    odd.append(OddEntry(member.name, str(error)))
                continue
            rows.append((path, _node(member)))
        for _ in chunks:  # a reader stops at the end mark; the digest is of everything
            pass
    except ValueError as error:  # a TarError, or a number that is none
        raise ImageError(f"reading layer {layer.descriptor.digest}: {error}") from error
    return StoredLayer(tuple(rows), Digest(digest.hexdigest()), tuple(odd))


def _hashed(layer: Layer, limit: int, update: Callable[[bytes], None]) -> Iterator[bytes]:
    """The bytes of a layer's tar, hashed on the way."""
    left = limit
    for chunk in decompressed(layer.blob):
        left -= len(chunk)
        if left < 0:
            raise ImageError(
                f"reading layer {layer.descriptor.digest}: it unpacks to more than {limit} bytes "
                "(a decompression bomb?)"
            )
        update(chunk)
        yield chunk


def _node(member: Member) -> Node:
    kind, device = member.kind, 0
    if member.kind == "special":
        kind = _SPECIAL.get(member.typeflag, kind)
        device = member.device_number if kind.endswith("device") else 0
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
    attributes = attributes_digest(member.extended)
    return Node(kind, member.mode, size, content, member.owner, attributes, device=device)
