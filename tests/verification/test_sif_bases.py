"""SIFs on bases with everything that layers can hold are proven, and none of it hides a change.

What a layer says is not always what the squashfs has: owners and attributes are dropped, links
followed, whiteouts applied. Both sides have to agree on that to the last path.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from .case import Case, write_base
from .sifs import Sif
from .tamper import Image

DIRECTORY, LINK, HARD = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def devices(image: Image) -> None:
    image.add("dev", layer=0, type=DIRECTORY, mode=0o755)
    image.add("dev/null", layer=0, type=tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3)
    image.add("dev/disk", layer=0, type=tarfile.BLKTYPE, devmajor=259, devminor=70_000)
    image.add("dev/pipe", layer=0, type=tarfile.FIFOTYPE)
    image.add("dev/sparse", layer=0, type=tarfile.GNUTYPE_SPARSE, size=0)


def modes(image: Image) -> None:
    image.add("tmp", layer=0, type=DIRECTORY, mode=0o1777)
    image.add("root", layer=0, type=DIRECTORY, mode=0o700)
    image.add("sudo", b"x", layer=0, mode=0o4755, uid=1000, gid=7)
    image.add("home", layer=0, type=DIRECTORY, mode=0o755)
    image.add("home", layer=1, type=DIRECTORY, mode=0o711)


def links(image: Image) -> None:
    """Hard links within a layer, to a lower one, to links; a first name that goes later."""
    image.add("a", b"a\n", layer=0)
    for name, target in (("b", "a"), ("c", "./a"), ("d", "/a")):
        image.add(name, layer=0, type=HARD, linkname=target)
    image.add("sym", layer=0, type=LINK, linkname="a", mode=0o777)
    image.add("sym2", layer=0, type=HARD, linkname="sym")
    image.add("e", layer=1, type=HARD, linkname="c")
    image.add(".wh.a", layer=1)
    image.add("b", b"another\n", layer=1)


def through_links(image: Image) -> None:
    """Entries below links of lower layers, and below directories that nobody lists."""
    image.add("lib/more.so", b"more\n", layer=1)
    image.add("srv", layer=0, type=LINK, linkname="/var/../var/cache", mode=0o777)
    image.add("srv/a/b/c", b"c\n", layer=1)
    image.add("x/y/z", b"z\n", layer=1)


def hidden(image: Image) -> None:
    image.add("etc/.wh..wh..opq", layer=1)
    image.add("etc/new", b"new\n", layer=1)
    image.add("usr/.wh.nothing", layer=1)


def twice(image: Image) -> None:
    image.add("etc/passwd", b"other\n", layer=0)
    image.add("var", layer=1, type=LINK, linkname="tmp", mode=0o777)
    image.add("./", layer=1, type=DIRECTORY, mode=0o700)


def named(image: Image) -> None:
    image.add("ünï", b"1", layer=0)
    image.add("a b\n\\", b"2", layer=0)
    image.add("n" * 200, b"3", layer=0)
    image.add(f"{'d/' * 60}f", b"4", layer=0)


def attributes(image: Image) -> None:
    records = {"SCHILY.xattr.security.capability": "\x01\x00"}
    image.add("ping", b"x", layer=0, mode=0o755, pax_headers=records)


def sized(image: Image) -> None:
    image.add("zeros", bytes(300_000), layer=0)
    image.add("large", bytes(range(256)) * 2000, layer=0)
    image.add("empty", b"", layer=0)


BASES: dict[str, Callable[[Image], object]] = {
    "special files": devices,
    "modes and owners": modes,
    "hard links": links,
    "entries through links": through_links,
    "whiteouts": hidden,
    "entries twice": twice,
    "odd names": named,
    "extended attributes": attributes,
    "files of all sizes": sized,
}


@pytest.mark.parametrize("name", BASES)
def test_a_base(case: Case, tmp_path: Path, name: str) -> None:
    image = Image.read(write_base(tmp_path / "plain"), 2)
    BASES[name](image)
    image.write(tmp_path / "base")
    other = Case(case.tiny, tmp_path / "base")
    path = tmp_path / "x.sif"
    other.build(f"sif:{path}")
    other.verify(f"sif:{path}").holds()
    _one_thing_less(other, path)


def _one_thing_less(case: Case, path: Path) -> None:
    """Whatever the base brings is missed when it goes."""
    plain = set(Sif.read(path).root)
    brought = [
        each
        for each, thing in Sif.read(path).root.items()
        if thing.kind != "hardlink" and not each.startswith(("app", ".singularity.d"))
    ]
    for each in brought[1::5]:
        found = Sif.read(path)
        links = [name for name, thing in found.root.items() if thing.link == each]
        if links or found.root[each].kind == "directory":
            continue
        found.remove(each)
        verdict = case.verify(found.write(path.with_name("less.sif")))
        verdict.differs(("file", f"/{each}"))
    assert plain == set(Sif.read(path).root)


def test_scratch(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "x.sif"
    case.build(f"sif:{path}", "--base", "scratch")
    case.verify(f"sif:{path}", "--base", "scratch").holds()
    assert ("file", "/etc/passwd") in case.verify(f"sif:{path}").found


def test_another_base(case: Case, sif: Path, tmp_path: Path) -> None:
    other = write_base(tmp_path / "base", programs=b"#!/bin/other\n")
    verdict = Case(case.tiny, other).verify(f"sif:{sif}")
    assert ("file", "/bin/sh") in verdict.found
    assert ("config", "config.rootfs.diff_ids") in verdict.found


def test_a_base_that_is_damaged(case: Case, sif: Path, tmp_path: Path) -> None:
    """Then nothing can be proven, which is no difference."""
    other = write_base(tmp_path / "base")
    for blob in (other / "blobs" / "sha256").iterdir():
        data = blob.read_bytes()
        if data[:2] == b"\x1f\x8b":
            blob.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    ran = Case(case.tiny, other).verify(f"sif:{sif}").ran
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("error: ")


def test_a_base_whose_layer_is_another(case: Case, sif: Path, tmp_path: Path) -> None:
    """The blob is what its manifest says, and not what its config says."""
    image = Image.read(write_base(tmp_path / "plain"), 2)
    wrong = "7" * 64

    def lie(raw: bytes) -> bytes:
        start = raw.index(b'"diff_ids":["sha256:') + len(b'"diff_ids":["sha256:')
        return raw[:start] + wrong.encode() + raw[start + 64 :]

    image.raw_config = lie
    image.write(tmp_path / "base")
    ran = Case(case.tiny, tmp_path / "base").verify(f"sif:{sif}").ran
    assert (ran.status, ran.out) == (1, "")
    assert wrong in ran.err


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [("dev/null", "device", 0x101), ("dev/disk", "mode", 0o666), ("dev/pipe", "mode", 0o666)],
)
def test_a_special_file_of_the_base(
    case: Case, tmp_path: Path, path: str, field: str, value: int
) -> None:
    """Its number and its mode are all that it has."""
    image = Image.read(write_base(tmp_path / "plain"), 2)
    devices(image)
    image.write(tmp_path / "base")
    other = Case(case.tiny, tmp_path / "base")
    other.build(f"sif:{tmp_path / 'right.sif'}")
    found = Sif.read(tmp_path / "right.sif")
    assert getattr(found.root[path], field) != value
    setattr(found.root[path], field, value)
    other.verify(found.write(tmp_path / "x.sif")).differs(("file", f"/{path}"))
