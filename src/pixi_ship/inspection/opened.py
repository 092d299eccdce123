"""What can be looked at, opened: images of layers, and SIFs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from pixi_ship.cache import Cache
from pixi_ship.errors import ImageError
from pixi_ship.inspection.description import ImageDescription, SifDescription, describe
from pixi_ship.inspection.lock_file import LOCK, MAX_LOCK, lock_in_layers
from pixi_ship.oci.reference import Reference
from pixi_ship.oci.stored import StoredImage
from pixi_ship.registry.registries import Registries
from pixi_ship.sif.stored import TRANSPORTS, StoredSif, open_sif, read_file


@dataclass(frozen=True, slots=True)
class Opened:
    """An image for one platform.

    lock: reads the lock in it, ImageError where there is none. sif: where it is one; then it
    has no layers.
    """

    image: StoredImage
    description: ImageDescription
    lock: Callable[[], bytes]
    sif: StoredSif | None = None


def open_images(reference: Reference, registries: Registries) -> tuple[Opened, ...]:
    """Open what a reference names, for every platform it has; raises ImageError for nothing."""
    if reference.transport in TRANSPORTS:
        return (_opened_sif(open_sif(reference, registries.sif), registries.cache),)
    found = tuple(_opened_layers(image) for image in registries.read_all(reference))
    if not found:
        raise ImageError(f"{reference} holds no image")
    return found


def _opened_layers(image: StoredImage) -> Opened:
    description = describe(image)
    return Opened(image, description, partial(lock_in_layers, image, description))


def _opened_sif(sif: StoredSif, cache: Cache) -> Opened:
    facts = SifDescription(
        size=sif.size,
        compression=sif.compression,
        signatures=sif.signatures,
        definition=sif.definition,
        objects=sif.objects,
    )
    description = replace(describe(sif.image), sif=facts)
    return Opened(sif.image, description, partial(_lock_in_sif, sif, cache), sif)


def _lock_in_sif(sif: StoredSif, cache: Cache) -> bytes:
    """The lock in the root filesystem, which is read where it lies, or fetched whole."""
    try:
        with sif.fetched(cache) as here, here.root() as root:
            found = read_file(root, LOCK, MAX_LOCK)
    except ImageError as error:
        raise ImageError(sif.told(error), hint=error.hint) from error
    if found is None:
        raise ImageError(f"reading /{LOCK} of {sif.reference}: there is no such file")
    return found
