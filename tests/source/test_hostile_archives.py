"""Source distributions that want out, or want the disk: refused, and nothing is written outside."""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pixi_ship.errors import SourceError
from pixi_ship.source import archive as module
from pixi_ship.source.archive import unpack

from .projects import add

Fill = Callable[[tarfile.TarFile], None]


def tarred(path: Path, fill: Fill) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "p-1/setup.py", b"")
        fill(tar)
    return path


def link(path: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Fill:
    return lambda tar: add(tar, path, type=kind, linkname=target)


def then(*fills: Fill) -> Fill:
    def all_of(tar: tarfile.TarFile) -> None:
        for fill in fills:
            fill(tar)

    return all_of


def file(path: str, data: bytes = b"x") -> Fill:
    return lambda tar: add(tar, path, data)


ESCAPES: dict[str, Fill] = {
    "climbing": file("p-1/../../escaped"),
    "absolute": file("/escaped"),
    "a link to an absolute path": link("p-1/l", "/etc/passwd"),
    "a link that climbs": link("p-1/l", "../../escaped"),
    "a file through a link": then(link("p-1/l", "/tmp"), file("p-1/l/escaped")),
    "a file through a link that stays": then(link("p-1/l", "d"), file("p-1/l/f")),
    "a link through a link": then(
        link("p-1/a/b/l", "../.."), link("p-1/m", "a/b/l/.."), link("p-1/n", "m/../..")
    ),
    "a link under a link": then(link("p-1/l", "d"), link("p-1/l/m", "x"), file("p-1/d/f")),
    "a hard link out": link("p-1/l", "/etc/passwd", tarfile.LNKTYPE),
    "a hard link that climbs": link("p-1/l", "../../etc/passwd", tarfile.LNKTYPE),
    "a hard link to nothing": link("p-1/l", "p-1/none", tarfile.LNKTYPE),
    "a hard link to itself": then(file("p-1/f"), link("p-1/f", "p-1/f", tarfile.LNKTYPE)),
    "a file over a directory": then(file("p-1/d/f"), file("p-1/d")),
    "a directory over a file": then(file("p-1/d"), file("p-1/d/f")),
    "a link over a file": then(file("p-1/f"), link("p-1/f", "setup.py")),
    "a device": lambda tar: add(tar, "p-1/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "a pipe": lambda tar: add(tar, "p-1/pipe", type=tarfile.FIFOTYPE),
    "a NUL": lambda tar: add(tar, "p-1/x", pax_headers={"path": "p-1/a\0b"}),
    "depth": file("p-1/" + "d/" * 100 + "f"),
}


@pytest.mark.hostile
@pytest.mark.parametrize("name", ESCAPES)
def test_an_archive_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    into = tmp_path / "a" / "b" / "into"
    into.mkdir(parents=True)
    path = tarred(tmp_path / "p-1.tar.gz", ESCAPES[name])
    with pytest.raises(SourceError, match=r"unpacking p-1\.tar\.gz: "):
        unpack(path, "p-1.tar.gz", into)
    assert not list(tmp_path.rglob("escaped"))
    assert not Path("/escaped").exists()


def test_links_that_stay_are_kept(tmp_path: Path) -> None:
    fill = then(
        file("p-1/d/f", b"content"),
        link("p-1/l", "d/f"),
        link("p-1/d/up", "../setup.py"),
        link("p-1/h", "p-1/d/f", tarfile.LNKTYPE),
        lambda tar: add(tar, "p-1/run", b"", mode=0o4750),
    )
    project = unpack(tarred(tmp_path / "p-1.tar.gz", fill), "p-1.tar.gz", made(tmp_path))
    assert project == tmp_path / "into" / "p-1"
    assert (project / "l").readlink() == Path("d/f")
    assert (project / "h").read_bytes() == b"content"
    assert (project / "h").stat().st_nlink == 1
    assert (project / "run").stat().st_mode & 0o7777 == 0o755


def made(tmp_path: Path) -> Path:
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


@pytest.mark.hostile
def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MIN_LIMIT", 1 << 20)
    zeros = bytes(64 << 20)
    with tarfile.open(tmp_path / "p-1.tar.xz", "w:xz", preset=0) as tar:
        add(tar, "p-1/setup.py", zeros)
    with zipfile.ZipFile(tmp_path / "p-1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("p-1/setup.py", zeros)
    for path in (tmp_path / "p-1.tar.xz", tmp_path / "p-1.zip"):
        into = tmp_path / f"into-{path.suffix}"
        into.mkdir()
        with pytest.raises(SourceError, match="decompression bomb"):
            unpack(path, path.name, into)
        assert sum(each.stat().st_size for each in into.rglob("*")) < 16 << 20


@pytest.mark.hostile
def test_an_xz_stream_that_wants_much_memory(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 1 << 30}]
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        add(tar, "p-1/setup.py")
    path = tmp_path / "p-1.tar.xz"
    # The dictionary's size is one byte of the block's header; the checksum of it follows.
    raw = bytearray(lzma.compress(data.getvalue(), filters=[{**filters[0], "dict_size": 1 << 20}]))
    raw[12 + 4] = 36  # 1 GiB
    raw[12 + 8 : 12 + 12] = zlib.crc32(raw[12:20]).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(SourceError, match=r"[Mm]emory"):
        unpack(path, path.name, made(tmp_path))


@pytest.mark.hostile
def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixi_ship.source.writing.MAX_FILES", 10)
    monkeypatch.setattr(module, "MAX_FILES", 10)
    fill = then(*(file(f"p-1/{number}") for number in range(20)))
    with pytest.raises(SourceError, match="more than 10 files"):
        unpack(tarred(tmp_path / "p-1.tar.gz", fill), "p-1.tar.gz", made(tmp_path))


@pytest.mark.hostile
def test_a_zip_with_links(tmp_path: Path) -> None:
    def zipped(target: str) -> Path:
        path = tmp_path / "p-1.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("p-1/setup.py", "")
            info = zipfile.ZipInfo("p-1/l")
            info.external_attr = 0o120777 << 16
            archive.writestr(info, target)
        return path

    assert (unpack(zipped("setup.py"), "p-1.zip", made(tmp_path)) / "l").is_symlink()
    for target in ("/etc/passwd", "../../x", "x" * 5000):
        (tmp_path / target[-3:]).mkdir()
        with pytest.raises(SourceError, match=r"'p-1/l' is a link"):
            unpack(zipped(target), "p-1.zip", tmp_path / target[-3:])


@pytest.mark.hostile
@pytest.mark.parametrize(
    "data",
    [b"", b"no archive at all", b"PK\3\4broken", b"\x1f\x8bbroken", b"BZhbroken", b"\xfd7zXZ\0x"],
)
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "p-1.tar.gz").write_bytes(data)
    with pytest.raises(SourceError, match=r"unpacking p-1\.tar\.gz: "):
        unpack(tmp_path / "p-1.tar.gz", "p-1.tar.gz", made(tmp_path))


@pytest.mark.hostile
@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_one_that_ends_too_early(tmp_path: Path, mode: str) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode=mode) as tar:  # type: ignore[call-overload]
        add(tar, "p-1/setup.py", bytes(range(256)) * 4000)
    path = tmp_path / "p-1.tar"
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(SourceError, match=r"unpacking p-1\.tar: "):
        unpack(path, "p-1.tar", made(tmp_path))


