"""A change of any file, in an image that fits together, is found, and named by its path.

Each case opens the image, changes one thing, and makes all digests anew. What is listed is
exactly that thing, and what follows from it.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ..contract.tools import need, output
from .case import CACHED, PREFIX, SERIES, SITE, Case, Found
from .tamper import RECORD, Image, Piece, piece

Tamper = Callable[[Image], object]

ONE = f"{PREFIX}/share/tool/one.txt"
TWO = f"{PREFIX}/share/tool/two.txt"
TOOL = f"{PREFIX}/bin/tool"
LINK = f"{PREFIX}/lib/libtool.so"
HARD = f"{PREFIX}/lib/libtool.so.1.0"
FIRST = f"{PREFIX}/lib/libtool.so.1"
LAST = 6
TOOLS = 4  # the layer of the package tool
GREET = f"{SITE}/greet/{CACHED.format('cli')}"
TRINKET = f"{SITE}/trinket/{CACHED.format('cli')}"


def files(*paths: str) -> Found:
    return [("file", f"/{path}") for path in paths]


OF_EACH_KIND = {
    "conda, native": TOOL,
    "conda, native, a text": f"{PREFIX}/share/tool/text.txt",
    "conda, native, an activation script": f"{PREFIX}/etc/conda/activate.d/tool.sh",
    "conda, noarch": f"{SITE}/greet/cli.py",
    "conda, noarch, bytecode": GREET,
    "conda, noarch, console script": f"{PREFIX}/bin/greet",
    "conda, noarch, script": f"{PREFIX}/bin/greet-script",
    "conda, metadata": f"{PREFIX}/conda-meta/tool-1.0-h0000000_0.json",
    "python": f"{PREFIX}/bin/python{SERIES}",
    "python, bytecode": f"{PREFIX}/lib/python{SERIES}/{CACHED.format('this')}",
    "wheel": f"{SITE}/trinket/cli.py",
    "wheel, bytecode": TRINKET,
    "wheel, console script": f"{PREFIX}/bin/trinket",
    "wheel, data": f"{PREFIX}/share/trinket/data.txt",
    "wheel, RECORD": f"{SITE}/trinket-1.0.dist-info/RECORD",
    "manifest": "app/pixi.toml",
    "lock": "app/pixi.lock",
    "entrypoint": "app/entrypoint.sh",
    "hook of login shells": "etc/profile.d/zz-pixi-ship.sh",
    "hook of Apptainer": ".singularity.d/env/91-pixi-ship.sh",
    "environment of Charliecloud": "ch/environment",
}


@pytest.mark.parametrize("path", OF_EACH_KIND.values(), ids=OF_EACH_KIND.keys())
def test_a_bit_in_a_file(case: Case, tmp_path: Path, path: str) -> None:
    reference = case.tampered(tmp_path / "x", lambda image: image.flip(path))
    verdict = case.verify(reference)
    verdict.differs(*files(path))
    want, got = verdict.of(f"/{path}")
    assert want is not None
    assert got is not None
    assert want.rpartition("sha256:")[0] == got.rpartition("sha256:")[0], "mode and size are right"


@pytest.mark.parametrize("path", OF_EACH_KIND.values(), ids=OF_EACH_KIND.keys())
def test_a_file_taken_away(case: Case, tmp_path: Path, path: str) -> None:
    reference = case.tampered(tmp_path / "x", lambda image: image.remove(path))
    verdict = case.verify(reference)
    verdict.differs(*files(path))
    assert verdict.of(f"/{path}")[1] is None


def more(path: str, data: bytes = b"more\n", layer: int = -1, **fields: object) -> Tamper:
    return lambda image: image.add(path, data, layer, **fields)


def folder(path: str, layer: int = -1) -> Tamper:
    return more(path, b"", layer, type=tarfile.DIRTYPE, mode=0o755)


def several(*tampers: Tamper) -> Tamper:
    return lambda image: [tamper(image) for tamper in tampers]


ADDED: dict[str, tuple[Tamper, Found]] = {
    "below the prefix": (more(f"{PREFIX}/share/tool/more"), files(f"{PREFIX}/share/tool/more")),
    "bytecode of another Python": (
        more(f"{SITE}/greet/__pycache__/cli.cpython-399.pyc"),
        files(f"{SITE}/greet/__pycache__/cli.cpython-399.pyc"),
    ),
    "a module": (more(f"{SITE}/sitecustomize.py"), files(f"{SITE}/sitecustomize.py")),
    "outside of the prefix": (more("etc/cron"), files("etc/cron")),
    "in the root": (more("more"), files("more")),
    "in a new directory": (
        several(folder("opt"), folder("opt/a"), more("opt/a/more")),
        files("opt", "opt/a", "opt/a/more"),
    ),
    "in a directory that has no entry": (more("opt/more"), files("opt", "opt/more")),
    "an empty directory": (folder("opt"), files("opt")),
    "through a link of ours": (
        more(f"{PREFIX}/share/linked/more"),
        files(f"{PREFIX}/share/linked/more"),
    ),
    "through a link of the base": (more("lib/libmore.so"), files("lib/libmore.so")),
    "over a file of the base": (more("etc/passwd", b"me::0:0::/:\n"), files("etc/passwd")),
    "over a directory of the base": (
        more("var/cache", type=tarfile.SYMTYPE, linkname="/tmp"),
        files("var/cache"),
    ),
    "below a file": (more(f"{ONE}/more"), files(f"{ONE}/more")),
    "a link": (
        more("more", b"", type=tarfile.SYMTYPE, linkname="bin/sh", mode=0o777),
        files("more"),
    ),
    "a second name of a file": (more("more", type=tarfile.LNKTYPE, linkname=TOOL), files("more")),
    "a second name of no file": (more("more", type=tarfile.LNKTYPE, linkname="no"), files("more")),
    "a device": (
        more("dev-mem", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=1),
        files("dev-mem"),
    ),
    "a pipe": (more("pipe", b"", type=tarfile.FIFOTYPE), files("pipe")),
    "a file with setuid": (more("more", mode=0o4755), files("more")),
    "an absolute path": (more("/etc/more"), files("/etc/more")),
    "a path that climbs": (more("app/../../more"), files("app/../../more")),
    "a name outside ASCII": (more("ünï"), files("ünï")),
    "a name with a line break": (more("a\nb"), files("a\nb")),
    "a name too long for Linux": (more("n/" * 2500), files("n/" * 50 + "…")),
    "a directory too deep for recursion": (
        more("/".join("d" * 2000)),
        files(*("/".join("d" * depth) for depth in range(1, 2001))),
    ),
    "the same file again": (
        lambda image: image.add(ONE, image.read_file(ONE), TOOLS),
        files(ONE),
    ),
    "another file first, then the right one": (
        lambda image: image.change(TOOLS, lambda found: _before(found, ONE, b"other\n")),
        files(ONE),
    ),
}


def _before(found: list[Piece], path: str, data: bytes) -> None:
    (at,) = (at for at, each in enumerate(found) if each.path == path)
    found.insert(at, piece(path, data))


@pytest.mark.parametrize("name", ADDED)
def test_something_added(case: Case, tmp_path: Path, name: str) -> None:
    tamper, found = ADDED[name]
    case.verify(case.tampered(tmp_path / "x", tamper)).differs(*found)


WHITEOUTS: dict[str, tuple[str, Found]] = {
    "a file of the base": ("etc/.wh.passwd", files("etc/passwd")),
    "a directory of the base": (
        "usr/.wh.lib",
        files("usr/lib", "usr/lib/libbase.so", "usr/lib/libc.so.6"),
    ),
    "a link of the base": (".wh.lib", files("lib")),
    "a file of ours": (f"{PREFIX}/share/tool/.wh.one.txt", files(ONE)),
    "everything in a directory of the base": (
        "usr/lib/.wh..wh..opq",
        files("usr/lib/libbase.so", "usr/lib/libc.so.6"),
    ),
    "everything in a directory of ours": (
        f"{PREFIX}/share/tool/.wh..wh..opq",
        files(
            *(
                f"{PREFIX}/share/tool/{name}"
                for name in ("one.txt", "two.txt", "text.txt", "large.bin")
            )
        ),
    ),
    "nothing": ("etc/.wh.nothing", []),
    "everything in an empty directory": ("var/cache/.wh..wh..opq", []),
}


@pytest.mark.parametrize("name", WHITEOUTS)
def test_a_whiteout(case: Case, tmp_path: Path, name: str) -> None:
    path, found = WHITEOUTS[name]
    verdict = case.verify(case.tampered(tmp_path / "x", more(path, b"")))
    verdict.differs(*files(path), *found)
    assert verdict.of(f"/{path}") == (None, "a whiteout")
    assert all(verdict.of(where)[1] is None for _, where in found)


def test_a_whiteout_of_what_its_own_layer_has(case: Case, tmp_path: Path) -> None:
    """Some runtimes keep the file, some do not: so it is found whatever becomes of the file."""
    path = "app/.wh.pixi.lock"
    case.verify(case.tampered(tmp_path / "x", more(path, b""))).differs(*files(path))


def change(path: str, **fields: object) -> Tamper:
    return lambda image: image.set(path, **fields)


def become(path: str, data: bytes = b"", **fields: object) -> Tamper:
    return lambda image: image.become(path, data, **fields)


CHANGED: dict[str, tuple[Tamper, Found]] = {
    "writable by all": (change(ONE, mode=0o666), files(ONE)),
    "readable by root alone": (change(ONE, mode=0o600), files(ONE)),
    "executable": (change(ONE, mode=0o755), files(ONE)),
    "not executable": (change(TOOL, mode=0o644), files(TOOL)),
    "setuid": (change(TOOL, mode=0o4755), files(TOOL)),
    "setgid": (change(TOOL, mode=0o2755), files(TOOL)),
    "sticky": (change(ONE, mode=0o1644), files(ONE)),
    "a user's": (change(ONE, uid=1000), files(ONE)),
    "a group's": (change(ONE, gid=1000), files(ONE)),
    "a user's by a pax record": (change(ONE, uid=1 << 30), files(ONE)),
    "a directory's mode": (
        lambda image: image.add(f"{PREFIX}/bin", type=tarfile.DIRTYPE, mode=0o777),
        files(f"{PREFIX}/bin"),
    ),
    "a directory's owner": (
        lambda image: image.add("app", type=tarfile.DIRTYPE, mode=0o755, uid=1),
        files("app"),
    ),
    "a mode in the base": (
        lambda image: image.add("var/cache", type=tarfile.DIRTYPE, mode=0o777),
        files("var/cache"),
    ),
    "a capability": (
        change(TOOL, pax_headers={"SCHILY.xattr.security.capability": "\x01\x00"}),
        files(TOOL),
    ),
    "an extended attribute": (
        change(ONE, pax_headers={"SCHILY.xattr.user.note": "1"}),
        files(ONE),
    ),
    "a link's target": (change(LINK, linkname="libtool.so.2"), files(LINK)),
    "a link's owner": (change(LINK, uid=7), files(LINK)),
    "a hard link's target": (change(HARD, linkname=TOOL), files(HARD)),
    "cut short": (lambda image: image.write_file(ONE, b"sam"), files(ONE)),
    "made longer": (lambda image: image.write_file(ONE, b"same\n\n"), files(ONE)),
    "empty": (lambda image: image.write_file(ONE, b""), files(ONE)),
    "filled": (
        lambda image: image.write_file(f"{PREFIX}/conda-meta/history", b"+"),
        files(f"{PREFIX}/conda-meta/history"),
    ),
    "a file made a link": (become(ONE, type=tarfile.SYMTYPE, linkname="two.txt"), files(ONE)),
    "a file made a hard link to another": (
        become(TWO, type=tarfile.LNKTYPE, linkname=f"{PREFIX}/share/tool/text.txt"),
        files(TWO),
    ),
    "a file made a hard link to an equal one": (
        become(TWO, type=tarfile.LNKTYPE, linkname=ONE),
        files(TWO),
    ),
    "a file made a directory": (become(ONE, type=tarfile.DIRTYPE, mode=0o755), files(ONE)),
    "a file made a device": (
        become(ONE, type=tarfile.BLKTYPE, devmajor=8, devminor=0),
        files(ONE),
    ),
    "a file made a pipe": (become(ONE, type=tarfile.FIFOTYPE), files(ONE)),
    "a link made a file": (become(LINK, b"\x7fELF", mode=0o777), files(LINK)),
    "a hard link made a file": (
        lambda image: image.become(HARD, image.read_file(FIRST), mode=0o755),
        files(HARD),
    ),
    "a hard link to itself": (become(HARD, type=tarfile.LNKTYPE, linkname=HARD), files(HARD)),
}


@pytest.mark.parametrize("name", CHANGED)
def test_something_changed(case: Case, tmp_path: Path, name: str) -> None:
    tamper, found = CHANGED[name]
    verdict = case.verify(case.tampered(tmp_path / "x", tamper))
    where = {row["where"] for row in verdict.differences}
    assert where == {each for _, each in found}
    assert verdict.ran.status == 1
    assert all(row["kind"] == "file" for row in verdict.differences)


def test_the_text_says_what_is_wrong(case: Case, tmp_path: Path) -> None:
    """The words that tell one change from the other."""

    def tamper(image: Image) -> None:
        image.set(TOOL, mode=0o4755, uid=5, gid=6)
        image.set(ONE, pax_headers={"SCHILY.xattr.user.note": "1"})
        image.set(LINK, linkname="/etc/shadow")

    verdict = case.verify(case.tampered(tmp_path / "x", tamper))
    got = {row["where"].rpartition("/")[2]: row["got"] for row in verdict.differences}
    assert got["tool"].startswith("file 4755 owner 5:6 ")
    assert got["one.txt"].endswith(" with extended attributes")
    assert got["libtool.so"] == "symlink 777 -> /etc/shadow"


# What no file shows: how the entries are written, and around them.


def _first_record(image: Image, place: int, edit: Callable[[bytearray], None]) -> None:
    """Edit the first header of a layer, and make its checksum fit."""
    header = bytearray(image.layers[place][:RECORD])
    edit(header)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    image.layers[place] = bytes(header) + image.layers[place][RECORD:]


def _global(image: Image, records: dict[str, str]) -> None:
    head = tarfile.TarInfo.create_pax_global_header(records)
    image.layers[TOOLS] = head + image.layers[TOOLS]


def _link_by_global_record(image: Image) -> None:
    """The header says one target; a global record, which Go's reader ignores, the right one."""

    def edit(found: list[Piece]) -> None:
        links = [each for each in found if each.info.issym() and each.path == LINK]
        (old,) = links
        found.remove(old)
        head = tarfile.TarInfo.create_pax_global_header({"linkpath": old.info.linkname})
        found.append(Piece("", old.info, b"", head))
        found.append(piece(LINK, type=tarfile.SYMTYPE, linkname="/etc/shadow", mode=0o777))

    image.change(TOOLS, edit)


