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
from pixi_ship.inspection.inspect import read_described
from pixi_ship.inspection.packages import Package, packages_of
from pixi_ship.oci.reference import Reference
from pixi_ship.oci.stored import StoredImage
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
    gone: layers of the old one whose files the new one has not. pull_size: bytes of the blobs
    (layers, config, manifest) that a node with the old image lacks, ``pull_blobs`` of them.
    whole_size: bytes of all of them.
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
        """Whether both references name the same images, byte for byte."""
        every = all(each.is_same for each in self.images)
        return every and not self.only_old and not self.only_new


_Read = tuple[StoredImage, ImageDescription]


def compare(old: Reference, new: Reference, registries: Registries) -> Comparison:
    """Hold ``new`` against ``old``, for each platform that both have.

    The locks in the images are read, and no other layer. Raises PixiShipError where one cannot
    be opened, and ImageError where no platform is common.
    """
    with registries.cache.in_use(make=True):
        first = list(zip(*read_described(old, registries), strict=True))
        second = list(zip(*read_described(new, registries), strict=True))
        pairs = _pairs(first, second)
        if not pairs:
            names = [" ".join(each.platform for _, each in rows) for rows in (first, second)]
            raise ImageError(
                f"comparing {old} with {new}: they have no platform in common",
                hint=f"the one has {names[0]}, the other {names[1]}",
            )
        notes: list[str] = []
        found = tuple(_difference(*pair, registries, notes) for pair in pairs)
    paired = {id(image) for pair in pairs for _, image in pair}
    return Comparison(
        old=first[0][0].root,
        new=second[0][0].root,
        images=found,
        only_old=tuple(image for _, image in first if id(image) not in paired),
        only_new=tuple(image for _, image in second if id(image) not in paired),
        notes=tuple(dict.fromkeys(notes)),
    )


def _pairs(first: Sequence[_Read], second: Sequence[_Read]) -> list[tuple[_Read, _Read]]:
    """Images for the same platform; its name in the lock counts where that is not enough."""
    pairs = []
    for platform in dict.fromkeys(image.platform for _, image in first):
        ours = [each for each in first if each[1].platform == platform]
        theirs = [each for each in second if each[1].platform == platform]
        if len(ours) == len(theirs) == 1:
            pairs.append((ours[0], theirs[0]))
            continue
        by_name = {each[1].locked_platform: each for each in theirs}
        for each in ours:
            if (other := by_name.pop(each[1].locked_platform, None)) is not None:
                pairs.append((each, other))
    return pairs


def _difference(
    first: _Read, second: _Read, registries: Registries, notes: list[str]
) -> ImageDifference:
    (old_image, old), (new_image, new) = first, second
    have = _blobs(old_image, old)
    whole = _blobs(new_image, new)
    pull = {digest: size for digest, size in whole.items() if digest not in have}
    is_same = not pull if None in (old.digest, new.digest) else old.digest == new.digest
    packages, unchanged = _packages(first, second, registries, notes)
    files = {layer.diff_id for layer in new.layers}
    return ImageDifference(
        old=old,
        new=new,
        is_same=is_same,
        packages=packages,
        unchanged_packages=unchanged,
        layers=_sharing(old, new),
        gone=tuple(layer for layer in old.layers if layer.diff_id not in files),
        pull_size=sum(pull.values()),
        whole_size=sum(whole.values()),
        pull_blobs=len(pull),
        env=_changes(old.env, new.env),
        labels=_changes(_other_labels(old), _other_labels(new)),
        settings=_changes(_settings(old), _settings(new)),
    )


def _blobs(image: StoredImage, description: ImageDescription) -> dict[Digest, int]:
    """Every blob of an image and its bytes; a docker-archive has no manifest."""
    blobs = {layer.digest: layer.size for layer in description.layers}
    blobs[description.config_digest] = len(image.raw_config)
    if image.manifest is not None:
        blobs[Digest.of(image.manifest)] = len(image.manifest)
    return blobs


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
    first: _Read, second: _Read, registries: Registries, notes: list[str]
) -> tuple[tuple[PackageChange, ...] | None, int]:
    """What changed, and how many packages did not; a note and None where there is no lock."""
    sides = []
    for image, description in (first, second):
        try:
            sides.append(packages_of(image, description, registries.cache))
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


def _settings(image: ImageDescription) -> dict[str, Value]:
    found: dict[str, Value] = {
        "base_name": image.base_name,
        "base_digest": image.base_digest,
        "created": image.created,
        "entrypoint": image.entrypoint or None,
        "command": image.command or None,
        "user": image.user,
        "working_directory": image.working_directory,
    }
    return found


def _changes(old: Mapping[str, Value], new: Mapping[str, Value]) -> tuple[Change, ...]:
    names = dict.fromkeys((*old, *new))
    return tuple(
        Change(name, old.get(name), new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    )
