"""An unpacked root is what the layers say, laid over one another as OCI wants it, whatever their
order of entries; nothing is ever written outside of it; damaged layers leave nothing behind.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.digest import Digest
from pixi_ship.errors import DigestMismatch, ImageError
from pixi_ship.oci.blob import Blob, Layer
from pixi_ship.oci.descriptor import LAYER_TAR, Descriptor
from pixi_ship.rootfs import unpack_layers

from ..tiny import member, tar_of

Member = tuple[tarfile.TarInfo, bytes]
MOUNT_POINTS = {"dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "var"}


def layer(*members: Member) -> Layer:
    data = tar_of(members)
    digest = Digest(hashlib.sha256(data).hexdigest())
    return Layer(Blob.of(Descriptor(LAYER_TAR, digest, len(data)), data), digest)


def file(name: str, text: str = "x", mode: int = 0o644) -> Member:
    return member(name, text.encode(), mode=mode)


def folder(name: str, mode: int = 0o755) -> Member:
    return member(name, type=tarfile.DIRTYPE, mode=mode)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    return member(name, type=kind, linkname=target)


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Unpack layers, each a list of members; gives paths with text, '->TARGET', or None."""

    def unpack(*layers: list[Member]) -> dict[str, Any]:
        root = tmp_path / "outer" / "root"
        root.mkdir(parents=True)
        unpack_layers([layer(*each) for each in layers], root)
        assert [path.name for path in (tmp_path / "outer").iterdir()] == ["root"]
        return shown(root)

    return unpack


def shown(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for above, folders, names in os.walk(root):
        for path in (Path(above, name) for name in (*folders, *names)):
            text = f"->{path.readlink()}" if path.is_symlink() else None
            if text is None and path.is_file():
                text = path.read_text()
            key = str(path.relative_to(root))
            if key.split("/")[0] not in MOUNT_POINTS:
                found[key] = text
    return found


def test_later_entries_win(unpacked: Callable[..., dict[str, Any]]) -> None:
    assert unpacked(
        [folder("a"), file("a/x", "1"), file("b", "1"), link("c", "b"), folder("d"), file("d/y")],
        [file("a/x", "2"), folder("b"), file("b/z", "2"), file("c", "2"), file("d", "2")],
    ) == {"a": None, "a/x": "2", "b": None, "b/z": "2", "c": "2", "d": "2"}


@pytest.mark.parametrize("first", [True, False])
def test_whiteouts_hide_lower_layers_alone(
    unpacked: Callable[..., dict[str, Any]], first: bool
) -> None:
    """Wherever in the layer they stand."""
    hides = [file(".wh.gone", ""), file("a/.wh..wh..opq", ""), file(".wh.swap", "")]
    writes = [file("a/new"), file("a/deep/new"), file("swap/new"), file("gone2")]
    lower = [file("gone"), file("a/old"), file("a/deep/old"), file("swap/old"), file("stays")]
    found = unpacked(lower, [*hides, *writes] if first else [*writes, *hides])
    assert {path for path, text in found.items() if text is not None} == {
        *("a/new", "a/deep/new", "swap/new", "gone2", "stays")
    }


def test_links_of_lower_layers_are_followed_in_the_root(
    unpacked: Callable[..., dict[str, Any]],
) -> None:
    found = unpacked(
        [
            folder("usr/lib"),
            link("lib", "usr/lib"),
            link("abs", "/usr/lib"),
            link("up", "../../usr"),
        ],
        [file("lib/one"), file("abs/two"), file("up/lib/three"), link("h", "lib/one", b"1")],
    )
    assert {path for path in found if path.startswith("usr/lib/")} == {
        *("usr/lib/one", "usr/lib/two", "usr/lib/three")
    }
    assert found["h"] == "x"


HOSTILE: dict[str, list[Member]] = {
    "climbs": [file("../escaped")],
    "absolute": [file("/escaped")],
    "hard link out": [link("h", "../outside", tarfile.LNKTYPE)],
    "hard link to a directory": [folder("d"), link("h", "d", tarfile.LNKTYPE)],
    "hard link to nothing": [link("h", "d", tarfile.LNKTYPE)],
    "hard link through a link": [link("l", "/etc"), link("h", "l/passwd-", tarfile.LNKTYPE)],
    "hard link to a link": [link("l", "/etc/passwd"), link("h", "l", tarfile.LNKTYPE)],
    "links in a ring": [link("a", "b"), link("b", "a"), file("a/x")],
    "below a file": [file("a"), file("a/x")],
    "hides above": [file("a/.wh...", "")],
    "hides nothing": [file("a/.wh.", "")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_layers(name: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("mine")
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(ImageError):
        unpack_layers([layer(*HOSTILE[name])], root)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "root"]


def test_links_lead_nowhere_while_unpacking(tmp_path: Path) -> None:
    """A link out of the root is kept as it is; what is written behind it stays in the root."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "kept").write_text("mine")
    root.mkdir()
    members = [link("out", str(outside)), file("out/new"), file("out/.wh.kept", "")]
    members += [file("out/.wh..wh..opq", ""), link("kept", "/outside/kept"), file("kept", "theirs")]
    unpack_layers([layer(members[0]), layer(*members[1:])], root)
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "mine"
    assert (root / str(outside).lstrip("/") / "new").read_text() == "x"
    assert (root / "kept").read_text() == "theirs"


def test_modes_and_what_is_left_out(tmp_path: Path) -> None:
    special = [
        member("pipe", type=tarfile.FIFOTYPE),
        member("disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0),
        file("set-id", mode=0o6755),
        file("closed", mode=0),
        folder("shut", mode=0o000),
        file("shut/in"),
    ]
    unpack_layers([layer(*special)], tmp_path)
    assert set(shown(tmp_path)) == {"set-id", "closed", "shut", "shut/in"}
    modes = {
        name: stat.S_IMODE((tmp_path / name).stat().st_mode)
        for name in ("set-id", "closed", "shut")
    }
    assert modes == {"set-id": 0o755, "closed": 0o600, "shut": 0o700}


def test_mount_points_are_real(tmp_path: Path) -> None:
    """A link where something will be mounted would lead the mount elsewhere."""
    unpack_layers([layer(link("etc/resolv.conf", "../run/x"), file("etc/hosts", "kept"))], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == MOUNT_POINTS
    assert not (tmp_path / "etc/resolv.conf").is_symlink()
    assert (tmp_path / "etc/hosts").read_text() == "kept"


def test_damaged_layers(tmp_path: Path) -> None:
    good = layer(file("a"))
    with pytest.raises(DigestMismatch):
        unpack_layers([Layer(good.blob, Digest("0" * 64))], tmp_path)
    cut = Blob.of(good.descriptor, tar_of([file("a")])[:600])
    with pytest.raises((DigestMismatch, ImageError)):
        unpack_layers([Layer(cut, good.diff_id)], tmp_path)
