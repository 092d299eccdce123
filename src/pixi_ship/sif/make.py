"""Images as SIF: one squashfs of all layers, whose packed files are kept by layer.

What takes time is packing, and a pack belongs to one layer: an image with one changed layer
costs one pack and a copy. Nothing but Python is needed for that.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pixi_ship.oci.blob import Layer
from pixi_ship.oci.image import canonical_json
from pixi_ship.sif.file import Part, lay_out, root_partition
from pixi_ship.sif.format import DEFINITION, METADATA, OCI_CONFIG, PACKS, DataType
from pixi_ship.sif.layers import KEEP, merged_root
from pixi_ship.sif.pack_list import pack_list
from pixi_ship.sif.packs import KeptPack, Packs
from pixi_ship.sif.pieces import Pieces
from pixi_ship.sif.singularity import SingularityTree
from pixi_ship.squashfs.filesystem import make_filesystem
from pixi_ship.squashfs.format import SquashfsCompression
from pixi_ship.squashfs.pack import Pack, PackWriter, Row
from pixi_ship.tree import Directory, Entry, File, Symlink, Tree


@dataclass(frozen=True, slots=True)
class SifImage:
    """A SIF about to be written.

    created: RFC 3339, where the image says it. packs: of its layers, in their order.
    """

    pieces: Pieces
    created: str | None
    packs: tuple[KeptPack, ...]


def make_sif(
    layers: Sequence[Layer], config: Mapping[str, object], origin: str, packs: Packs
) -> SifImage:
    """Make everything of a SIF but its bytes in one place.

    config: the whole image config; its ``created`` is the time of everything. origin: what the
    image is, in words that are the same on every machine. Raises ImageError.
    """
    runtime = config.get("config")
    runtime = runtime if isinstance(runtime, dict) else {}
    created = config.get("created")
    time = seconds(created)
    definition = f"bootstrap: docker\nfrom: {origin}\n"
    # The largest first, so that it does not run alone at the end.
    for layer in sorted(layers, key=lambda each: -each.descriptor.size):
        packs.add(layer)
    kept = [packs.get(layer) for layer in layers]
    tree = SingularityTree(runtime, definition)
    own, own_data = _tree_pack(tree, packs.compression)
    every = [*(each.pack for each in kept), own]
    filesystem = make_filesystem(merged_root(every), every, packs.compression, time)
    root = Pieces.of(
        filesystem.superblock, *(each.blob for each in kept), own_data, filesystem.tables
    )
    architecture = str(config.get("architecture"))
    parts = (
        Part(DataType.DEFINITION, DEFINITION, Pieces.of(definition.encode())),
        Part(DataType.JSON, METADATA, Pieces.of(tree.metadata())),
        Part(DataType.JSON, OCI_CONFIG, Pieces.of(canonical_json(config))),
        Part(DataType.JSON, PACKS, Pieces.of(pack_list(kept, len(filesystem.superblock)))),
        root_partition(root, architecture),
    )
    said = created if isinstance(created, str) and created else None
    return SifImage(lay_out(parts, architecture, time), said, tuple(kept))


def seconds(created: object) -> int:
    """An image's ``created`` as seconds since 1970; 0 for what is no time."""
    try:
        when = datetime.datetime.fromisoformat(str(created))
    except ValueError:
        return 0
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.UTC)
    return max(0, min(int(when.timestamp()), 2**32 - 1))


def _tree_pack(tree: Tree, compression: SquashfsCompression) -> tuple[Pack, bytes]:
    """A small tree as a pack in memory; directories that are there keep their modes."""
    pieces: list[bytes] = []
    append: Callable[[bytes], None] = pieces.append
    packer = PackWriter(append, compression)
    rows = [_tree_row(entry, packer) for entry in tree.entries()]
    fragments = packer.close()
    data = b"".join(pieces)
    return Pack(tuple(rows), fragments, len(data)), data


def _tree_row(entry: Entry, packer: PackWriter) -> Row:
    if isinstance(entry, File):
        return Row(entry.path, "file", entry.mode, content=packer.add(entry.size, entry.content))
    if isinstance(entry, Symlink):
        return Row(entry.path, "symlink", 0o777, entry.target)
    if isinstance(entry, Directory):
        return Row(entry.path, "directory", KEEP)
    return Row(entry.path, "hardlink", 0o644, entry.target)
