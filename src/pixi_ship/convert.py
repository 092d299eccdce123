"""Make a SIF of any image, wherever it is: one that Apptainer need not convert any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pixi_ship.cache import Cache
from pixi_ship.digest import Digest
from pixi_ship.errors import UsageError
from pixi_ship.oci.blob import Blob, Layer, Watched
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.oci.stored import StoredImage
from pixi_ship.oci.write import check_writable
from pixi_ship.platform import Platform
from pixi_ship.progress import SILENCE, Progress
from pixi_ship.registry.push import Transfers
from pixi_ship.registry.registries import Registries
from pixi_ship.sif.make import SifImage, make_sif
from pixi_ship.sif.packs import Packs
from pixi_ship.sif.write import sif_artifact, write_sif_file
from pixi_ship.squashfs.format import SquashfsCompression


@dataclass(frozen=True, slots=True)
class Conversion:
    """What :func:`convert` made. transfers: by the reference that was pushed to."""

    image: StoredImage
    sif: SifImage
    transfers: dict[str, Transfers]


def convert(
    reference: Reference,
    to: Sequence[Reference],
    platform: Platform,
    compression: SquashfsCompression,
    cache: Cache,
    registries: Registries,
    workers: int,
    progress: Progress = SILENCE,
) -> Conversion:
    """Write the SIF of an image to every place in ``to``, each ``sif:`` or ``oras://``.

    Layers of a registry are streamed; what they give is kept in the cache. Raises UsageError,
    ImageError, RegistryError, DigestMismatch.
    """
    for each in to:
        if each.transport not in (Transport.SIF, Transport.ORAS):
            raise UsageError(
                f"{each} is no place for a SIF", hint="want sif:FILE or oras://HOST/NAME:TAG"
            )
        check_writable(each)
    with cache.in_use(make=True):
        cache.sweep()
        image = registries.read(reference, platform, keep=False)
        with Packs(cache, compression, workers) as packs:
            sif = sif_of(image, packs, progress.fetched)
            transfers = {}
            for each in to:
                if each.transport is Transport.SIF:
                    write_sif_file(sif, each, progress.written)
                    continue
                with registries.push(each, progress.written) as push:
                    push.finish_sif(sif_artifact(sif, each), each.tag or "latest")
                transfers[str(each)] = push.transfers
    return Conversion(image, sif, transfers)


def sif_of(image: StoredImage, packs: Packs, report: Callable[[int], None]) -> SifImage:
    """The SIF of an image; raises ImageError, RegistryError, DigestMismatch.

    report: called with each number of bytes of layers that had to be read.
    """
    layers = [_watched(layer, report) for layer in image.layers]
    return make_sif(layers, image.config, str(image_digest(image)), packs)


def image_digest(image: StoredImage) -> Digest:
    """The digest that an image is known by; where it has no manifest, that of its config."""
    return image.digest or Digest.of(image.raw_config)


def _watched(layer: Layer, report: Callable[[int], None]) -> Layer:
    return replace(layer, blob=Blob(layer.descriptor, Watched(layer.blob.source, report)))
