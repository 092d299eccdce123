"""Write a tree as a tar: the same bytes for the same tree, whoever writes it and when.

Per entry one 512-byte ustar header, a pax header before it where a name or size does not
fit, the content, and padding to 512; two zero records at the end. Owner 0/0, no names,
one time for everything; ``tests`` hold the result against ``tarfile``, umoci and skopeo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pixi_ship.errors import TreeConflict
from pixi_ship.tree import DIRECTORY_MODE, Directory, Entry, File, Hardlink, Symlink

RECORD = 512
# 1980-01-01T00:00:00Z, what Pixi itself clamps to: zip archives cannot hold earlier times,
# so a job that zips files of its environment would fail with 0.
MTIME = 315532800
_MAX_NAME = 100
_MAX_OCTAL = 8**11 - 1
_TIME = b"%011o\0" % MTIME


class TarWriter:
    """Write entries through ``write``; directories above an entry are added where missing."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._kinds: dict[str, bool] = {}  # path → whether it is a directory
        self._modes: dict[str, int] = {}  # of files, for their other names
        self.files = 0
        self.listing: list[str] = []

    def add_all(self, entries: Iterable[Entry]) -> None:
        """Write every entry; raises TreeConflict if two take one path, or one lies below a file."""
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Write one entry."""
        path = entry.path
        if isinstance(entry, Directory):
            self._directory(path)
            return
        self._directory(path.rpartition("/")[0])
        if path in self._kinds:
            raise TreeConflict(f"two packages of one layer write {path!r}")
        self._kinds[path] = False
        self.files += 1
        if isinstance(entry, File):
            self._file(entry)
        elif isinstance(entry, Symlink):
            self._header(path, b"2", 0o777, 0, entry.target)
            self.listing.append(f"link 777 0 {path} -> {entry.target}")
        elif isinstance(entry, Hardlink):
            # Runtimes give the file the mode of its last name (Docker and podman do).
            mode = self._modes[path] = self._modes.get(entry.target, 0o644)
            self._header(path, b"1", mode, 0, entry.target)
            self.listing.append(f"hard {mode:o} 0 {path} -> {entry.target}")

    def close(self) -> None:
        """End the tar."""
        self._write(bytes(2 * RECORD))

    def _directory(self, path: str) -> None:
        if not path:
            return
        is_directory = self._kinds.get(path)
        if is_directory:
            return
        if is_directory is False:
            raise TreeConflict(
                f"{path!r} is a file or link, and another entry wants to lie below it"
            )
        self._directory(path.rpartition("/")[0])
        self._kinds[path] = True
        self._header(f"{path}/", b"5", DIRECTORY_MODE, 0, "")
        self.listing.append(f"dir {DIRECTORY_MODE:o} 0 {path}")

    def _file(self, entry: File) -> None:
        self._modes[entry.path] = entry.mode
        self._header(entry.path, b"0", entry.mode, entry.size, "")
        self.listing.append(f"file {entry.mode:o} {entry.size} {entry.path}")
        written = 0
        for chunk in entry.content:
            written += len(chunk)
            self._write(chunk)
        if written != entry.size:
            raise TreeConflict(f"{entry.path!r} gave {written} bytes, its entry says {entry.size}")
        if written % RECORD:
            self._write(bytes(-written % RECORD))

    def _header(self, path: str, kind: bytes, mode: int, size: int, link: str) -> None:
        name, target = path.encode(), link.encode()
        pax = b""
        if len(name) > _MAX_NAME or not path.isascii():
            pax += _pax(b"path", name)
            name = path.encode("ascii", "replace")[:_MAX_NAME]
        if len(target) > _MAX_NAME or not link.isascii():
            pax += _pax(b"linkpath", target)
            target = link.encode("ascii", "replace")[:_MAX_NAME]
        if size > _MAX_OCTAL:
            pax += _pax(b"size", b"%d" % size)
            size_field = 0
        else:
            size_field = size
        if pax:
            self._write(_header(b"././@PaxHeader", b"x", 0, len(pax), b""))
            self._write(pax + bytes(-len(pax) % RECORD))
        self._write(_header(name, kind, mode, size_field, target))


def _header(name: bytes, kind: bytes, mode: int, size: int, link: bytes) -> bytes:
    numbers = b"%07o\0000000000\0000000000\0%011o\0%s" % (mode, size, _TIME)
    # Padding adds nothing to the checksum, so it is taken of what is not.
    checksum = sum(name) + sum(numbers) + kind[0] + sum(link) + _CONSTANT
    return b"%s%s%06o\0 %s%s%s" % (
        name.ljust(_MAX_NAME, b"\0"),
        numbers,
        checksum,
        kind,
        link.ljust(_MAX_NAME, b"\0"),
        _REST,
    )


# magic and version, user and group name (empty), device numbers, prefix and padding
_REST = b"ustar\x0000" + bytes(64) + b"0000000\x000000000\x00" + bytes(155 + 12)
# The checksum is taken with its own field as eight blanks (8 * 0x20 = 256).
_CONSTANT = sum(_REST) + 256


def _pax(key: bytes, value: bytes) -> bytes:
    """One pax record: its length in decimal, which counts its own digits."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length = len(b"%d" % length) + len(body)
    return b"%d" % length + body
