"""Extended attributes of a squashfs, as they are read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pixi_ship.squashfs.format import (
    NONE_32,
    POINTER,
    XATTR_ELSEWHERE,
    XATTR_NAME,
    XATTR_PREFIXES,
    XATTR_SET,
    XATTR_TABLE,
    XATTR_VALUE,
)
from pixi_ship.squashfs.metadata import Blocks, Cursor, LookupTable

_PAX = "SCHILY.xattr."
_MAX_VALUE = 64 << 10  # bytes of a value, XATTR_SIZE_MAX
_MAX_NAMES = 64 << 10  # bytes of the names of a file, XATTR_LIST_MAX
_MAX_SET = 1 << 20  # bytes, as of an extended header of a tar
_CACHED = 64  # sets; the files of a package often have the same

_NONE: Mapping[str, bytes] = MappingProxyType({})


class Attributes:
    """The sets of extended attributes; inodes refer to them by number.

    at: where the table of a squashfs is; None for one that has none.
    """

    def __init__(self, blocks: Blocks, at: int | None) -> None:
        self._blocks = blocks
        self._known: dict[int, Mapping[str, bytes]] = {}
        self._sets: LookupTable | None = None
        self._start = 0
        if at is not None:
            head = blocks.stretch.read(at, XATTR_TABLE.size)
            self._start, count, _ = XATTR_TABLE.unpack(head)
            self._sets = LookupTable(blocks, at + XATTR_TABLE.size, count, XATTR_SET.size)

    def of(self, number: int) -> Mapping[str, bytes]:
        """A set as pax records ``SCHILY.xattr.NAME``; empty for ``NONE_32``.

        Where the squashfs has no table, no file has attributes, as for the kernel. Raises
        ImageError for a set that cannot be.
        """
        if number == NONE_32 or self._sets is None:
            return _NONE
        found = self._known.get(number)
        if found is None:
            found = self._read(self._sets.record(number, "set of extended attributes"))
            if len(self._known) >= _CACHED:
                del self._known[next(iter(self._known))]
            self._known[number] = found
        return found

    def _read(self, record: bytes) -> Mapping[str, bytes]:
        place, count, _ = XATTR_SET.unpack(record)
        cursor = self._cursor(place)
        found: dict[str, bytes] = {}
        names = size = 0
        for _ in range(count):
            name, value = self._pair(cursor)
            names += len(name) + 1  # with the NUL, as Linux counts
            size += len(name) + len(value)
            key = _PAX + name.decode("utf-8", "replace")
            if names > _MAX_NAMES or size > _MAX_SET:
                raise self._blocks.stretch.damaged("has a file with too many extended attributes")
            if key in found:
                raise self._blocks.stretch.damaged(f"has a file with two attributes {name!r}")
            found[key] = value
        return MappingProxyType(found)

    def _pair(self, cursor: Cursor) -> tuple[bytes, bytes]:
        kind, size = XATTR_NAME.unpack(cursor.take(XATTR_NAME.size))
        prefix = kind & ~XATTR_ELSEWHERE
        name = cursor.take(size) if size else b""
        if prefix >= len(XATTR_PREFIXES) or not name or b"\0" in name:
            raise self._blocks.stretch.damaged(f"has an extended attribute {prefix}:{name!r}")
        value = self._value(cursor)
        if kind & XATTR_ELSEWHERE:
            if len(value) != POINTER.size:
                raise self._blocks.stretch.damaged(f"does not say where the value of {name!r} is")
            value = self._value(self._cursor(POINTER.unpack(value)[0]))
        return XATTR_PREFIXES[prefix] + name, value

    def _value(self, cursor: Cursor) -> bytes:
        (size,) = XATTR_VALUE.unpack(cursor.take(XATTR_VALUE.size))
        if size > _MAX_VALUE:
            raise self._blocks.stretch.damaged(f"has an extended attribute of {size} bytes")
        return cursor.take(size) if size else b""

    def _cursor(self, place: int) -> Cursor:
        return Cursor(self._blocks, self._start + (place >> 16), place & 0xFFFF)
