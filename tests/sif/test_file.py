"""A SIF that we write has every field where the format says, and is read back as it was.

The places and sizes here are those of the sif project's ``rawDescriptor`` and ``header``, put
down again byte by byte: they do not come from the code that is tested.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixi_ship.digest import Digest
from pixi_ship.errors import DigestMismatch, ImageError
from pixi_ship.oci.blob import Blob, Stretch
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.sif.file import Part, SifFile, lay_out, read_sif, root_partition
from pixi_ship.sif.format import ARCHITECTURES, PARTITION, DataType, PartitionType
from pixi_ship.sif.pieces import Pieces

TIME = 1_700_000_000
TABLE, ROW = 4096, 585  # where the descriptors are, and bytes of one

HEADER_FIELDS = {
    "created": 64,
    "modified": 72,
    "free": 80,
    "total": 88,
    "table offset": 96,
    "table size": 104,
    "data offset": 112,
    "data size": 120,
}
ROW_FIELDS = {
    "type": (0, 4),
    "used": (4, 1),
    "id": (5, 4),
    "group": (9, 4),
    "link": (13, 4),
    "offset": (17, 8),
    "size": (25, 8),
    "padded": (33, 8),
    "created": (41, 8),
    "modified": (49, 8),
    "uid": (57, 8),
    "gid": (65, 8),
}


def written(*parts: Part, architecture: str = "amd64", time: int = TIME) -> bytes:
    file = BytesIO()
    lay_out(parts, architecture, time).copy_to(file.write)
    return file.getvalue()


def number(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")


def row(data: bytes, place: int) -> dict[str, int]:
    start = TABLE + place * ROW
    return {name: number(data, start + at, size) for name, (at, size) in ROW_FIELDS.items()}


def put(tmp_path: Path, data: bytes) -> SifFile:
    path = tmp_path / "image.sif"
    path.write_bytes(data)
    return read_sif(path)


def parts() -> tuple[Part, ...]:
    return (
        Part(DataType.DEFINITION, "Singularity", Pieces.of(b"bootstrap: docker\n")),
        Part(DataType.JSON, "oci-config.json", Pieces.of(b"{}")),
        root_partition(Pieces.of(b"hsqs" + bytes(5000)), "arm64"),
        Part(DataType.GENERIC, "ünïcode", Pieces.of(b"")),
    )


def test_every_field_of_the_header() -> None:
    data = written(*parts(), architecture="arm64")
    assert data[:32] == b"#!/usr/bin/env run-singularity\n\0"
    assert data[32:42] == b"SIF_MAGIC\0"
    assert data[42:45] == b"01\0"
    assert data[45:48] == b"04\0"
    assert data[48:64] == bytes(16), "no identity of its own: the same parts give the same file"
    found = {name: number(data, at) for name, at in HEADER_FIELDS.items()}
    data_offset = TABLE + 48 * ROW
    assert found == {
        "created": TIME,
        "modified": TIME,
        "free": 44,
        "total": 48,
        "table offset": 4096,
        "table size": 48 * 585,
        "data offset": data_offset,
        "data size": len(data) - data_offset,
    }
    assert data[128:TABLE] == bytes(TABLE - 128)


def test_every_field_of_the_descriptors() -> None:
    data, given = written(*parts(), architecture="arm64"), parts()
    at = TABLE + 48 * ROW
    for place, part in enumerate(given):
        found = row(data, place)
        start = at if part.kind != 0x4004 else (at + 4095) // 4096 * 4096
        assert found == {
            "type": int(part.kind),
            "used": 1,
            "id": place + 1,
            "group": 0xF0000001,
            "link": 0,
            "offset": start,
            "size": part.body.size,
            "padded": start - at + part.body.size,
            "created": TIME,
            "modified": TIME,
            "uid": 0,
            "gid": 0,
        }
        name = TABLE + place * ROW + 73
        assert data[name : name + 128] == part.name.encode().ljust(128, b"\0")
        assert data[name + 128 : name + 512] == part.extra.ljust(384, b"\0")
        assert not any(data[at:start])
        at = start + part.body.size
    assert at == len(data)
    assert not any(data[TABLE + 4 * ROW : TABLE + 48 * ROW])


def test_the_root_partition_says_what_it_is() -> None:
    extra = root_partition(Pieces.of(b"x"), "arm64").extra
    assert (number(extra, 0, 4), number(extra, 4, 4), extra[8:]) == (1, 2, b"04\0")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architectures(tmp_path: Path, architecture: str) -> None:
    found = put(tmp_path, written(*parts(), architecture=architecture))
    assert found.architecture == architecture


def test_an_architecture_that_no_sif_has(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="'vax'") as error:
        written(*parts(), architecture="vax")
    assert "amd64" in str(error.value.hint)
    data = bytearray(written(*parts()))
    data[45:48] = b"99\0"
    assert put(tmp_path, bytes(data)).architecture == ""


def test_what_was_written_is_read(tmp_path: Path) -> None:
    found = put(tmp_path, written(*parts()))
    assert [each.name for each in found.objects] == [part.name for part in parts()]
    assert found.root is found.objects[2]
    assert found.root.offset % 4096 == 0
    assert found.root.partition == (1, 2)
    assert found.read(found.root) == b"hsqs" + bytes(5000)
    assert found.named("oci-config.json") == b"{}"
    assert found.named("ünïcode") == b""
    assert found.named("rootfs") is None, "a partition is no document"
    assert found.named("nothing") is None
    assert (found.header.created, found.header.modified) == (TIME, TIME)


KINDS = st.sampled_from([each for each in DataType if each is not DataType.PARTITION])
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=31)


@st.composite
def any_part(draw: st.DrawFn) -> Part:
    body = Pieces.of(draw(st.binary(max_size=9000)))
    if draw(st.booleans()):
        purpose = draw(st.sampled_from([PartitionType.DATA, PartitionType.OVERLAY]))
        extra = PARTITION.pack(1, purpose, b"02\0")
        return Part(DataType.PARTITION, draw(NAMES), body, extra)
    return Part(draw(KINDS), draw(NAMES), body, draw(st.binary(max_size=384)))


@given(st.lists(any_part(), max_size=60))
def test_any_parts_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, given_parts: list[Part]
) -> None:
    data = written(*given_parts)
    assert data == written(*given_parts)
    found = put(tmp_path_factory.mktemp("any"), data)
    assert len(found.objects) == len(given_parts)
    end = max(48, len(given_parts)) * ROW + TABLE
    for each, part in zip(found.objects, given_parts, strict=True):
        assert (each.kind, each.name) == (part.kind, part.name)
        assert each.extra == part.extra.ljust(384, b"\0")
        assert each.offset >= end
        assert data[each.offset : each.offset + each.size] == b"".join(_copied(part))
        end = each.offset + each.size
    assert end == len(data)


def _copied(part: Part) -> list[bytes]:
    pieces: list[bytes] = []
    append: Callable[[bytes], None] = pieces.append
    part.body.copy_to(append)
    return pieces


def test_the_time_is_the_one_given() -> None:
    assert written(*parts(), time=TIME + 1) != written(*parts())
    assert written(time=0)[64:80] == bytes(16)


def test_a_name_that_is_too_long_is_cut(tmp_path: Path) -> None:
    data = written(Part(DataType.GENERIC, "é" * 100, Pieces.of(b"x")))
    assert data[TABLE + 73 + 127] == 0
    (found,) = put(tmp_path, data).objects
    assert found.name.startswith("é" * 63)


def test_a_sif_without_a_root(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="has no root filesystem"):
        _ = put(tmp_path, written(*parts()[:2])).root
    other = Part(DataType.PARTITION, "ext3", Pieces.of(b"x"), PARTITION.pack(2, 2, b"02\0"))
    with pytest.raises(ImageError, match="no squashfs"):
        _ = put(tmp_path, written(other)).root


def test_a_large_object_is_not_read_whole(tmp_path: Path) -> None:
    size = 33 << 20
    found = put(tmp_path, written(Part(DataType.GENERIC, "huge", Pieces.of(bytes(size)))))
    with pytest.raises(ImageError, match=f"'huge' has {size} bytes"):
        found.named("huge")


def test_pieces_are_read_from_anywhere(tmp_path: Path) -> None:
    """What a registry asks for after a cut is what the file has there."""
    (tmp_path / "blob").write_bytes(b"in a file")
    blob = Blob(Descriptor("", Digest.of(b"in a file"), 9), Stretch(tmp_path / "blob"))
    pieces = Pieces.of(b"first", b"", blob, b"last")
    whole = b"firstin a filelast"
    assert pieces.size == len(whole)
    assert pieces.digest() == Digest.of(whole)
    for start in range(len(whole) + 2):
        for size in range(len(whole) + 2):
            assert b"".join(pieces.read(start, size)) == whole[start : start + size]
    (tmp_path / "blob").write_bytes(b"IN A FILE")
    with pytest.raises(DigestMismatch):
        pieces.digest()


@pytest.mark.parametrize("end", [0, 1, 31, 127])
def test_a_file_too_short_for_a_header(tmp_path: Path, end: int) -> None:
    with pytest.raises(ImageError, match=f"no SIF, it has {end} bytes"):
        put(tmp_path, written(*parts())[:end])


@pytest.mark.parametrize("end", [128, 4096, 4096 + 48 * 585 - 1])
def test_a_table_that_ends_early(tmp_path: Path, end: int) -> None:
    with pytest.raises(ImageError, match="descriptors ends too early"):
        put(tmp_path, written(*parts())[:end])


def test_an_object_that_ends_early(tmp_path: Path) -> None:
    data = written(*parts())
    with pytest.raises(ImageError, match="object 3 lies outside the file"):
        put(tmp_path, data[:-1])


HUGE = (1 << 63) - 1
CHANGES = {
    "magic": (32, b"SIF_MAGIX", "no SIF, its mark is"),
    "version": (42, b"02", "SIF version"),
    "many descriptors": (88, (4097).to_bytes(8, "little"), "descriptors cannot be"),
    "negative descriptors": (88, b"\xff" * 8, "descriptors cannot be"),
    "a table in the header": (96, bytes(8), "descriptors cannot be"),
    "a table far away": (96, HUGE.to_bytes(8, "little"), "image.sif"),
    "a negative table": (96, b"\xff" * 8, "descriptors cannot be"),
    "an object in the header": (TABLE + 17, bytes(8), "object 1 lies outside"),
    "an object far away": (TABLE + 17, HUGE.to_bytes(8, "little"), "object 1 lies outside"),
    "a negative size": (TABLE + 25, b"\xff" * 8, "object 1 lies outside"),
    "a huge size": (TABLE + 25, HUGE.to_bytes(8, "little"), "object 1 lies outside"),
}


@pytest.mark.parametrize(("at", "new", "words"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_refused(tmp_path: Path, at: int, new: bytes, words: str) -> None:
    data = bytearray(written(*parts()))
    data[at : at + len(new)] = new
    with pytest.raises(ImageError, match=words):
        put(tmp_path, bytes(data))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        read_sif(tmp_path / "none.sif")
    with pytest.raises(ImageError, match="directory"):
        read_sif(tmp_path)
