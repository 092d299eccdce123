"""Images into a registry: blobs as they come, then config, manifest, and the tag last.

Nothing points to a blob before it is there, so a cut at any moment leaves the tag at the
image it named before.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType

from pixi_ship.cache import Cache
from pixi_ship.digest import Digest
from pixi_ship.oci.artifact import Artifact
from pixi_ship.oci.blob import Blob
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.oci.image import Image, ImageIndex
from pixi_ship.oci.sif_artifact import SifArtifact
from pixi_ship.registry.attach import attach
from pixi_ship.registry.pull import CachedBlob, RemoteBlob
from pixi_ship.registry.repository import Repository
from pixi_ship.registry.upload import Report, push_blob

_PLACES = "pushed"  # notes: which repositories a blob was pushed to
_MOST_PLACES = 8


@dataclass(slots=True)
class Transfers:
    """What became of the blobs of a push."""

    found: int = 0
    mounted: int = 0
    sent: int = 0
    bytes_sent: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def to_json(self) -> dict[str, int]:
        """The counts by name."""
        return {
            "found": self.found,
            "mounted": self.mounted,
            "sent": self.sent,
            "bytes_sent": self.bytes_sent,
        }

    def count(self, outcome: str, size: int) -> None:
        """Note the outcome of one blob."""
        with self._lock:
            setattr(self, outcome, getattr(self, outcome) + 1)
            if outcome == "sent":
                self.bytes_sent += size


class Push:
    """A push to one repository: blobs are added while others are still made.

    Use it as a context manager; leaving it by an error stops what is under way.
    """

    def __init__(
        self,
        repository: Repository,
        cache: Cache,
        parallel: int,
        report: Report = lambda size: None,
    ) -> None:
        self.repository = repository
        self.transfers = Transfers()
        self._cache = cache
        self._report = report
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="push")
        self._blobs: dict[Digest, Future[None]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Push:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.repository.session.patience.stop.set()
        self._pool.shutdown(wait=True, cancel_futures=error is not None)

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the repository has the blob, so that nobody need make it."""
        return self.repository.has_blob(descriptor)

    def add(self, blob: Blob) -> None:
        """Begin to push a blob; each digest once. Raises what an earlier one failed with."""
        with self._lock:
            for future in self._blobs.values():
                if future.done():
                    future.result()
            digest = blob.descriptor.digest
            if digest not in self._blobs:
                self._blobs[digest] = self._pool.submit(self._push, blob)

    def finish(
        self, image: Image | ImageIndex, tag: str, artifacts: Sequence[Artifact] = ()
    ) -> None:
        """Push what is left of an image, or of an index of images, and set the tag to it.

        artifacts: what is attached to it before the tag names it.
        """
        self._all([layer.blob for each in image.images for layer in each.layers])
        self._all([Blob.of(each.config_descriptor, each.config) for each in image.images])
        for document in {each.digest: each for each in (*image.images, image)}.values():
            self._put(document)
        for artifact in artifacts:
            attach(artifact, self.repository)
        self._set_tag(tag, image)

    def finish_sif(self, sif: SifArtifact, tag: str) -> None:
        """Push a SIF, and set the tag to it."""
        self._all(sif.blobs)
        self._set_tag(tag, sif)

    def _set_tag(self, tag: str, named: Image | ImageIndex | SifArtifact) -> None:
        if self.repository.head(tag) != named.descriptor:
            self.repository.put_manifest(named.manifest, named.descriptor.media_type, tag)

    def _all(self, blobs: Sequence[Blob]) -> None:
        for blob in blobs:
            self.add(blob)
        for blob in blobs:
            self._blobs[blob.descriptor.digest].result()

    def _put(self, document: Image | ImageIndex) -> None:
        if self.repository.head(document.digest) is None:
            media_type = document.descriptor.media_type
            self.repository.put_manifest(document.manifest, media_type, document.digest)

    def _push(self, blob: Blob) -> None:
        digest = blob.descriptor.digest
        outcome = push_blob(blob, self.repository, self._sources(blob), self._report)
        self.transfers.count(outcome, blob.descriptor.size)
        self._remember(digest)

    def _sources(self, blob: Blob) -> list[str]:
        """Repositories of the same registry that had the blob once."""
        places = self._places(blob.descriptor.digest)
        source = blob.source
        if isinstance(source, CachedBlob):
            source = source.remote
        if isinstance(source, RemoteBlob):
            places = [str(source.repository), *places]
        start = f"docker://{self.repository.session.host}/"
        names = [place.removeprefix(start) for place in places if place.startswith(start)]
        return [name for name in dict.fromkeys(names) if name != self.repository.name][:2]

    def _places(self, digest: Digest) -> list[str]:
        note = self._cache.note(_PLACES, digest.hex)
        rows = note.get("places") if note else None
        return [str(row) for row in rows] if isinstance(rows, list) else []

    def _remember(self, digest: Digest) -> None:
        known = self._places(digest)
        if str(self.repository) in known:
            return
        places = [str(self.repository), *known]
        self._cache.write_note(_PLACES, digest.hex, {"places": places[:_MOST_PLACES]})
