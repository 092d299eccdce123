"""An installed file as its archive held it, proven by the digest in the prefix record.

Nothing is believed but bytes: the file is taken back to what the archive held, with the
archive's own placeholder, and the digest says whether that is right. So it does not matter
where the prefix was installed, and the repacked archive does not tell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pixi_ship.digest import BLOCK, copy_hashing
from pixi_ship.errors import PackageError
from pixi_ship.package.metadata import FileMode, PrefixPlaceholder
from pixi_ship.repack.placeholder import (
    NotRestored,
    restored_binary,
    restored_shebangs,
    restored_texts,
)
from pixi_ship.repack.prefix import InstalledPrefix
from pixi_ship.repack.record import InstalledRecord, InstalledRow
from pixi_ship.tree import readable_mode

MAX_TEXT_FILE = 256 << 20  # bytes; a text file is restored in memory
_HINT = (
    "it was changed after it was installed, or by another package: "
    "run 'pixi clean' and 'pixi install --locked', then the same again"
)
# For files whose record says nothing of a prefix that they hold.
_STAND_IN = "/pixi-ship" + "_placehold" * 25


class Changed(PackageError):
    """An installed file is not what its record says."""


@dataclass(frozen=True, slots=True)
class RestoredFile:
    """A file as it goes into the archive; ``chunks()`` gives its ``size`` bytes each time."""

    path: str
    mode: int
    size: int
    sha256: str
    placeholder: PrefixPlaceholder | None
    chunks: Callable[[], Iterator[bytes]]


def restored_file(
    record: InstalledRecord, row: InstalledRow, prefix: InstalledPrefix
) -> RestoredFile:
    """Take an installed file back to what the archive held.

    row: one of the record's. Raises Changed for a file that is missing or not as recorded.
    """
    package = str(record)
    try:
        with prefix.open(row.path) as (file, facts):
            mode, size = readable_mode(facts.st_mode), facts.st_size
            digest = copy_hashing(file, lambda _: None)[0].hex
    except FileNotFoundError:
        raise Changed(package, f"{row.path!r} is not in {prefix}", hint=_HINT) from None
    installed = RestoredFile(
        row.target, mode, size, digest, row.placeholder, lambda: _chunks(prefix, row.path, digest)
    )
    if digest == row.sha256:
        return installed
    recorded = row.sha256_in_prefix or row.sha256
    if row.placeholder is not None:
        is_recorded = digest == row.sha256_in_prefix
        if found := _restored(record, row, installed, prefix, is_recorded=is_recorded):
            return found
    elif recorded is None:
        return _unrecorded(installed, prefix)
    elif digest == recorded:
        return installed
    raise Changed(
        package,
        f"{row.path!r} in {prefix} is not what was installed: sha256 is {digest}, "
        f"want {recorded or 'that of a file relocated from ' + ' or '.join(prefix.origins)}",
        hint=_HINT,
    )


def _restored(
    record: InstalledRecord,
    row: InstalledRow,
    installed: RestoredFile,
    prefix: InstalledPrefix,
    *,
    is_recorded: bool,
) -> RestoredFile | None:
    """The file with its placeholder; of several possible ones that with the archive's digest.

    is_recorded: whether the installed bytes are those of the record, which then are enough
    where the archive's own are not known or were not only relocated.
    """
    last = None
    for candidate in _candidates(row, installed, prefix):
        if candidate.sha256 == row.sha256:
            return candidate
        if candidate.sha256 != installed.sha256:
            last = candidate
    for guess in _guesses(record, row, installed, prefix):
        if guess.sha256 == row.sha256:
            return guess
    return last if is_recorded or (row.sha256 is None and row.sha256_in_prefix is None) else None


def _candidates(
    row: InstalledRow, installed: RestoredFile, prefix: InstalledPrefix
) -> Iterator[RestoredFile]:
    slot = row.placeholder
    if slot is None:
        return
    after = slot.placeholder.encode()
    if slot.file_mode is FileMode.BINARY:
        for origin in prefix.origins:
            yield from _of_binary(installed, origin.encode(), after, slot)
    elif installed.size <= MAX_TEXT_FILE:
        data = b"".join(installed.chunks())
        for origin in prefix.origins:
            for text in restored_texts(data, origin.encode(), after):
                yield _of_bytes(installed, text, slot)


def _guesses(
    record: InstalledRecord, row: InstalledRow, installed: RestoredFile, prefix: InstalledPrefix
) -> Iterator[RestoredFile]:
    """Scripts as they may have been, if the digest says so."""
    slot = row.placeholder
    if slot is None or slot.file_mode is not FileMode.TEXT or installed.size > MAX_TEXT_FILE:
        return
    paths = [each.target for each in record.rows]
    data = b"".join(installed.chunks())
    for origin in prefix.origins:
        places = origin.encode(), slot.placeholder.encode()
        for text in restored_shebangs(data, *places, paths):
            yield _of_bytes(installed, text, slot)


def _of_bytes(installed: RestoredFile, text: bytes, slot: PrefixPlaceholder) -> RestoredFile:
    return RestoredFile(
        installed.path,
        installed.mode,
        len(text),
        hashlib.sha256(text).hexdigest(),
        slot,
        lambda: iter((text,)),
    )


def _of_binary(
    installed: RestoredFile, before: bytes, after: bytes, slot: PrefixPlaceholder
) -> Iterator[RestoredFile]:
    digest, size = hashlib.sha256(), 0
    try:
        for chunk in restored_binary(installed.chunks(), before, after):
            digest.update(chunk)
            size += len(chunk)
    except NotRestored:
        return
    yield RestoredFile(
        installed.path,
        installed.mode,
        size,
        digest.hexdigest(),
        slot,
        lambda: restored_binary(installed.chunks(), before, after),
    )


def _unrecorded(installed: RestoredFile, prefix: InstalledPrefix) -> RestoredFile:
    """A file of which nothing is recorded: relocated from wherever it holds the prefix."""
    for origin in prefix.origins:
        place = origin.encode()
        # A name alone, such as /env, is in too many texts to mean the prefix.
        if origin.count("/") == 1 or not _holds(installed.chunks(), origin):
            continue
        if installed.size <= MAX_TEXT_FILE and not _holds(installed.chunks(), "\0"):
            slot = PrefixPlaceholder(_STAND_IN, FileMode.TEXT)
            text = b"".join(installed.chunks()).replace(place, _STAND_IN.encode())
            return _of_bytes(installed, text, slot)
        # Nobody knows what room the strings of a binary had: as much as they have now.
        stand_in = _STAND_IN[: len(place)].ljust(len(place), "_")
        slot = PrefixPlaceholder(stand_in, FileMode.BINARY)
        for found in _of_binary(installed, place, stand_in.encode(), slot):
            return found
    return RestoredFile(
        installed.path, installed.mode, installed.size, installed.sha256, None, installed.chunks
    )


class Search:
    """Whether bytes that come in pieces hold one of several texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = [text.encode() for text in texts]
        self._keep = max((len(text) for text in self._texts), default=1) - 1
        self._carry = b""
        self.found = False

    def take(self, piece: bytes) -> None:
        """Look into the next piece."""
        data = self._carry + piece
        self.found = self.found or any(text in data for text in self._texts)
        self._carry = data[max(0, len(data) - self._keep) :]


def _holds(chunks: Iterable[bytes], text: str) -> bool:
    search = Search([text])
    for chunk in chunks:
        search.take(chunk)
    return search.found


def _chunks(prefix: InstalledPrefix, path: str, want: str) -> Iterator[bytes]:
    """The file's bytes once more, which must be the same."""
    digest = hashlib.sha256()
    with prefix.open(path) as (file, _):
        while block := file.read(BLOCK):
            digest.update(block)
            yield block
    if digest.hexdigest() != want:
        raise Changed(str(prefix), f"{path!r} changed while it was read")
