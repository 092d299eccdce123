"""What differs between an image and what it should be, a row each: its files, its layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pixi_ship.digest import Digest
from pixi_ship.oci.stored import StoredImage
from pixi_ship.verification.contents import Node


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. kind: file, layer, config, manifest or sif; where: a path, a layer, a field.

    want, got: None for what is not there, or shall not be.
    """

    kind: str
    where: str
    want: str | None
    got: str | None

    def __str__(self) -> str:
        if self.want is None:
            return f"{self.where}: is too much ({self.got})"
        if self.got is None:
            return f"{self.where}: is missing ({self.want})"
        return f"{self.where}: got {self.got}, want {self.want}"


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found of an image. files: paths that were compared. notes: what is to be told."""

    files: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()


def compare_files(want: Mapping[str, Node], got: Mapping[str, Node]) -> Iterator[Difference]:
    """Differences of two root filesystems, by path."""
    for path in sorted(want.keys() | got.keys()):
        ours, theirs = want.get(path), got.get(path)
        if ours != theirs:
            yield Difference("file", f"/{path}", _text(ours), _text(theirs))


def compare_layers(
    want: Sequence[Digest], image: StoredImage, base: StoredImage, found: Sequence[Digest | None]
) -> Iterator[Difference]:
    """Differences in the chain of layers, as far as no file tells of them.

    want: digests of all tars, the base's first. found: those of the tars that came, None where
    a layer could not be read.
    """
    have = [layer.diff_id for layer in image.layers]
    for place, (says, came) in enumerate(zip(have, found, strict=True), 1):
        if came is not None and came != says:
            yield Difference("layer", f"layer {place}, its tar", str(says), str(came))
    for place, below in enumerate(base.layers, 1):
        there = have[place - 1] if place <= len(have) else None
        if there != below.diff_id:
            yield Difference(
                "layer", f"layer {place}, of the base", str(below.diff_id), _text(there)
            )
    if len(have) != len(want):
        yield Difference("layer", "number of layers", str(len(want)), str(len(have)))
        yield from _one_sided(want, have, len(base.layers))


def _one_sided(want: Sequence[Digest], have: Sequence[Digest], base: int) -> Iterator[Difference]:
    """Layers of ours that are on one side alone, where places cannot be compared."""
    for place, each in _beyond(have[base:], want[base:]):
        yield Difference("layer", f"layer {base + place}", None, str(each))
    for place, each in _beyond(want[base:], have[base:]):
        yield Difference("layer", f"layer {base + place}", str(each), None)


def _beyond(these: Sequence[Digest], those: Sequence[Digest]) -> list[tuple[int, Digest]]:
    """What is more often among ``these``, with its place; of equal ones the last."""
    spare = Counter(these) - Counter(those)
    found = []
    for place in range(len(these), 0, -1):
        each = these[place - 1]
        if spare[each] > 0:
            spare[each] -= 1
            found.append((place, each))
    return found[::-1]


def _text(value: object) -> str | None:
    return None if value is None else str(value)
