"""A change of any file in a SIF is found, and named by its path; how it is packed is no change.

Each case takes the SIF apart, changes one thing, and puts it together so that everything fits:
mostly by our own writer, and by mksquashfs where that can do more (owners, attributes, codecs).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pixi_ship.squashfs.format import InodeType

from ..contract.tools import need
from .case import CACHED, PREFIX, SERIES, SITE, Case, Found
from .sifs import Sif, Thing, repacked

Tamper = Callable[[Sif], object]

ONE = f"{PREFIX}/share/tool/one.txt"
TWO = f"{PREFIX}/share/tool/two.txt"
LARGE = f"{PREFIX}/share/tool/large.bin"
TOOL = f"{PREFIX}/bin/tool"
LINK = f"{PREFIX}/lib/libtool.so"
FIRST = f"{PREFIX}/lib/libtool.so.1"
HARD = f"{PREFIX}/lib/libtool.so.1.0"
ENV = ".singularity.d/env"


def files(*paths: str) -> Found:
    return [("file", f"/{path}") for path in paths]


def test_the_right_one(case: Case, sif: Path) -> None:
    verdict = case.verify(f"sif:{sif}")
    verdict.holds()
    (image,) = verdict.document["images"]
    assert image["files"] == len(Sif.read(sif).root)
    assert (image["digest"], image["warnings"]) == (None, [])


@pytest.mark.parametrize("codec", ["gzip", "lz4", "xz", "zstd"])
def test_the_right_one_by_every_codec(case: Case, tmp_path: Path, codec: str) -> None:
    case.build(f"sif:{tmp_path / 'x.sif'}", "--squashfs-compression", codec)
    case.verify(f"sif:{tmp_path / 'x.sif'}").holds()


REPACKED = {
    "by gzip": ["-comp", "gzip"],
    "by zstd": ["-comp", "zstd"],
    "by xz": ["-comp", "xz"],
    "not at all": ["-noI", "-noD", "-noF", "-noX"],
    "in small blocks": ["-b", "4K"],
    "in large blocks, without fragments": ["-b", "1M", "-no-fragments"],
    "with a table for NFS": ["-exports"],
}


@pytest.mark.parametrize("options", REPACKED.values(), ids=REPACKED)
def test_only_contents_count(case: Case, sif: Path, tmp_path: Path, options: list[str]) -> None:
    """mksquashfs lays everything out in another way, and the files are the same."""
    case.verify(repacked(sif, tmp_path / "x.sif", lambda root: None, *options)).holds()


def test_put_together_by_our_own_writer(case: Case, sif: Path, tmp_path: Path) -> None:
    """The way in which the cases below are written changes nothing by itself."""
    found = Sif.read(sif)
    found.root["more"] = Thing("file")
    found.write(tmp_path / "more.sif")
    again = Sif.read(tmp_path / "more.sif")
    del again.root["more"]
    case.verify(again.write(tmp_path / "x.sif")).holds()


OF_EACH_KIND = {
    "conda, native": TOOL,
    "conda, native, in blocks of its own": LARGE,
    "conda, native, an activation script": f"{PREFIX}/etc/conda/activate.d/tool.sh",
    "conda, noarch": f"{SITE}/greet/cli.py",
    "conda, noarch, bytecode": f"{SITE}/greet/{CACHED.format('cli')}",
    "conda, metadata": f"{PREFIX}/conda-meta/tool-1.0-h0000000_0.json",
    "python": f"{PREFIX}/bin/python{SERIES}",
    "wheel": f"{SITE}/trinket/cli.py",
    "wheel, console script": f"{PREFIX}/bin/trinket",
    "manifest": "app/pixi.toml",
    "lock": "app/pixi.lock",
    "entrypoint": "app/entrypoint.sh",
    "hook of login shells": "etc/profile.d/zz-pixi-ship.sh",
    "base, lower layer": "usr/lib/libc.so.6",
    "base, upper layer": "etc/os-release",
    "hook of Apptainer": f"{ENV}/91-pixi-ship.sh",
    "Apptainer, runscript": ".singularity.d/runscript",
    "Apptainer, startscript": ".singularity.d/startscript",
    "Apptainer, variables": f"{ENV}/10-docker2singularity.sh",
    "Apptainer, what runs": ".singularity.d/actions/run",
    "Apptainer, labels": ".singularity.d/labels.json",
    "Apptainer, definition": ".singularity.d/Singularity",
}


@pytest.mark.parametrize("path", OF_EACH_KIND.values(), ids=OF_EACH_KIND)
def test_a_bit_in_a_file(case: Case, sif: Path, tmp_path: Path, path: str) -> None:
    found = Sif.read(sif)
    found.flip(path)
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    verdict.differs(*files(path))
    want, got = verdict.of(f"/{path}")
    assert want is not None
    assert got is not None
    assert want.rpartition("sha256:")[0] == got.rpartition("sha256:")[0], "mode and size are right"


@pytest.mark.parametrize("path", OF_EACH_KIND.values(), ids=OF_EACH_KIND)
def test_a_file_taken_away(case: Case, sif: Path, tmp_path: Path, path: str) -> None:
    found = Sif.read(sif)
    found.remove(path)
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    verdict.differs(*files(path))
    assert verdict.of(f"/{path}")[1] is None


def more(path: str, thing: Thing) -> Tamper:
    return lambda found: found.root.__setitem__(path, thing)


def file(data: bytes = b"more\n", mode: int = 0o644) -> Thing:
    return Thing("file", mode, data)


def special(kind: InodeType, device: int = 0) -> Thing:
    return Thing("special", 0o600, type=kind, device=device)


FOLDER = Thing("directory", 0o755)


def nested(found: Sif) -> None:
    for path in ("opt", "opt/a"):
        found.root[path] = FOLDER
    found.root["opt/a/more"] = file()


ADDED: dict[str, tuple[Tamper, Found]] = {
    "below the prefix": (more(f"{PREFIX}/share/more", file()), files(f"{PREFIX}/share/more")),
    "a module": (more(f"{SITE}/sitecustomize.py", file()), files(f"{SITE}/sitecustomize.py")),
    "a script that Apptainer sources": (more(f"{ENV}/92-x.sh", file()), files(f"{ENV}/92-x.sh")),
    "in the base": (more("etc/ld.so.preload", file()), files("etc/ld.so.preload")),
    "in the root": (more("more", file()), files("more")),
    "in new directories": (nested, files("opt", "opt/a", "opt/a/more")),
    "an empty directory": (more("opt", FOLDER), files("opt")),
    "an empty file": (more("more", file(b"")), files("more")),
    "a link": (more("more", Thing("symlink", link="bin/sh")), files("more")),
    "a second name of a file": (more("more", Thing("hardlink", link=TOOL)), files("more")),
    "a device": (more("mem", special(InodeType.CHARACTER_DEVICE, 0x101)), files("mem")),
    "a disk": (more("disk", special(InodeType.BLOCK_DEVICE, 0x800)), files("disk")),
    "a pipe": (more("pipe", special(InodeType.FIFO)), files("pipe")),
    "a socket": (more("socket", special(InodeType.SOCKET)), files("socket")),
    "with setuid": (more("more", file(mode=0o4755)), files("more")),
    "a whiteout": (more("etc/.wh.passwd", file(b"")), files("etc/.wh.passwd")),
    "the same name in capitals": (
        more("app/PIXI.lock", file()),
        files("app/PIXI.lock"),
    ),
    "the same name with a blank": (more("app/pixi.lock ", file()), files("app/pixi.lock ")),
    "a name that looks the same": (more("app/p\u0456xi.lock", file()), files("app/p\u0456xi.lock")),
    "a name that ends like a directory": (more("app\u2044x", file()), files("app\u2044x")),
    "a name with a line break": (more("a\nb", file()), files("a\nb")),
}


@pytest.mark.parametrize("name", ADDED)
def test_something_added(case: Case, sif: Path, tmp_path: Path, name: str) -> None:
    tamper, where = ADDED[name]
    found = Sif.read(sif)
    tamper(found)
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    verdict.differs(*where)
    assert all(verdict.of(path)[0] is None for _, path in where)


def change(path: str, **fields: object) -> Tamper:
    def tamper(found: Sif) -> None:
        for name, value in fields.items():
            setattr(found.root[path], name, value)

    return tamper


def become(path: str, thing: Thing) -> Tamper:
    return more(path, thing)


def split(found: Sif) -> None:
    """The second name gets a copy of its own."""
    found.root[HARD] = file(found.root[FIRST].data, 0o755)


def swapped(found: Sif) -> None:
    one, other = (f"{SITE}/{name}/cli.py" for name in ("greet", "trinket"))
    found.root[one], found.root[other] = found.root[other], found.root[one]


def rewritten(path: str, change_it: Callable[[bytes], bytes]) -> Tamper:
    return lambda found: setattr(found.root[path], "data", change_it(found.root[path].data))


CHANGED: dict[str, tuple[Tamper, Found]] = {
    "writable by all": (change(ONE, mode=0o666), files(ONE)),
    "readable by root alone": (change(ONE, mode=0o600), files(ONE)),
    "executable": (change(ONE, mode=0o755), files(ONE)),
    "setuid": (change(TOOL, mode=0o4755), files(TOOL)),
    "setgid": (change(TOOL, mode=0o2755), files(TOOL)),
    "sticky": (change(ONE, mode=0o1644), files(ONE)),
    "a directory's mode": (change(f"{PREFIX}/bin", mode=0o777), files(f"{PREFIX}/bin")),
    "a directory's mode, of the base": (change("var/cache", mode=0o777), files("var/cache")),
    "a directory's mode, of Apptainer": (change(ENV, mode=0o777), files(ENV)),
    "the root's mode": (change("", mode=0o777), files("")),
    "a file's mode in the base": (change("etc/shadow", mode=0o644), files("etc/shadow")),
    "a link's target": (change(LINK, link="libtool.so.2"), files(LINK)),
    "a link's target, of the base": (change("lib", link="tmp"), files("lib")),
    "a link's target, of Apptainer": (change(".run", link="app/entrypoint.sh"), files(".run")),
    "a link without its end": (change(LINK, link="libtool.so"), files(LINK)),
    "cut short": (rewritten(ONE, lambda data: data[:-1]), files(ONE)),
    "made longer": (rewritten(ONE, lambda data: data + b"\n"), files(ONE)),
    "made longer by zeros": (rewritten(LARGE, lambda data: data + bytes(1 << 20)), files(LARGE)),
    "empty": (rewritten(ONE, lambda data: b""), files(ONE)),
    "filled": (
        rewritten(f"{PREFIX}/conda-meta/history", lambda data: b"+"),
        files(f"{PREFIX}/conda-meta/history"),
    ),
    "a file's last byte": (rewritten(LARGE, lambda data: data[:-1] + b"x"), files(LARGE)),
    "a file made a link": (become(ONE, Thing("symlink", link="two.txt")), files(ONE)),
    "a file made a directory": (become(ONE, FOLDER), files(ONE)),
    "a file made a pipe": (become(ONE, special(InodeType.FIFO)), files(ONE)),
    "a file made a device": (become(ONE, special(InodeType.BLOCK_DEVICE, 0x800)), files(ONE)),
    "a link made a file": (become(LINK, file(b"\x7fELF", 0o777)), files(LINK)),
    "a hard link made a file": (split, files(HARD)),
    "a hard link to another file": (change(HARD, link=TOOL), files(HARD)),
    "a file made a hard link to an equal one": (
        become(TWO, Thing("hardlink", link=ONE)),
        files(TWO),
    ),
    "two files with each other's place": (
        swapped,
        files(f"{SITE}/greet/cli.py", f"{SITE}/trinket/cli.py"),
    ),
    "what a hard link shares": (lambda found: found.flip(FIRST), files(FIRST, HARD)),
}


@pytest.mark.parametrize("name", CHANGED)
def test_something_changed(case: Case, sif: Path, tmp_path: Path, name: str) -> None:
    tamper, where = CHANGED[name]
    found = Sif.read(sif)
    tamper(found)
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    verdict.differs(*where)


def test_a_directory_taken_away(case: Case, sif: Path, tmp_path: Path) -> None:
    """It takes along what is in it."""
    found, folder = Sif.read(sif), f"{SITE}/greet"
    gone = [path for path in found.root if path == folder or path.startswith(f"{folder}/")]
    assert len(gone) > 3
    found.remove(folder)
    case.verify(found.write(tmp_path / "x.sif")).differs(*files(*gone))


def owned(path: str, user: int, group: int) -> Callable[[Path], object]:
    return lambda root: os.chown(root / path, user, group, follow_symlinks=False)


def attribute(path: str, name: str, value: bytes) -> Callable[[Path], object]:
    return lambda root: os.setxattr(root / path, name, value)


BY_OTHERS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a user's file": (owned(ONE, 1000, 0), ONE, "owner 1000:0"),
    "a group's file": (owned(ONE, 0, 1000), ONE, "owner 0:1000"),
    "a user's directory": (owned("app", 1000, 1000), "app", "owner 1000:1000"),
    "a user's link": (owned(LINK, 7, 7), LINK, "owner 7:7"),
    "the owner that the base's layer says": (
        owned("etc/shadow", 0, 42),
        "etc/shadow",
        "owner 0:42",
    ),
    "a capability": (
        attribute(TOOL, "security.capability", b"\1\0\0\2\0\4" + bytes(14)),
        TOOL,
        "with extended attributes",
    ),
    "an attribute": (attribute(ONE, "trusted.overlay.opaque", b"y"), ONE, "with extended"),
}


@pytest.mark.parametrize("name", BY_OTHERS)
def test_what_our_writer_never_writes(case: Case, sif: Path, tmp_path: Path, name: str) -> None:
    edit, path, words = BY_OTHERS[name]
    need("unsquashfs", "mksquashfs", root=True)
    verdict = case.verify(repacked(sif, tmp_path / "x.sif", edit))
    verdict.differs(*files(path))
    _, got = verdict.of(f"/{path}")
    assert got is not None
    assert words in got


def test_the_text_says_what_is_wrong(case: Case, sif: Path, tmp_path: Path) -> None:
    found = Sif.read(sif)
    found.root[TOOL].mode = 0o4755
    split(found)
    found.root[LINK].link = "/etc/shadow"
    found.root[ONE] = special(InodeType.CHARACTER_DEVICE, 0x101)
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    got = {row["where"].rpartition("/")[2]: row["got"] for row in verdict.differences}
    assert got["tool"].startswith("file 4755 ")
    assert got["libtool.so"] == "symlink 777 -> /etc/shadow"
    assert got["one.txt"] == "character device 600 0x101"
    want, _ = verdict.of(f"/{HARD}")
    assert want is not None
    assert want.endswith(f", a hard link to {FIRST}")


def test_a_file_whose_size_is_wrong_is_not_read(case: Case, sif: Path, tmp_path: Path) -> None:
    """However much it unpacks to: nothing is told of its content."""
    found = Sif.read(sif)
    found.root[ONE].data = bytes(64 << 20)
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    verdict.differs(*files(ONE))
    assert verdict.of(f"/{ONE}")[1] == f"file 644 {64 << 20} bytes"
