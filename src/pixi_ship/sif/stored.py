"""A SIF as it lies somewhere, ours or another's: what it says of itself. Nothing is believed.

One of ours holds the config of the image it was made from, whole. Apptainer's hold the part of
it that runtimes apply, or nothing, and beside it what ``apptainer inspect`` shows.

Source: SIFs that Apptainer 1.4 built; numbers of objects in the sif project's
``pkg/sif/descriptor.go``.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pixi_ship.cache import Cache
from pixi_ship.digest import Digest, HashingWriter
from pixi_ship.errors import ImageError
from pixi_ship.oci.blob import Blob
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.oci.stored import StoredImage, parsed
from pixi_ship.sif.file import SifFile, read_sif, read_sif_from
from pixi_ship.sif.format import METADATA, OCI_CONFIG, DataType, Descriptor, PartitionType
from pixi_ship.squashfs.format import SUPERBLOCK
from pixi_ship.squashfs.read import SquashfsEntry, SquashfsReader
from pixi_ship.squashfs.superblock import Superblock

TRANSPORTS = frozenset({Transport.SIF, Transport.ORAS})  # what names a SIF

_LABELS = ".singularity.d/labels.json"
_MAX_LABELS = 32 << 20  # bytes
_KINDS = {
    DataType.DEFINITION: "definition",
    DataType.ENVIRONMENT: "environment",
    DataType.LABELS: "labels",
    DataType.SIGNATURE: "signature",
    DataType.JSON: "json",
    DataType.GENERIC: "generic",
    0x4008: "message",
    0x4009: "sbom",
    0x400A: "oci index",
    0x400B: "oci blob",
}
# fs/squashfs/squashfs_fs.h: what a superblock says of the compression.
_CODECS = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}


@dataclass(frozen=True, slots=True)
class DataObject:
    """A data object in words; ``size`` in bytes."""

    number: int
    kind: str
    name: str
    size: int

    def __str__(self) -> str:
        named = f" {self.name!r}" if self.name else ""
        return f"{self.kind}{named}, {self.size} bytes"


def in_words(found: Descriptor) -> DataObject:
    """What a descriptor says."""
    kind = _KINDS.get(found.kind, f"type {found.kind:#x}")
    if found.partition is not None:
        purposes = {each.value: each.name.lower() for each in PartitionType}
        kind = f"{purposes.get(found.partition[1], 'unknown')} partition"
    return DataObject(found.number, kind, found.name, found.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSif:
    """A SIF somewhere.

    image: what it says of itself, without layers. is_ours: whether its config is the whole one
    of an image; else it is put together from what there is. path: where the file is, None in a
    registry, where ``blob`` has it.
    """

    reference: str
    file: SifFile
    image: StoredImage
    is_ours: bool
    path: Path | None = None
    blob: Blob | None = None

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.file.size

    @property
    def objects(self) -> tuple[DataObject, ...]:
        """The data objects, in the order of the table."""
        return tuple(in_words(each) for each in self.file.objects)

    @property
    def signatures(self) -> int:
        """How many signatures there are, by whomever."""
        return sum(1 for each in self.file.objects if each.kind == DataType.SIGNATURE)

    @property
    def compression(self) -> str | None:
        """How the root filesystem is compressed; None where it is no squashfs, or none we know."""
        with suppress(ImageError):
            root = self.file.root
            head = b"".join(self.file.source.read(root.offset, min(root.size, SUPERBLOCK.size)))
            return _CODECS.get(Superblock.unpack(head, root.size, self.reference).compression)
        return None

    @property
    def definition(self) -> str | None:
        """The definition file that it says it was built from."""
        for each in self.file.objects:
            if each.kind == DataType.DEFINITION:
                return self.file.read(each).decode("utf-8", "replace")
        return None

    def root(self, *, max_entries: int | None = None) -> SquashfsReader:
        """The root filesystem; of a SIF in a registry only once it is :meth:`fetched`.

        Raises ImageError for what is none.
        """
        if self.path is None:
            raise AssertionError("a SIF in a registry is fetched before its root is read")
        found = self.file.root
        if max_entries is None:
            return SquashfsReader(self.path, found.offset, found.size)
        return SquashfsReader(self.path, found.offset, found.size, max_entries=max_entries)

    @contextmanager
    def fetched(self, cache: Cache) -> Iterator[StoredSif]:
        """The same SIF in a file: of one in a registry a copy, held against its digest.

        Everything is read from that copy again: what a registry gives in pieces need not be
        what it gives as a whole. Raises RegistryError, DigestMismatch, ImageError.
        """
        if self.blob is None:
            yield self
            return
        with cache.temporary() as copy:
            self.blob.copy_to(copy.write)
            copy.flush()
            path = Path(copy.name)
            found = _opened(self.reference, read_sif(path), self.image.digest, path=path)
            try:
                yield found
            except ImageError as error:
                raise ImageError(found.told(error), hint=error.hint) from error

    def told(self, error: ImageError) -> str:
        """An error in the words of who named the SIF, wherever its bytes lie."""
        return str(error).replace(self.file.source.name, self.reference)

    def digest(self) -> Digest:
        """The digest of the whole file; reads all of one on this machine."""
        if self.blob is not None:
            return self.blob.descriptor.digest
        hashing = HashingWriter(lambda data: None)
        for chunk in self.file.source.read(0, self.size):
            hashing.write(chunk)
        return hashing.digest


def open_sif(
    reference: Reference, in_registry: Callable[[Reference], tuple[Digest, Blob]]
) -> StoredSif:
    """Open what a ``sif:`` or ``oras://`` reference names; of the latter only what is asked for.

    in_registry: gives the digest of an artifact's manifest, and the blob of its SIF. Raises
    ImageError for what is no SIF, RegistryError.
    """
    where = str(reference)
    if reference.transport is Transport.ORAS:
        digest, blob = in_registry(reference)
        file = read_sif_from(blob.source, blob.descriptor.size)
        return _opened(where, file, digest, blob=blob)
    path = Path(reference.path)
    return _opened(where, read_sif(path), None, path=path)


def _opened(
    where: str,
    file: SifFile,
    digest: Digest | None,
    *,
    path: Path | None = None,
    blob: Blob | None = None,
) -> StoredSif:
    raw = file.named(OCI_CONFIG)
    config = parsed(raw, f"{where}: {OCI_CONFIG}") if raw is not None else {}
    is_ours = "rootfs" in config  # the part that Apptainer keeps has none
    image = StoredImage(where, None, raw or b"", config, (), digest, digest)
    sif = StoredSif(reference=where, file=file, image=image, is_ours=is_ours, path=path, blob=blob)
    if is_ours:
        return sif
    return replace(sif, image=replace(image, raw_config=b"", config=_put_together(sif, config)))


def _put_together(sif: StoredSif, runtime: Mapping[str, object]) -> dict[str, object]:
    """What is known of a SIF of others, as the config of an image would say it."""
    labels = runtime.get("Labels")
    known = dict(labels) if isinstance(labels, dict) else {}
    made: dict[str, object] = {
        "os": "linux",
        "architecture": sif.file.architecture,
        "config": {**runtime, "Labels": {**known, **_labels(sif)}},
    }
    with suppress(OverflowError, ValueError, OSError):
        created = datetime.datetime.fromtimestamp(sif.file.header.created, datetime.UTC)
        made["created"] = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    return made


def _labels(sif: StoredSif) -> dict[str, object]:
    """The labels in the object that ``apptainer inspect`` reads, else those in the root."""
    with suppress(ImageError, ValueError, KeyError, TypeError, RecursionError):
        found = json.loads(sif.file.named(METADATA) or b"null")["data"]["attributes"]["labels"]
        if isinstance(found, dict):
            return found
    with suppress(ImageError, ValueError, RecursionError):
        found = json.loads(_labels_in_root(sif))
        if isinstance(found, dict):
            return found
    return {}


def _labels_in_root(sif: StoredSif) -> bytes:
    if sif.path is None:
        return b""
    with sif.root() as root:
        return read_file(root, _LABELS, _MAX_LABELS) or b""


def read_file(root: SquashfsReader, path: str, most: int) -> bytes | None:
    """A file of at most ``most`` bytes; None where there is none. Raises ImageError."""
    for entry in root.entries():
        if entry.path == path:
            return _content(entry, most)
    return None


def _content(entry: SquashfsEntry, most: int) -> bytes:
    if entry.kind != "file":
        raise ImageError(f"reading /{entry.path}: it is a {entry.kind}, want a file")
    if entry.size > most:
        raise ImageError(f"reading /{entry.path}: it has {entry.size} bytes")
    return b"".join(entry.chunks())
