"""Images as SIF: one squashfs of all layers, whose packed files are kept by layer.

What takes time is packing, and a pack belongs to one layer: an image with one changed layer
costs one pack and a copy. Nothing but Python is needed for that.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from pixi_ship.cache import PACK, Cache
from pixi_ship.digest import Digest, HashingWriter
from pixi_ship.oci.blob import Blob, Layer, Stretch
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.oci.image import canonical_json
from pixi_ship.sif.file import Bytes, Part, root_partition, write_sif
from pixi_ship.sif.format import DataType
from pixi_ship.sif.layers import KEEP, merged_root, pack_layer
from pixi_ship.sif.singularity import SingularityTree
from pixi_ship.squashfs.filesystem import Filesystem, make_filesystem
from pixi_ship.squashfs.format import SquashfsCompression
from pixi_ship.squashfs.pack import Pack, PackWriter, Row, pack_from_json, pack_to_json
from pixi_ship.tree import Directory, Entry, File, Symlink, Tree

_FORMAT = 1  # of packs in the cache: raise it when the same layer would give others
_MEDIA_TYPE = "application/vnd.pixi-ship.pack"


@dataclass(frozen=True, slots=True)
class KeptPack:
    """A pack and where its data lies."""

    pack: Pack
    blob: Blob
    reused: bool


class Packs:
    """The packs of layers: from the cache, or made, several at once.

    Use it as a context manager; leaving it by an error drops what is not begun.
    """

    def __init__(self, cache: Cache, compression: SquashfsCompression, workers: int) -> None:
        self.compression = compression
        self._cache = cache
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="pack")
        self._futures: dict[Digest, Future[KeptPack]] = {}

    def __enter__(self) -> Packs:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)

    def has(self, diff_id: Digest) -> bool:
        """Whether the cache holds the pack of a layer."""
        return self._kept(self._key(diff_id)) is not None

    def add(self, layer: Layer) -> None:
        """Begin to pack a layer."""
        if layer.diff_id not in self._futures:
            self._futures[layer.diff_id] = self._pool.submit(self._get, layer)

    def get(self, layer: Layer) -> KeptPack:
        """The pack of a layer; raises ImageError, DigestMismatch for a damaged one."""
        self.add(layer)
        return self._futures[layer.diff_id].result()

    def _get(self, layer: Layer) -> KeptPack:
        key = self._key(layer.diff_id)
        return self._kept(key) or self._make(key, layer)

    def _key(self, diff_id: Digest) -> str:
        return Digest.of(f"{diff_id} {self.compression.key} {_FORMAT}".encode()).hex

    def _kept(self, key: str) -> KeptPack | None:
        note = self._cache.note(PACK, key)
        if note is None:
            return None
        try:
            pack = pack_from_json(note)
            blob = self._blob(Digest.parse(str(note["digest"])), pack.size)
            if self._cache.blob(blob.descriptor.digest).stat().st_size != pack.size:
                return None
        except (KeyError, TypeError, ValueError, OSError):
            return None
        return KeptPack(pack, blob, True)

    def _make(self, key: str, layer: Layer) -> KeptPack:
        with self._cache.temporary() as file:
            hashing = HashingWriter(file.write)
            pack = pack_layer(layer, hashing.write, self.compression)
            file.flush()
            target = self._cache.blob(hashing.digest)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.parent.joinpath(file.name).replace(target)
        document = {**pack_to_json(pack), "digest": str(hashing.digest)}
        self._cache.write_note(PACK, key, document)
        return KeptPack(pack, self._blob(hashing.digest, pack.size), False)

    def _blob(self, digest: Digest, size: int) -> Blob:
        return Blob(Descriptor(_MEDIA_TYPE, digest, size), Stretch(self._cache.blob(digest)))


@dataclass(frozen=True, slots=True)
class SquashfsBody:
    """A squashfs as it goes into a file: superblock, packs, tables."""

    filesystem: Filesystem
    packs: tuple[KeptPack, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.filesystem.size

    def copy_to(self, write: Callable[[bytes], object]) -> None:
        """Write it; each pack is held against its digest. Raises DigestMismatch."""
        write(self.filesystem.superblock)
        for each in self.packs:
            each.blob.copy_to(write)
        write(self.filesystem.tables)


@dataclass(frozen=True, slots=True)
class SifImage:
    """A SIF about to be written. reused: how many of its packs were there before."""

    parts: tuple[Part, ...]
    architecture: str
    time: int
    packed: int
    reused: int

    def copy_to(self, write: Callable[[bytes], object]) -> None:
        """Write the whole file, front to back."""
        write_sif(self.parts, self.architecture, self.time, write)


def make_sif(
    layers: Sequence[Layer], config: Mapping[str, object], origin: str, packs: Packs
) -> SifImage:
    """Make everything of a SIF but its bytes in one place.

    config: the whole image config; its ``created`` is the time of everything. origin: what the
    image is, in words that are the same on every machine. Raises ImageError.
    """
    runtime = config.get("config")
    runtime = runtime if isinstance(runtime, dict) else {}
    time = seconds(config.get("created"))
    definition = f"bootstrap: docker\nfrom: {origin}\n"
    # The largest first, so that it does not run alone at the end.
    for layer in sorted(layers, key=lambda each: -each.descriptor.size):
        packs.add(layer)
    kept = [packs.get(layer) for layer in layers]
    tree = SingularityTree(runtime, definition)
    kept.append(_tree_pack(tree, packs.compression))
    root = merged_root([each.pack for each in kept])
    filesystem = make_filesystem(root, [each.pack for each in kept], packs.compression, time)
    architecture = str(config.get("architecture"))
    parts = (
        Part(DataType.DEFINITION, "Singularity", Bytes(definition.encode())),
        Part(DataType.JSON, "inspect-metadata.json", Bytes(tree.metadata())),
        Part(DataType.JSON, "oci-config.json", Bytes(canonical_json(config))),
        root_partition(SquashfsBody(filesystem, tuple(kept)), architecture),
    )
    reused = sum(each.reused for each in kept)
    return SifImage(parts, architecture, time, len(kept) - 1, reused)


def seconds(created: object) -> int:
    """An image's ``created`` as seconds since 1970; 0 for what is no time."""
    try:
        when = datetime.datetime.fromisoformat(str(created))
    except ValueError:
        return 0
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.UTC)
    return max(0, min(int(when.timestamp()), 2**32 - 1))


def _tree_pack(tree: Tree, compression: SquashfsCompression) -> KeptPack:
    """A small tree as a pack in memory; directories that are there keep their modes."""
    pieces: list[bytes] = []
    append: Callable[[bytes], None] = pieces.append
    packer = PackWriter(append, compression)
    rows = [_tree_row(entry, packer) for entry in tree.entries()]
    fragments = packer.close()
    data = b"".join(pieces)
    descriptor = Descriptor(_MEDIA_TYPE, Digest.of(data), len(data))
    pack = Pack(tuple(rows), fragments, len(data))
    return KeptPack(pack, Blob.of(descriptor, data), False)


def _tree_row(entry: Entry, packer: PackWriter) -> Row:
    if isinstance(entry, File):
        return Row(entry.path, "file", entry.mode, content=packer.add(entry.size, entry.content))
    if isinstance(entry, Symlink):
        return Row(entry.path, "symlink", 0o777, entry.target)
    if isinstance(entry, Directory):
        return Row(entry.path, "directory", KEEP)
    return Row(entry.path, "hardlink", 0o644, entry.target)
