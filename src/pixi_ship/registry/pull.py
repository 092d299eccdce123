"""Images out of a registry: documents and layers by digest, through the cache."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pixi_ship.cache import FETCHED_BLOB, Cache
from pixi_ship.digest import Digest, digest_file
from pixi_ship.errors import DigestMismatch
from pixi_ship.oci.blob import Blob, Stretch
from pixi_ship.oci.descriptor import CONFIGS, INDEX, MANIFEST, Descriptor
from pixi_ship.oci.reference import Reference
from pixi_ship.oci.stored import StoredImage, images_of
from pixi_ship.platform import Platform
from pixi_ship.registry.repository import Repository


@dataclass(frozen=True, slots=True)
class RemoteBlob:
    """The bytes of a blob in a registry, streamed when they are read."""

    repository: Repository
    descriptor: Descriptor

    @property
    def name(self) -> str:
        """Repository and digest."""
        return f"{self.repository}@{self.descriptor.digest}"

    def read(self, start: int, size: int) -> Iterator[bytes]:
        """Stream; raises RegistryError."""
        return self.repository.read_blob(self.descriptor, start, size)

    def takes_ranges(self) -> bool:
        """Whether reading from the middle costs no more than what is read."""
        return self.repository.takes_ranges(self.descriptor)


@dataclass(slots=True)
class CachedBlob:
    """A blob in a registry that comes into the cache when it is first read."""

    remote: RemoteBlob
    cache: Cache
    _checked: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def name(self) -> str:
        """Where it came from."""
        return self.remote.name

    def read(self, start: int, size: int) -> Iterator[bytes]:
        """Read from the cache; fetches the whole blob where it is not there, or rotted."""
        path = self.cache.blob(self.remote.descriptor.digest)
        with self._lock:
            if not self._checked:
                if not _holds(path, self.remote.descriptor):
                    self._fetch()
                self._checked = True
                self.cache.mark_used(path)
        return Stretch(path).read(start, size)

    def _fetch(self) -> None:
        digest = self.remote.descriptor.digest
        # First the note: a blob without one would look like nobody's.
        self.cache.write_note(FETCHED_BLOB, digest.hex, {"from": str(self.remote.repository)})
        for last in (False, True):  # a byte can turn on the way, but hardly twice
            try:
                with self.cache.writing(self.cache.blob(digest)) as file:
                    Blob(self.remote.descriptor, self.remote).copy_to(file.write)
                return
            except DigestMismatch as error:
                if last:
                    raise _damaged(error) from None


def _damaged(error: DigestMismatch) -> DigestMismatch:
    hint = "the registry's copy is damaged: push the image anew"
    return DigestMismatch(
        error.what, want=error.want, got=error.got, says="its manifest", hint=hint
    )


def _holds(path: Path, descriptor: Descriptor) -> bool:
    with suppress(OSError):
        return path.stat().st_size == descriptor.size and digest_file(path) == descriptor.digest
    return False


@dataclass(slots=True)
class RegistryStore:
    """The blobs of a repository.

    keep: whether layers come into the cache; documents always do, they are small.
    """

    repository: Repository
    cache: Cache
    keep: bool = True
    _documents: dict[Digest, bytes] = field(default_factory=dict)

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest or an index."""
        return self.root(descriptor.digest)[1]

    def root(self, reference: str | Digest) -> tuple[Descriptor, bytes]:
        """What a tag or digest names; by digest it is read from the cache if it is there.

        Raises NotInRegistry, RegistryError.
        """
        if isinstance(reference, Digest) and (known := self._known(reference)) is not None:
            return _descriptor(reference, known), known
        descriptor, data = self.repository.manifest(reference)
        self._documents[descriptor.digest] = data
        self.cache.write_note(FETCHED_BLOB, descriptor.digest.hex, {"from": str(self.repository)})
        with self.cache.writing(self.cache.blob(descriptor.digest)) as file:
            file.write(data)
        return _descriptor(descriptor.digest, data), data

    def blob(self, descriptor: Descriptor) -> Blob:
        """A config or layer."""
        remote = RemoteBlob(self.repository, descriptor)
        cached = self.cache.blob(descriptor.digest)
        keep = self.keep or descriptor.media_type in CONFIGS
        if keep or _holds(cached, descriptor):
            return Blob(descriptor, CachedBlob(remote, self.cache))
        return Blob(descriptor, remote)

    def _known(self, digest: Digest) -> bytes | None:
        if digest not in self._documents:
            with suppress(OSError):
                data = self.cache.blob(digest).read_bytes()
                if Digest.of(data) == digest:
                    self.cache.mark_used(self.cache.blob(digest))
                    self._documents[digest] = data
        return self._documents.get(digest)


def _descriptor(digest: Digest, data: bytes) -> Descriptor:
    """A document's descriptor by what it says itself: the header is not in the cache."""
    with suppress(ValueError, RecursionError):
        document = json.loads(data)
        if isinstance(document, dict):
            implied = INDEX if "manifests" in document else MANIFEST
            return Descriptor(str(document.get("mediaType") or implied), digest, len(data))
    return Descriptor("", digest, len(data))


def read_remote(
    reference: Reference, platform: Platform | None, store: RegistryStore
) -> list[StoredImage]:
    """The image that a ``docker://`` reference names for a platform; all for None.

    Layers are read when they are asked for. Raises NotInRegistry, RegistryError, ImageError.
    """
    root, _ = store.root(reference.digest or reference.tag or "latest")
    return images_of(root, platform, store, str(reference))
