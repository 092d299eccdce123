"""What differs between an image and what it should be, a row each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pixi_ship.digest import Digest
from pixi_ship.oci.stored import StoredImage
from pixi_ship.verification.contents import Node


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. kind: file, layer or config; where: a path, a layer, a field.

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


def compare_files(want: Mapping[str, Node], got: Mapping[str, Node]) -> Iterator[Difference]:
    """Differences of two root filesystems, by path."""
    for path in sorted(want.keys() | got.keys()):
        ours, theirs = want.get(path), got.get(path)
        if ours != theirs:
            yield Difference("file", f"/{path}", _text(ours), _text(theirs))


def compare_layers(
    image: StoredImage, base: StoredImage, ours: int, found: Sequence[Digest | None]
) -> Iterator[Difference]:
    """Differences in the chain of layers.

    ours: how many layers of its own the image should have. found: digests of the tars that
    came, None where a layer could not be read.
    """
    want = len(base.layers) + ours
    if len(image.layers) != want:
        yield Difference("layer", "number of layers", str(want), str(len(image.layers)))
    for place, (layer, came) in enumerate(zip(image.layers, found, strict=True), 1):
        if came is not None and came != layer.diff_id:
            yield Difference("layer", f"layer {place}, its tar", str(layer.diff_id), str(came))
    for place, below in enumerate(base.layers, 1):
        there = image.layers[place - 1].diff_id if place <= len(image.layers) else None
        if there != below.diff_id:
            got = None if there is None else str(there)
            yield Difference("layer", f"layer {place}, of the base", str(below.diff_id), got)


def compare_config(want: Mapping[str, object], got: Mapping[str, object]) -> Iterator[Difference]:
    """Differences of two image configs, field by field; ``rootfs`` is the layers' business."""
    yield from _compare(
        "config",
        {name: value for name, value in want.items() if name != "rootfs"},
        {name: value for name, value in got.items() if name != "rootfs"},
    )


def _compare(where: str, want: object, got: object) -> Iterator[Difference]:
    if want == got:
        return
    if isinstance(want, Mapping) and isinstance(got, Mapping):
        for name in sorted(want.keys() | got.keys()):
            yield from _compare(f"{where}.{name}", want.get(name), got.get(name))
    elif where.endswith(".Env") and isinstance(want, list) and isinstance(got, list):
        ours, theirs = _variables(want), _variables(got)
        yield from _compare(where, ours, theirs)
        if ours == theirs:  # then it is the order, or a row twice
            yield Difference("config", where, str(want), str(got))
    else:
        yield Difference("config", where, _text(want), _text(got))


def _variables(rows: Sequence[object]) -> dict[str, str]:
    found = {}
    for row in rows:
        name, _, value = str(row).partition("=")
        found[name] = value
    return found


def _text(value: object) -> str | None:
    return None if value is None else str(value)
