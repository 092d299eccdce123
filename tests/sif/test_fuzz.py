"""Damaged SIF headers and descriptors are read or refused with a PixiShipError, within bounds.

Each batch runs in a process whose memory and processor time are limited.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pixi_ship.sif.file import Part, lay_out, root_partition
from pixi_ship.sif.format import DESCRIPTOR, HEADER, PARTITION, TABLE_OFFSET, DataType
from pixi_ship.sif.pieces import Pieces
from pixi_ship.squashfs.format import SquashfsCompression

from ..squashfs.mutations import survive
from ..squashfs.sketch import Sketch

SEEDS = range(4)
TRIALS = 2500


@pytest.fixture
def sif(tmp_path: Path) -> Path:
    """A small SIF whose root filesystem has few files."""
    sketch = Sketch(SquashfsCompression.ZSTD)
    sketch.directory("bin")
    sketch.file("bin/sh", b"#!shell", 0o755)
    sketch.symlink("sh", "bin/sh")
    squashfs = sketch.write(tmp_path / "root.squashfs").read_bytes()
    parts = [
        Part(DataType.DEFINITION, "Singularity", Pieces.of(b"bootstrap: docker\n")),
        Part(DataType.JSON, "oci-config.json", Pieces.of(b'{"os":"linux"}')),
        root_partition(Pieces.of(squashfs), "amd64"),
        Part(DataType.GENERIC, "notes", Pieces.of(b"x" * 5000)),
    ]
    path = tmp_path / "image.sif"
    with path.open("wb") as file:
        lay_out(parts, "amd64", 1_700_000_000).copy_to(file.write)
    return path


@pytest.mark.parametrize("seed", SEEDS)
def test_headers_and_descriptors(sif: Path, seed: int) -> None:
    """10,000 in all: the header, each descriptor in use, and the first that is not."""
    regions = [(0, HEADER.size), (32, HEADER.size)]
    for slot in range(5):
        start = TABLE_OFFSET + slot * DESCRIPTOR.size
        regions += [(start, start + DESCRIPTOR.size), (start, start + 73)]
    partition = TABLE_OFFSET + 3 * DESCRIPTOR.size - 384  # what says that it is the root
    regions.append((partition, partition + PARTITION.size))
    read, refused = survive("sif", sif, seed, TRIALS, regions)
    assert read > TRIALS // 10
    assert refused > TRIALS // 10


def test_the_whole_file(sif: Path) -> None:
    read, refused = survive("sif", sif, 9, 1000, [(0, sif.stat().st_size)])
    assert read > 100
    assert refused > 10
