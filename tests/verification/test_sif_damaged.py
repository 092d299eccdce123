"""A SIF with bytes changed anywhere is a difference or an error: never a proof, never a traceback.

A squashfs is compressed, so a byte that turns breaks what it belongs to. What is written without
compression can be changed in place, and then it is the comparison alone that finds it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixi_ship.sif.file import SifFile, read_sif
from pixi_ship.squashfs.format import SUPERBLOCK
from pixi_ship.verify import sif as verify_sif

from ..squashfs.sketch import uncompressed
from .case import PREFIX, Case
from .sifs import PACKS, Sif, Thing
from .test_sif_files import ONE, TOOL, TWO

TABLE, ROW = 4096, 585
NAMED = {"Singularity", "inspect-metadata.json", "oci-config.json", "rootfs"}


def changed(sif: Path, target: Path, place: int, bit: int = 0) -> str:
    data = bytearray(sif.read_bytes())
    data[place] ^= 1 << bit
    target.write_bytes(data)
    return f"sif:{target}"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_bit_of_the_contents(
    case: Case, sif: Path, tmp_path: Path, place: float, bit: int
) -> None:
    """Documents and files: packs take up most of the root, from the superblock's end on."""
    found = read_sif(sif)
    stretches = [(each.offset, each.size) for each in found.objects if each.name in NAMED]
    start, size = stretches.pop()
    root_start, root_end = start + SUPERBLOCK.size, start + size - 8192
    stretches.append((root_start, root_end - root_start))
    chosen = int(place * sum(size for _, size in stretches))
    for start, size in stretches:
        if chosen < size:
            chosen += start
            break
        chosen -= size
    ran = case.verify(changed(sif, tmp_path / "x.sif", chosen, bit)).ran
    assert ran.status == 1, f"byte {chosen}"
    assert "Traceback" not in ran.err


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_bit_of_header_and_table(
    case: Case, sif: Path, tmp_path: Path, place: float, bit: int
) -> None:
    """Times, owners and links of objects mean nothing; whatever holds has what ours has."""
    at = int(place * 128) if bit % 2 else TABLE + int(place * ROW * 6)
    reference = changed(sif, tmp_path / "x.sif", at, bit)
    verdict = case.verify(reference)
    assert verdict.ran.status in (0, 1)
    assert "Traceback" not in verdict.ran.err
    if verdict.ran.status == 0:
        before, after = read_sif(sif), read_sif(tmp_path / "x.sif")
        assert documents(before) == documents(after)
        assert (before.root.offset, before.header.architecture) == (
            after.root.offset,
            after.header.architecture,
        )


def documents(found: SifFile) -> set[tuple[int, str, int, int]]:
    return {
        (each.kind, each.name, each.offset, each.size)
        for each in found.objects
        if each.partition is None and each.name != PACKS
    }


@pytest.mark.parametrize("share", [0, 1, 2, 3, 5, 8, 9])
def test_cut_off(case: Case, sif: Path, tmp_path: Path, share: int) -> None:
    data = sif.read_bytes()
    (tmp_path / "x.sif").write_bytes(data[: len(data) * share // 10])
    ran = case.verify(f"sif:{tmp_path / 'x.sif'}").ran
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("error: ")


def raw(sif: Path, monkeypatch: pytest.MonkeyPatch, target: Path) -> tuple[Sif, bytearray]:
    """The SIF with a root that is not compressed, and that root."""
    found = Sif.read(sif)
    found.root[f"{TWO}.more"] = Thing("file")
    with monkeypatch.context() as patch:
        uncompressed(patch)
        found.write(target)
    return Sif.read(target), bytearray(Sif.read(target).named("rootfs").data)


def test_a_byte_in_a_file_that_is_not_compressed(
    case: Case, sif: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, data = raw(sif, monkeypatch, tmp_path / "raw.sif")
    place = data.index(found.root[TOOL].data)
    data[place] ^= 1
    found.named("rootfs").data = bytes(data)
    more = ("file", f"/{TWO}.more")
    case.verify(found.write(tmp_path / "x.sif")).differs(("file", f"/{TOOL}"), more)


def test_a_name_that_stands_twice(
    case: Case, sif: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two entries of one name a reader shows the one or the other."""
    found, data = raw(sif, monkeypatch, tmp_path / "raw.sif")
    listings = int.from_bytes(data[72:80], "little")
    assert data.count(b"two.txt.more", listings) == 1
    place = data.index(b"two.txt.more", listings)
    assert data[place - 2 : place] == (len("two.txt.more") - 1).to_bytes(2, "little")
    data[place - 2] = len("two.txt") - 1
    data[place : place + 12] = b"two.txt" + data[place + 12 : place + 17]
    found.named("rootfs").data = bytes(data)
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    assert verdict.found == [("sif", "root filesystem")]
    got = verdict.of("root filesystem")[1]
    assert got is not None
    assert "lists b'two.txt' after b'two.txt'" in got


def test_a_file_whose_block_is_damaged(case: Case, sif: Path, tmp_path: Path) -> None:
    """The file is named, and others are compared all the same."""
    found = Sif.read(sif)
    found.root[ONE].data = b"other\n"
    reference = found.write(tmp_path / "x.sif")
    start = read_sif(tmp_path / "x.sif").root.offset
    data = bytearray((tmp_path / "x.sif").read_bytes())
    inodes = int.from_bytes(data[start + 64 : start + 72], "little")
    data[start + inodes - 20] ^= 0xFF  # the last fragment block's end
    (tmp_path / "x.sif").write_bytes(data)
    verdict = case.verify(reference)
    damaged = [row for row in verdict.differences if row["got"].startswith("damaged file ")]
    assert damaged
    assert all(row["kind"] == "file" for row in verdict.differences)
    assert f"/{ONE}" in {row["where"] for row in verdict.differences}


def test_more_names_than_any_image_needs(
    case: Case, sif: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_sif, "_SPARE_ENTRIES", 10)
    case.verify(f"sif:{sif}").holds()
    found = Sif.read(sif)
    for number in range(200):
        found.root[f"{PREFIX}/more{number}"] = Thing("file")
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    assert verdict.found == [("sif", "root filesystem")]
    got = verdict.of("root filesystem")[1]
    assert got is not None
    assert "more entries than any image needs" in got
