"""Our tar reader on archives of every format that `tarfile` and conda's tools write."""

from __future__ import annotations

import io
import tarfile

import pytest

from pixi_ship.tar_stream import Member, TarError, members

FORMATS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}
LIMIT = 1 << 30


def archive(form: int, *found: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for member in found:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return buffer.getvalue()


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0
) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size, made.mode = kind, link, size, 0o640
    return made


def read(data: bytes, limit: int = LIMIT, lenient: bool = False) -> list[tuple[Member, bytes]]:
    found = members(io.BytesIO(data), limit=limit, lenient=lenient)
    return [(each, each.read()) for each in found]


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_all_kinds_of_members_are_read(form: int) -> None:
    long = "d" * 80 + "/" + "n" * 80
    data = archive(
        form,
        member("file", size=700),
        member("directory", tarfile.DIRTYPE),
        member("link", tarfile.SYMTYPE, "some/where"),
        member("hard", tarfile.LNKTYPE, "file"),
        member(long, size=512),
    )
    assert [
        (each.name.rstrip("/"), each.kind, each.link, each.mode, content)
        for each, content in read(data)
    ] == [
        ("file", "file", "", 0o640, bytes(700)),
        ("directory", "directory", "", 0o640, b""),
        ("link", "symlink", "some/where", 0o640, b""),
        ("hard", "hardlink", "file", 0o640, b""),
        (long, "file", "", 0o640, bytes(512)),
    ]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_long_and_foreign_names_are_read(form: int) -> None:
    name, target = "ü" * 200, "文" * 200
    ((found, _),) = read(archive(form, member(name, tarfile.SYMTYPE, target)))
    assert (found.name, found.link) == (name, target)


def test_a_members_content_is_skipped_when_nobody_takes_it() -> None:
    data = archive(tarfile.PAX_FORMAT, member("a", size=5000), member("b", size=3))
    assert [each.name for each in members(io.BytesIO(data), limit=LIMIT)] == ["a", "b"]


def test_a_size_in_base_256_is_read() -> None:
    header = bytearray(archive(tarfile.GNU_FORMAT, member("a"))[:512])
    header[124:136] = b"\x80" + (5).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    ((found, content),) = read(bytes(header) + b"12345".ljust(512, b"\0") + bytes(1024))
    assert (found.size, content) == (5, b"12345")


def test_a_size_in_a_pax_header_wins() -> None:
    made = member("a", size=3)
    made.pax_headers = {"size": "3"}
    ((found, content),) = read(archive(tarfile.PAX_FORMAT, made))
    assert (found.size, content) == (3, bytes(3))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_special_files_are_refused_unless_lenient(kind: bytes) -> None:
    data = archive(tarfile.PAX_FORMAT, member("odd", kind))
    with pytest.raises(TarError, match="no package may hold"):
        read(data)
    ((found, _),) = read(data, lenient=True)
    assert found.kind == "special"


@pytest.mark.parametrize("kept", [100, 512 + 100, 512 + 2999])
def test_a_truncated_archive_is_an_error(kept: int) -> None:
    data = archive(tarfile.PAX_FORMAT, member("a", size=3000))
    with pytest.raises(TarError, match=r"too early|within a header"):
        read(data[:kept])


def test_a_damaged_header_is_an_error() -> None:
    data = bytearray(archive(tarfile.PAX_FORMAT, member("a", size=3)))
    data[0] ^= 1
    with pytest.raises(TarError, match="checksum"):
        read(bytes(data))


def test_more_bytes_than_allowed_is_an_error() -> None:
    data = archive(tarfile.PAX_FORMAT, member("a", size=1 << 20))
    with pytest.raises(TarError, match="bomb"):
        read(data, limit=1 << 18)