def test_a_project_at_the_root_and_none_at_all(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "flat.tar", "w") as tar:
        add(tar, "./pyproject.toml")
        add(tar, "./src/a.py")
    assert unpack(tmp_path / "flat.tar", "flat.tar", made(tmp_path)) == tmp_path / "into"
    with tarfile.open(tmp_path / "none.tar", "w") as tar:
        add(tar, "p-1/readme")
    (tmp_path / "other").mkdir()
    with pytest.raises(SourceError, match=r"neither a pyproject\.toml nor a setup\.py"):
        unpack(tmp_path / "none.tar", "none.tar", tmp_path / "other")


@pytest.mark.hostile
def test_copies_for_hard_links_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand links to one file are a thousand files where they are unpacked."""
    monkeypatch.setattr(module, "_MIN_LIMIT", 10 << 20)
    monkeypatch.setattr(module, "_MAX_LIMIT", 10 << 20)
    into = tmp_path / "into"
    into.mkdir()
    links = [link(f"p-1/{number}", "p-1/f", tarfile.LNKTYPE) for number in range(1000)]
    path = tarred(tmp_path / "p-1.tar.gz", then(file("p-1/f", bytes(1 << 20)), *links))
    with pytest.raises(SourceError, match="a decompression bomb"):
        unpack(path, "p-1.tar.gz", into)
    assert sum(each.stat().st_size for each in into.rglob("*") if each.is_file()) <= 10 << 20
    few = tarred(tmp_path / "few.tar.gz", then(file("p-1/f", bytes(1 << 20)), *links[:5]))
    (tmp_path / "few").mkdir()
    assert unpack(few, "few.tar.gz", tmp_path / "few").name == "p-1"
