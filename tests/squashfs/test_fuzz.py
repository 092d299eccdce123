"""Damaged squashfs are read or refused with a PixiShipError, within bounds of memory and time.

Every trial changes a few bytes, mostly where structures lie. Each batch runs in a process whose
memory and processor time are limited, so that what runs away fails there.
"""

from __future__ import annotations

import os
import struct
from itertools import pairwise
from pathlib import Path

import pytest

from pixi_ship.squashfs.format import InodeType, SquashfsCompression

from ..contract.tools import need, output
from .mutations import Region, survive
from .sketch import BLOCK, Sketch, noise, text, uncompressed

SUPERBLOCK: Region = (0, 96)


def fill(sketch: Sketch) -> None:
    """Little data and many structures."""
    sketch.directory("d")
    sketch.directory("d/e", 0o700)
    sketch.directory("empty")
    for number in range(30):
        sketch.file(f"d/small{number}", text(40, number))
    for number in range(300):
        sketch.symlink(f"d/e/a link of this number {number:04}", f"../small{number}")
    sketch.file("blocks", noise(BLOCK) + bytes(2 * BLOCK) + b"end")
    sketch.file("zeros", bytes(BLOCK))
    sketch.link("d/e/zzz", "blocks")
    sketch.special("null", InodeType.CHARACTER_DEVICE, 0o666, 259)
    sketch.special("pipe", InodeType.FIFO)


def tables(path: Path) -> list[Region]:
    """The superblock, and every table on its own: each is changed as often as the others."""
    with path.open("rb") as file:
        head = file.read(96)
    used = struct.unpack_from("<Q", head, 40)[0]
    starts = {at for at in struct.unpack_from("<6Q", head, 48) if at < used}
    places = sorted({*starts, used})
    return [SUPERBLOCK, *pairwise(places), (min(starts), used)]


@pytest.mark.parametrize("seed", [1, 2])
def test_tables_that_are_not_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    uncompressed(monkeypatch)
    sketch = Sketch(SquashfsCompression.GZIP)
    fill(sketch)
    path = sketch.write(tmp_path / "raw.squashfs")
    read, refused = survive("squashfs", path, seed, 2000, tables(path))
    assert read > 100, "some changes do no harm"
    assert refused > 1000


@pytest.mark.parametrize("compression", SquashfsCompression)
def test_tables_that_are_compressed(tmp_path: Path, compression: SquashfsCompression) -> None:
    sketch = Sketch(compression)
    fill(sketch)
    path = sketch.write(tmp_path / "packed.squashfs")
    read, refused = survive("squashfs", path, 3, 800, [*tables(path), (96, path.stat().st_size)])
    assert read > 10
    assert refused > 400


def test_attributes_and_owners(tmp_path: Path) -> None:
    """What mksquashfs writes and we do not: extended attributes, owners, and an export table."""
    need("mksquashfs", root=True)
    folder, path = tmp_path / "folder", tmp_path / "raw.squashfs"
    folder.mkdir()
    for number in range(40):
        file = folder / f"file{number}"
        file.write_bytes(text(number * 300, number))
        os.setxattr(file, "user.large", noise(600, number // 10))
        os.setxattr(file, f"user.of{number % 7}", b"value")
        os.chown(file, number % 5, number % 3)
    (folder / "directory").mkdir()
    os.setxattr(folder / "directory", "user.large", noise(600))
    options = "-quiet -no-progress -processors 1 -noI -noId -noX -noF -b 4K"
    output("mksquashfs", folder, path, *options.split())
    read, refused = survive("squashfs", path, 4, 2000, tables(path))
    assert read > 100
    assert refused > 700
