"""Layers packed for squashfs, each once: what takes time of a SIF is kept by layer."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from pixi_ship.cache import PACK, Cache
from pixi_ship.digest import Digest, HashingWriter
from pixi_ship.errors import DigestMismatch, ImageError
from pixi_ship.oci.blob import Blob, Layer, Source, Stretch
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.sif.layers import pack_layer
from pixi_ship.squashfs.compress import codec_key
from pixi_ship.squashfs.format import SquashfsCompression
from pixi_ship.squashfs.pack import Pack, pack_from_json, pack_to_json

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

    elsewhere: by its digest, where the data of a pack may lie that only the cache's notes
    know. Use it as a context manager; leaving it by an error drops what is not begun.
    """

    def __init__(
        self,
        cache: Cache,
        compression: SquashfsCompression,
        workers: int,
        elsewhere: Mapping[Digest, Source] = MappingProxyType({}),
    ) -> None:
        self.compression = compression
        self._codec = codec_key(compression)
        self._cache = cache
        self._elsewhere = elsewhere
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
        return Digest.of(f"{diff_id} {self._codec} {_FORMAT}".encode()).hex

    def _kept(self, key: str) -> KeptPack | None:
        note = self._cache.note(PACK, key)
        if note is None:
            return None
        try:
            pack, digest = pack_from_json(note), Digest.parse(str(note["digest"]))
        except (KeyError, TypeError, ValueError):
            return None
        with suppress(OSError):
            if self._cache.blob(digest).stat().st_size == pack.size:
                return KeptPack(pack, self._blob(digest, pack.size), True)
        return self._found(pack, digest)

    def _found(self, pack: Pack, digest: Digest) -> KeptPack | None:
        """A pack whose data lies elsewhere, where it is still what the note speaks of."""
        if (source := self._elsewhere.get(digest)) is None:
            return None
        blob = Blob(Descriptor(_MEDIA_TYPE, digest, pack.size), source)
        try:
            blob.copy_to(lambda data: None)
        except (ImageError, DigestMismatch, OSError):
            return None
        return KeptPack(pack, blob, True)

    def _make(self, key: str, layer: Layer) -> KeptPack:
        with self._cache.temporary() as file:
            hashing = HashingWriter(file.write)
            pack = pack_layer(layer, hashing.write, self.compression)
            self._cache.keep(file, self._cache.blob(hashing.digest))
        document = {**pack_to_json(pack), "digest": str(hashing.digest)}
        self._cache.write_note(PACK, key, document)
        return KeptPack(pack, self._blob(hashing.digest, pack.size), False)

    def _blob(self, digest: Digest, size: int) -> Blob:
        return Blob(Descriptor(_MEDIA_TYPE, digest, size), Stretch(self._cache.blob(digest)))
