"""Look at one image, wherever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixi_ship.digest import Digest
from pixi_ship.errors import PixiShipError
from pixi_ship.inspection.attached import MOST, Attached, attached_to
from pixi_ship.inspection.description import ImageDescription
from pixi_ship.inspection.opened import open_images
from pixi_ship.inspection.packages import Package, packages_of
from pixi_ship.oci.reference import Reference
from pixi_ship.oci.stored import StoredImage
from pixi_ship.registry.registries import Registries


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found under a reference.

    digest: what the reference names, an index where there are several images. packages: for
    each image, where they were asked for. attached: None where nothing can be, or the registry
    does not say. notes: what could not be told, a sentence each.
    """

    reference: Reference
    digest: Digest | None
    images: tuple[ImageDescription, ...]
    packages: tuple[tuple[Package, ...], ...] | None
    attached: tuple[Attached, ...] | None
    notes: tuple[str, ...]


def inspect(
    reference: Reference, registries: Registries, *, with_packages: bool = False
) -> Inspection:
    """Describe the image at ``reference``, for every platform it has.

    with_packages: also read the lock in it, and so one of its layers; a SIF in a registry is
    fetched for that. Raises PixiShipError where there is no image, or with_packages and no lock.
    """
    remote = reference.in_registry
    with registries.cache.in_use(make=remote or with_packages):
        opened = open_images(reference, registries)
        packages = None
        if with_packages:
            packages = tuple(packages_of(each, registries.cache) for each in opened)
        images = [each.image for each in opened]
        attached, notes = _attached(reference, images, registries) if remote else (None, ())
    described = tuple(each.description for each in opened)
    return Inspection(reference, images[0].root, described, packages, attached, notes)


def _attached(
    reference: Reference, images: Sequence[StoredImage], registries: Registries
) -> tuple[tuple[Attached, ...] | None, tuple[str, ...]]:
    """What is attached to the index and to each image; an image can be looked at without."""
    subjects = [digest for image in images for digest in (image.root, image.digest) if digest]
    try:
        found = attached_to(registries.repository(reference), subjects)
    except PixiShipError as error:
        return None, (f"what is attached is not known: {error}",)
    return found, (f"no more than {MOST} artifacts are listed",) if len(found) == MOST else ()