def _hidden_in_a_directory(image: Image) -> None:
    """A directory's size is nothing to some readers, and entries to skip to others."""
    hidden = piece("etc/cron", b"hidden\n").raw
    image.change(
        LAST,
        lambda found: found.append(
            piece("etc", hidden, type=tarfile.DIRTYPE, mode=0o755, size=len(hidden))
        ),
    )


UNSEEN: dict[str, tuple[Tamper, int]] = {
    "another time": (change(ONE, mtime=1), TOOLS),
    "a user's name": (change(ONE, uname="me"), TOOLS),
    "another order": (
        lambda image: image.change(
            TOOLS,
            lambda found: found.append(
                found.pop(next(at for at, each in enumerate(found) if each.path == ONE))
            ),
        ),
        TOOLS,
    ),
    "a directory said twice": (folder("app"), LAST),
    "GNU's magic": (
        lambda image: _first_record(
            image, TOOLS, lambda header: header.__setitem__(slice(257, 265), b"ustar  \0")
        ),
        TOOLS,
    ),
    "a comment before all": (lambda image: _global(image, {"comment": "x"}), TOOLS),
    "an owner that a global record hides": (
        several(change(ONE, uid=7), lambda image: _global(image, {"uid": "0"})),
        TOOLS,
    ),
    "a target that a global record hides": (_link_by_global_record, TOOLS),
    "entries in what a directory's size skips": (_hidden_in_a_directory, LAST),
    "something after the end": (
        lambda image: image.layers.__setitem__(
            LAST, image.layers[LAST] + piece("etc/cron", b"more").raw + bytes(1024)
        ),
        LAST,
    ),
    "zeros after the end": (
        lambda image: image.layers.__setitem__(LAST, image.layers[LAST] + bytes(8192)),
        LAST,
    ),
    "no end": (
        lambda image: image.layers.__setitem__(LAST, image.layers[LAST][:-1024]),
        LAST,
    ),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_no_file_shows(case: Case, tmp_path: Path, name: str) -> None:
    """Readers of tars disagree about such things, so the whole tar has to be the right one."""
    tamper, layer = UNSEEN[name]
    verdict = case.verify(case.tampered(tmp_path / "x", tamper))
    verdict.differs(("layer", f"layer {layer + 1}, its tar"))


def test_what_is_hidden_from_one_reader_is_there_for_another(case: Case, tmp_path: Path) -> None:
    """Not only in theory: what a directory's size seems to skip, umoci unpacks."""
    need("umoci", root=True)
    case.tampered(tmp_path / "x", _hidden_in_a_directory)
    output("umoci", "unpack", "--image", f"{tmp_path / 'x'}:t", tmp_path / "bundle")
    try:
        assert (tmp_path / "bundle" / "rootfs" / "etc/cron").read_bytes() == b"hidden\n"
    finally:
        shutil.rmtree(tmp_path / "bundle")
