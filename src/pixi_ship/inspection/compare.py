"""How an image differs from another: packages, layers, config, and what has to be pulled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pixi_ship.digest import Digest
from pixi_ship.errors import ImageError
from pixi_ship.inspection.description import (
    BASE_DIGEST,
    BASE_NAME,
    CREATED,
    ImageDescription,
    LayerDescription,
)
from pixi_ship.inspection.opened import Opened, open_images
from pixi_ship.inspection.packages import Package, packages_of
from pixi_ship.oci.reference import Reference
from pixi_ship.registry.registries import Registries

Value = str | tuple[str, ...] | None

_TOLD_APART = frozenset({BASE_DIGEST, BASE_NAME, CREATED})  # labels that are settings as well


@dataclass(frozen=True, slots=True)
class Change:
    """A field of the config that differs; None where an image does not have it."""

    name: str
    old: Value
    new: Value


@dataclass(frozen=True, slots=True)
class PackageChange:
    """A package that came (``old`` is None), went (``new`` is None), or is another by now."""

    old: Package | None
    new: Package | None

    @property
    def package(self) -> Package:
        """The package as it is now, or was."""
        found = self.new or self.old
        if found is None:
            raise AssertionError("a change has two sides, one of them a package")
        return found


class Sharing(StrEnum):
    """What the old image has of a layer: its bytes, its files packed otherwise, or nothing."""

    SHARED = "shared"
    REPACKED = "repacked"
    NEW = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDifference:
    """Two images for one platform.

    packages: None where one of them has no lock to read. layers: of the new image.
    gone: layers of the old one whose files the new one has not; neither are told where one of
    the two is a SIF. pull_size: bytes of the blobs (layers, config, manifest, or the SIF) that
    a node with the old image lacks, ``pull_blobs`` of them. whole_size: bytes of all of them.
    """

    old: ImageDescription
    new: ImageDescription
    is_same: bool
    packages: tuple[PackageChange, ...] | None
    unchanged_packages: int
    layers: tuple[tuple[LayerDescription, Sharing], ...]
    gone: tuple[LayerDescription, ...]
    pull_size: int
    whole_size: int
    pull_blobs: int
    env: tuple[Change, ...]
    labels: tuple[Change, ...]
    settings: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two references. only_old, only_new: images whose platform the other one lacks."""

    old: Digest | None
    new: Digest | None
    images: tuple[ImageDifference, ...]
    only_old: tuple[ImageDescription, ...]
    only_new: tuple[ImageDescription, ...]
    notes: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether both references name the same images, byte for byte.

        A SIF and an image of layers are the same where both say the same config.
        """
        every = all(each.is_same for each in self.images)
        return every and not self.only_old and not self.only_new


def compare(old: Reference, new: Reference, registries: Registries) -> Comparison:
    """Hold ``new`` against ``old``, for each platform that both have.

    The locks in the images are read, and no other layer. Raises PixiShipError where one cannot
    be opened, and ImageError where no platform is common.
    """
    with registries.cache.in_use(make=True):
        first, second = open_images(old, registries), open_images(new, registries)
        pairs = _pairs(first, second)
        if not pairs:
            names = [" ".join(x.description.platform for x in rows) for rows in (first, second)]
            raise ImageError(
                f"comparing {old} with {new}: they have no platform in common",
                hint=f"the one has {names[0]}, the other {names[1]}",
            )
        notes: list[str] = []
        found = tuple(_difference(*pair, registries, notes) for pair in pairs)
    paired = {id(each) for pair in pairs for each in pair}
    return Comparison(
        old=first[0].image.root,
        new=second[0].image.root,
        images=found,
        only_old=tuple(each.description for each in first if id(each) not in paired),
        only_new=tuple(each.description for each in second if id(each) not in paired),
        notes=tuple(dict.fromkeys(notes)),
    )


def _pairs(first: Sequence[Opened], second: Sequence[Opened]) -> list[tuple[Opened, Opened]]:
    """Images for the same platform; its name in the lock counts where that is not enough."""
    pairs = []
    for platform in dict.fromkeys(each.description.platform for each in first):
        ours = [each for each in first if each.description.platform == platform]
        theirs = [each for each in second if each.description.platform == platform]
        if len(ours) == len(theirs) == 1:
            pairs.append((ours[0], theirs[0]))
            continue
        by_name = {each.description.locked_platform: each for each in theirs}
        for each in ours:
            if (other := by_name.pop(each.description.locked_platform, None)) is not None:
                pairs.append((each, other))
    return pairs


def _difference(
    first: Opened, second: Opened, registries: Registries, notes: list[str]
) -> ImageDifference:
    old, new = first.description, second.description
    have, whole = _blobs(first, second), _blobs(second, first)
    pull = {key: size for key, size in whole.items() if key not in have}
    is_same = _is_same(first, second, pull)
    packages, unchanged = _packages(first, second, registries, notes)
    layered = first.sif is None and second.sif is None
    notes += [] if layered else _notes(first, second, is_same)
    files = {layer.diff_id for layer in new.layers}
    return ImageDifference(
        old=old,
        new=new,
        is_same=is_same,
        packages=packages,
        unchanged_packages=unchanged,
        layers=_sharing(old, new) if layered else (),
        gone=tuple(x for x in old.layers if layered and x.diff_id not in files),
        pull_size=sum(pull.values()),
        whole_size=sum(whole.values()),
        pull_blobs=len(pull),
        env=_changes(old.env, new.env),
        labels=_changes(_other_labels(old), _other_labels(new)),
        settings=_changes(_settings(old, new), _settings(new, old)),
    )


def _is_same(old: Opened, new: Opened, pull: Mapping[object, int]) -> bool:
    """Whether two images are one, by their bytes; where only one is a SIF, by their configs."""
    if (old.sif is None) != (new.sif is None):
        return old.image.config == new.image.config
    if None in (old.image.digest, new.image.digest):
        return not pull
    return old.image.digest == new.image.digest or (new.sif is not None and not pull)


def _blobs(opened: Opened, other: Opened) -> dict[object, int]:
    """Every blob of an image by its digest, and its bytes; a docker-archive has no manifest.

    A SIF is all read for its digest, but only where it may be the same as the other one.
    """
    image, sif = opened.image, opened.sif
    if sif is not None:
        may_be_same = other.sif is not None and other.sif.size == sif.size
        return {sif.digest() if may_be_same else sif.reference: sif.size}
    blobs: dict[object, int] = {layer.digest: layer.size for layer in opened.description.layers}
    blobs[Digest.of(image.raw_config)] = len(image.raw_config)
    if image.manifest is not None:
        blobs[Digest.of(image.manifest)] = len(image.manifest)
    return blobs


def _notes(old: Opened, new: Opened, is_same: bool) -> list[str]:
    """What cannot be told where one of two images is a SIF, or both are."""
    sifs = [each for each in (old, new) if each.sif is not None]
    names = [each.image.reference for each in sifs]
    words = f"{names[0]} is a SIF" if len(sifs) == 1 else "both are SIFs"
    notes = [f"layers are not compared: {words}, in which there are none"]
    if len(sifs) == 2 and not is_same and old.image.config == new.image.config:
        notes.append(
            "both say the same of themselves, but their bytes differ: 'pixi ship verify' tells "
            "whether their files do"
        )
    return notes


def _sharing(
    old: ImageDescription, new: ImageDescription
) -> tuple[tuple[LayerDescription, Sharing], ...]:
    digests = {layer.digest for layer in old.layers}
    files = {layer.diff_id for layer in old.layers}

    def sharing(layer: LayerDescription) -> Sharing:
        if layer.digest in digests:
            return Sharing.SHARED
        return Sharing.REPACKED if layer.diff_id in files else Sharing.NEW

    return tuple((layer, sharing(layer)) for layer in new.layers)


def _packages(
    first: Opened, second: Opened, registries: Registries, notes: list[str]
) -> tuple[tuple[PackageChange, ...] | None, int]:
    """What changed, and how many packages did not; a note and None where there is no lock."""
    sides = []
    for each in (first, second):
        try:
            sides.append(packages_of(each, registries.cache))
        except ImageError as error:
            # Other errors are of bytes that are not what they are called: nothing holds then.
            notes.append(f"packages are not compared: {error}")
    if len(sides) < 2:
        return None, 0
    old, new = ({(each.name, each.kind): each for each in side} for side in sides)
    found = [
        PackageChange(old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    return tuple(found), sum(1 for key, each in new.items() if old.get(key) == each)


def _other_labels(image: ImageDescription) -> dict[str, str]:
    return {name: text for name, text in image.labels.items() if name not in _TOLD_APART}


def _settings(image: ImageDescription, other: ImageDescription) -> dict[str, Value]:
    """What is told apart; of SIFs also how they are compressed, where both are SIFs."""
    found: dict[str, Value] = {
        "base_name": image.base_name,
        "base_digest": image.base_digest,
        "created": image.created,
        "entrypoint": image.entrypoint or None,
        "command": image.command or None,
        "user": image.user,
        "working_directory": image.working_directory,
    }
    if image.sif is not None and other.sif is not None:
        found["squashfs"] = image.sif.compression
    return found


def _changes(old: Mapping[str, Value], new: Mapping[str, Value]) -> tuple[Change, ...]:
    names = dict.fromkeys((*old, *new))
    return tuple(
        Change(name, old.get(name), new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    )
