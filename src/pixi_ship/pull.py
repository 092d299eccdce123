"""Bring an image to a node as a SIF, once, however many jobs ask for it.

The directory holds the files, each named by its image's digest, and ``.cache``:

    sha256-<64 hex>.sif   complete, or not there
    .cache/               notes on the layers in the files, and what is under way
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pixi_ship.cache import FETCHED_BLOB, PACK, Cache, alone, read_json, replacing
from pixi_ship.convert import image_digest, sif_of
from pixi_ship.digest import Digest
from pixi_ship.errors import ImageError, UsageError
from pixi_ship.oci.blob import Blob, Stretch
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.oci.stored import StoredImage
from pixi_ship.platform import Platform
from pixi_ship.progress import SILENCE, Progress
from pixi_ship.registry.pull import RemoteBlob
from pixi_ship.registry.registries import Registries
from pixi_ship.sif.fetch import fetch_sif, packs_of
from pixi_ship.sif.file import read_sif
from pixi_ship.sif.packs import Packs
from pixi_ship.sif.write import write_sif_file
from pixi_ship.squashfs.format import SquashfsCompression

_CACHE = ".cache"


@dataclass(frozen=True, slots=True)
class Pulled:
    """A SIF on this node.

    digest: of the image, or of the artifact's manifest. there_before: nobody had to fetch it
    for this call. bytes_fetched: of layers or of the SIF, that were not here in another file.
    """

    path: Path
    digest: Digest
    there_before: bool
    bytes_fetched: int


def cache_beside(directory: Path) -> Cache:
    """The cache of a directory that images are pulled to."""
    return Cache(directory / _CACHE)


def pull(
    reference: Reference,
    directory: Path,
    platform: Platform,
    compression: SquashfsCompression,
    registries: Registries,
    workers: int,
    progress: Progress = SILENCE,
) -> Pulled:
    """Have the image in ``directory``; of several that ask at once one does the work.

    registries: with the cache that :func:`cache_beside` gives. Of an image that another file
    there shares layers with, only the others are fetched. Where the reference names a digest
    that is there, no registry is asked. Raises UsageError, ImageError, RegistryError.
    """
    if reference.transport is Transport.SIF:
        raise UsageError(f"{reference} is a SIF on this machine already")
    cache = registries.cache
    node = _Node(directory, cache, compression, workers, progress)
    with cache.in_use(make=True):
        found = _look_up(reference, platform, registries)
        target = directory / f"sha256-{found.digest.hex}.sif"
        if not _is_there(target):
            with alone(cache.root):
                # Who waited here for another pull may find that it was for the same image.
                if not _is_there(target):
                    cache.sweep()
                    found.write(target, node)
                    node.tidy()
                    return Pulled(target, found.digest, False, node.bytes_fetched)
    return Pulled(target, found.digest, True, 0)


def _look_up(
    reference: Reference, platform: Platform, registries: Registries
) -> _ImageInLayers | _SifInRegistry:
    if reference.transport is Transport.ORAS:
        return _SifInRegistry(*registries.sif(reference))
    return _ImageInLayers(registries.read(reference, platform, keep=False))


def _is_there(target: Path) -> bool:
    """Whether the file is there, whole; then it was used now, which a clean-up may go by."""
    try:
        _ = read_sif(target).root
    except ImageError:
        return False
    with suppress(OSError):
        os.utime(target)
    return True


@dataclass(slots=True)
class _Node:
    """The directory and what may be done there; counts what is fetched."""

    directory: Path
    cache: Cache
    compression: SquashfsCompression
    workers: int
    progress: Progress
    bytes_fetched: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fetched(self, size: int) -> None:
        """Count, and tell."""
        with self._lock:
            self.bytes_fetched += size
        self.progress.fetched(size)

    def packs(self) -> dict[Digest, Stretch]:
        """Where packs lie in the files that were pulled before."""
        return packs_of(sorted(self.directory.glob("sha256-*.sif")))

    def tidy(self) -> None:
        """Drop packs that lie in files now, and notes on those that lie in none any more."""
        here = {digest.hex for digest in self.packs()}
        for blob in (self.cache.root / "blobs").glob("*"):
            if self.cache.note(FETCHED_BLOB, blob.name) is None:
                blob.unlink(missing_ok=True)
        for path in (self.cache.root / "notes" / PACK).glob("*.json"):
            digest = str((read_json(path) or {}).get("digest"))
            if digest.removeprefix("sha256:") not in here:
                path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _ImageInLayers:
    """An image of layers, wherever it is."""

    image: StoredImage

    @property
    def digest(self) -> Digest:
        return image_digest(self.image)

    def write(self, target: Path, node: _Node) -> None:
        """Fetch and pack the layers that no file of the node has, and write the SIF."""
        with Packs(node.cache, node.compression, node.workers, node.packs()) as packs:
            sif = sif_of(self.image, packs, node.fetched)
        write_sif_file(sif, Reference(Transport.SIF, str(target)), node.progress.written)


@dataclass(frozen=True, slots=True)
class _SifInRegistry:
    """A SIF in a registry."""

    digest: Digest
    blob: Blob

    def write(self, target: Path, node: _Node) -> None:
        """Fetch the stretches that no file of the node has, and put the SIF together."""
        with replacing(target, mode=0o755) as file:

            def begin() -> Callable[[bytes], object]:
                file.seek(0)
                file.truncate()
                return file.write

            fetch_sif(self.blob, self._here(node), begin, node.fetched)

    def _here(self, node: _Node) -> dict[Digest, Stretch]:
        source, packs = self.blob.source, node.packs()
        alone = isinstance(source, RemoteBlob) and packs and source.takes_ranges()
        return packs if alone else {}
