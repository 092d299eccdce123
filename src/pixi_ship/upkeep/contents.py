"""What lies in a cache, and what is of use only together.

Only files with the names that :mod:`pixi_ship.cache` gives are seen. Whatever else is in the
directory belongs to somebody else and is left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pixi_ship.cache import FETCHED_BLOB, PACK, UNFINISHED, Cache
from pixi_ship.layering import layer_record
from pixi_ship.upkeep.directory import (
    CacheFile,
    directories_in,
    failed,
    files_in,
    opened_file,
    unfinished_trees_in,
)

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LAYER = re.compile(r"([0-9a-f]{64})\.(json|tree)")
_NOTE_KIND = re.compile(r"[a-z][a-z0-9-]{0,99}")
_NOTE = re.compile(r"(?:[a-z0-9]{1,20}-)?[0-9a-f]{32,64}(?:-[0-9]{1,9})?\.json")
_MAX_NOTE = 256 << 20  # bytes


class Kind(StrEnum):
    """What a file is, by the directory it is in."""

    ARCHIVE = "archives"
    BLOB = "blobs"
    LAYER = "layers"
    NOTE = "notes"
    UNFINISHED = "tmp"


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of a cache, by name; ``layers`` and ``trees`` by the layer's key.

    unfinished: what is being written, and what killed processes left, a directory as one file.
    orphans: the latter.
    """

    root: Path
    archives: Mapping[str, CacheFile]
    blobs: Mapping[str, CacheFile]
    layers: Mapping[str, CacheFile]
    trees: Mapping[str, CacheFile]
    notes: tuple[CacheFile, ...]
    unfinished: tuple[CacheFile, ...]
    orphans: tuple[CacheFile, ...]

    def of(self, kind: Kind) -> tuple[CacheFile, ...]:
        """The files of a kind."""
        return {
            Kind.ARCHIVE: tuple(self.archives.values()),
            Kind.BLOB: tuple(self.blobs.values()),
            Kind.LAYER: (*self.layers.values(), *self.trees.values()),
            Kind.NOTE: self.notes,
            Kind.UNFINISHED: self.unfinished,
        }[kind]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for kind in Kind for file in self.of(kind))

    @property
    def uses(self) -> list[float]:
        """When what a build looks up was last used, each in seconds since 1970."""
        return [file.used for file in (*self.archives.values(), *self.layers.values(), *self.notes)]


def survey(cache: Cache) -> Contents:
    """List a cache; raises CacheError where there is none, or a directory in it is a link."""
    cache.check_marked()
    root = cache.root
    layers: dict[str, dict[str, CacheFile]] = {"json": {}, "tree": {}}
    for file in files_in(root, Kind.LAYER):
        if match := _LAYER.fullmatch(file.name):
            layers[match[2]][match[1]] = file
    unfinished = files_in(root, Kind.UNFINISHED)
    for where in UNFINISHED:
        # People keep roots on another disk; what a link leads to is left alone.
        if not (root / where).is_symlink():
            unfinished += unfinished_trees_in(root, where)
    left = {path.relative_to(root).as_posix() for path in cache.orphans()} if unfinished else set()
    return Contents(
        root,
        _by_digest(root, Kind.ARCHIVE),
        _by_digest(root, Kind.BLOB),
        layers["json"],
        layers["tree"],
        tuple(_notes(root)),
        tuple(unfinished),
        tuple(file for file in unfinished if file.path in left),
    )


def _by_digest(root: Path, kind: Kind) -> dict[str, CacheFile]:
    return {file.name: file for file in files_in(root, kind) if _SHA256.fullmatch(file.name)}


def _notes(root: Path) -> Iterator[CacheFile]:
    for kind in directories_in(root, Kind.NOTE):
        if _NOTE_KIND.fullmatch(kind):
            for file in files_in(root, f"{Kind.NOTE}/{kind}"):
                if _NOTE.fullmatch(file.name):
                    yield file


@dataclass(frozen=True, slots=True)
class Holding:
    """Files that are of use only together, in the order in which they may go.

    blob: the digest, in hex, of the blob that they name; it goes after the last who names it.
    fault: what is wrong with them, or with the blob. is_readable: whether they say anything.
    """

    kind: Kind
    files: tuple[CacheFile, ...]
    used: float
    blob: str | None = None
    fault: str | None = None
    is_readable: bool = True

    @property
    def size(self) -> int:
        """Bytes of the files, without the blob."""
        return sum(file.size for file in self.files)


def holdings(found: Contents) -> list[Holding]:
    """Everything that a build may look up: archives, layers, notes; reads all notes."""
    archives = [
        Holding(Kind.ARCHIVE, (file,), file.used) if file.is_regular else _useless(file)
        for file in found.archives.values()
    ]
    layers = [_layer(found, key) for key in found.layers]
    return [*archives, *layers, *(_note(found, file) for file in found.notes)]


def _layer(found: Contents, key: str) -> Holding:
    note, tree = found.layers[key], found.trees.get(key)
    document = _document(found.root, note)
    record = layer_record(document) if document is not None else None
    files = (note, tree) if tree else (note,)
    if record is None:
        return _useless(*files)
    blob = record.digest.hex
    return Holding(Kind.LAYER, files, note.used, blob, _blob_fault(found, blob, record.size))


def _blob_fault(found: Contents, blob: str, size: int) -> str | None:
    there = found.blobs.get(blob)
    if there is None:
        return None  # a registry may have it, and then nobody need make it again
    if not there.is_regular:
        return f"it names {Kind.BLOB}/{blob}, which is not a file"
    if there.size != size:
        return f"it names {Kind.BLOB}/{blob} of {size} bytes, which has {there.size}"
    return None


def _note(found: Contents, file: CacheFile) -> Holding:
    document = _document(found.root, file)
    if document is None:
        return _useless(file)
    if file.path.startswith(f"{Kind.NOTE}/{FETCHED_BLOB}/"):
        # It is written before its blob is fetched: where there is none yet, nothing is wrong.
        blob = file.name.removesuffix(".json")
    elif file.path.startswith(f"{Kind.NOTE}/{PACK}/"):
        blob = str(document.get("digest")).removeprefix("sha256:")
    else:
        return Holding(Kind.NOTE, (file,), file.used)
    there = found.blobs.get(blob)
    used = max(file.used, there.used) if there else file.used
    return Holding(Kind.NOTE, (file,), used, blob)


def _useless(*files: CacheFile) -> Holding:
    fault = "it cannot be read" if files[0].is_regular else "it is no regular file"
    kind = Kind(files[0].path.partition("/")[0])
    return Holding(kind, files, files[0].used, fault=fault, is_readable=False)


def _document(root: Path, file: CacheFile) -> Mapping[str, object] | None:
    """The JSON object in a note; None where there is none."""
    if not file.is_regular:
        return None
    try:
        with opened_file(root, file.path) as source:
            data = source.read(_MAX_NOTE + 1)
        value = json.loads(data) if len(data) <= _MAX_NOTE else None
    except PermissionError as error:
        raise failed("reading", root, file.path, error) from error
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
