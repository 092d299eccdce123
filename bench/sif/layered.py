"""`python -m bench.sif.layered LAYOUT CACHE COMPRESSION SIF`: a SIF of one squashfs a layer.

It is what Apptainer can mount too: the base is the root filesystem, and every further layer an
overlay partition behind it, put there as `apptainer sif add` does. Prints how many partitions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from bench.measure import CORES
from bench.sif.images import manifest
from bench.workspaces import BASE_LAYOUT
from pixi_ship.cache import Cache
from pixi_ship.oci.blob import Layer
from pixi_ship.oci.read import read_images
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.sif.format import (
    DESCRIPTOR,
    HEADER,
    PAGE,
    PARTITION,
    SQUASHFS,
    DataType,
    Descriptor,
    Header,
    PartitionType,
)
from pixi_ship.sif.layers import merged_root
from pixi_ship.sif.make import make_sif
from pixi_ship.sif.packs import Packs
from pixi_ship.squashfs.filesystem import make_filesystem
from pixi_ship.squashfs.format import SquashfsCompression


def main(words: Sequence[str]) -> None:
    """Write the file."""
    layout, cache, compression, sif = words
    (image,) = read_images(Reference(Transport.OCI, path=layout))
    lowest = len(manifest(BASE_LAYOUT)["layers"])
    with Packs(Cache(Path(cache)), SquashfsCompression(compression), CORES) as packs:
        made = make_sif(image.layers[:lowest], image.config, "a base", packs)
        with Path(sif).open("w+b") as file:
            made.pieces.copy_to(file.write)
            for layer in image.layers[lowest:]:
                _add_overlay(file, _squashfs(layer, packs))
    print(1 + len(image.layers) - lowest)


def _squashfs(layer: Layer, packs: Packs) -> Iterator[bytes]:
    """A layer by itself; one that removes what is below would need more than this."""
    kept = packs.get(layer)
    if hidden := [row.path for row in kept.pack.rows if "/.wh." in f"/{row.path}"]:
        raise RuntimeError(f"layer {layer.diff_id} removes files of another: {hidden[0]}")
    made = make_filesystem(merged_root([kept.pack]), [kept.pack], packs.compression, 0)
    yield made.superblock
    yield from kept.blob.chunks()
    yield made.tables


def _add_overlay(file: BinaryIO, squashfs: Iterator[bytes]) -> None:
    """Append a partition, and enter it in the table; there must be a free row."""
    file.seek(0)
    header = Header.unpack(file.read(HEADER.size), "the SIF")
    number = header.slots - header.free + 1
    if number > header.slots:
        raise RuntimeError(f"no more than {header.slots} objects fit into the SIF")
    end = file.seek(0, os.SEEK_END)
    start = file.seek(-(-end // PAGE) * PAGE)
    size = sum(file.write(chunk) for chunk in squashfs)
    extra = PARTITION.pack(SQUASHFS, PartitionType.OVERLAY, header.architecture)
    added = Descriptor(
        DataType.PARTITION, number, start, size, start + size - end, f"layer-{number}", extra
    )
    file.seek(header.table_offset + (number - 1) * DESCRIPTOR.size)
    file.write(added.pack())
    grown = replace(header, free=header.free - 1, data_size=start + size - header.data_offset)
    file.seek(0)
    file.write(grown.pack())


if __name__ == "__main__":
    main(sys.argv[1:])
