"""An image's layers against those made again: all read, laid over each other, and compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pixi_ship.digest import Digest
from pixi_ship.errors import DigestMismatch, ImageError, PixiShipError
from pixi_ship.oci.blob import Layer
from pixi_ship.oci.image import MAX_LAYERS_IN_ALL
from pixi_ship.oci.stored import StoredImage
from pixi_ship.verification.compare import Difference, compare_files
from pixi_ship.verification.contents import Node, OddEntry, Root
from pixi_ship.verification.stored_layer import Allowance, StoredLayer, read_layer

# Entries that an image may have beyond twice what it should: its base's, and what is wrong.
_SPARE_ENTRIES = 1_000_000


@dataclass(frozen=True, slots=True)
class MadeLayer:
    """A layer made again. rows: of its entries. size: of its tar in bytes."""

    rows: tuple[tuple[str, Node], ...]
    diff_id: Digest
    size: int


def read_layers(
    image: StoredImage, expected: Sequence[MadeLayer], workers: int
) -> tuple[list[StoredLayer | None], list[Difference]]:
    """Every layer streamed through; what cannot be read is a difference, not the end.

    Raises ImageError for more layers than an image can have, RegistryError for a registry that
    does not answer.
    """
    if len(image.layers) > MAX_LAYERS_IN_ALL:
        raise ImageError(
            f"{image.reference} has {len(image.layers)} layers, runtimes take {MAX_LAYERS_IN_ALL}"
        )
    entries = _SPARE_ENTRIES + 2 * sum(len(layer.rows) for layer in expected)
    allowance = Allowance(entries, 2 * max(layer.size for layer in expected))

    def read(layer: Layer) -> StoredLayer | PixiShipError:
        try:
            return read_layer(layer, allowance)
        except (DigestMismatch, ImageError) as error:
            return error

    with ThreadPoolExecutor(workers, "layers") as pool:
        found = list(pool.map(read, image.layers))
    differences = [
        Difference(
            "layer", f"layer {place}", str(layer.descriptor.digest), f"what is damaged ({error})"
        )
        for place, (layer, error) in enumerate(zip(image.layers, found, strict=True), 1)
        if isinstance(error, PixiShipError)
    ]
    return [each if isinstance(each, StoredLayer) else None for each in found], differences


def compare_contents(
    layers: Sequence[StoredLayer], expected: Sequence[MadeLayer], base_layers: int
) -> tuple[int, list[Difference]]:
    """How many paths were compared, and what differs in the layers above the base's.

    layers: all of the image. The base's files are the image's own; that they are the base's is
    proven by its layers.
    """
    got = Root()
    for layer in layers[:base_layers]:
        got.lay_over(layer.rows)
    want = got.copy()
    for made in expected:
        want.lay_over(made.rows)
    right = {made.diff_id for made in expected}
    odd: list[OddEntry] = []
    for layer in layers[base_layers:]:
        found = got.lay_over(layer.rows)
        if layer.diff_id not in right:
            odd += [*layer.odd, *found]
    nodes = got.nodes()
    differences = list(compare_files(want.nodes(), nodes))
    named = {each.where for each in differences}
    differences += [
        Difference("file", f"/{each.path}", None, each.problem)
        for each in odd
        if f"/{each.path}" not in named
    ]
    differences += _compare_tars(layers[base_layers:], expected, base_layers, differences)
    return len(nodes), differences


def _compare_tars(
    ours: Sequence[StoredLayer],
    expected: Sequence[MadeLayer],
    base_layers: int,
    files: Sequence[Difference],
) -> Iterator[Difference]:
    """Tars that are not the ones made again, where none of their files says why.

    What is left is order, times, how entries are written, and which layer they are in.
    """
    if len(ours) != len(expected):
        return
    named = {each.where.removeprefix("/") for each in files}
    for place, (layer, made) in enumerate(zip(ours, expected, strict=True), base_layers + 1):
        paths = layer.paths.union(path for path, _ in made.rows)
        if layer.diff_id != made.diff_id and named.isdisjoint(paths):
            where = f"layer {place}, its tar"
            yield Difference("layer", where, str(made.diff_id), str(layer.diff_id))
