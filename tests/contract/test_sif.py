"""A SIF of ours holds what the OCI image holds: umoci unpacks the one, unsquashfs the other."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from pixi_ship.sif.file import read_sif

from .conftest import BASE, TAG, WORKSPACES, ship
from .tools import need, output

OURS = (".singularity.d", "singularity", ".run", ".exec", ".test", ".shell", "environment")


def files(root: Path) -> dict[str, tuple[str, int, str]]:
    """Path → kind, mode, and content or target; owners are root's in every SIF."""
    found = {}
    for folder, directories, names in os.walk(root):
        for name in (*directories, *names):
            path = Path(folder, name)
            status = path.lstat()
            mode = stat.S_IMODE(status.st_mode)
            relative = str(path.relative_to(root))
            if path.is_symlink():
                found[relative] = ("link", 0o777, str(path.readlink()))
            elif path.is_dir():
                found[relative] = ("directory", mode, "")
            else:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                found[relative] = (f"file {status.st_nlink}", mode, digest)
    return found


def unpacked_sif(sif: Path, folder: Path) -> Path:
    """The root filesystem, by squashfs-tools."""
    part = read_sif(sif).root
    squashfs = folder / "root.squashfs"
    with sif.open("rb") as file, squashfs.open("wb") as copy:
        file.seek(part.offset)
        copy.write(file.read(part.size))
    root = folder / "sif-root"
    output("unsquashfs", "-quiet", "-no-progress", "-no-xattrs", "-d", root, squashfs)
    return root


@pytest.mark.parametrize(
    ("workspace", "compression"),
    [("numpy", "gzip"), ("edge", "gzip"), ("edge", "zstd"), ("edge", "xz"), ("edge", "lz4")],
)
def test_the_files_of_the_image(tmp_path: Path, workspace: str, compression: str) -> None:
    """Paths, kinds, modes, links, contents; nothing but Apptainer's own is added."""
    need("umoci", root=True)
    need("unsquashfs", root=True)
    common = ("-w", WORKSPACES / workspace, "--base", BASE, "--cache-dir", tmp_path / "cache")
    layout, sif = tmp_path / "layout", tmp_path / "image.sif"
    ship(
        *("build", *common, "--no-compile", "--to", f"oci:{layout}:{TAG}", "--to", f"sif:{sif}"),
        *("--squashfs-compression", compression),
    )
    output("umoci", "unpack", "--image", f"{layout}:{TAG}", tmp_path / "bundle")
    want = files(tmp_path / "bundle" / "rootfs")
    got = files(unpacked_sif(sif, tmp_path))
    added = {path for path in got.keys() - want.keys() if not path.startswith(OURS)}
    assert added == set()
    assert {path: got.get(path) for path in want} == want


def test_same_lock_same_bytes(tmp_path: Path) -> None:
    """Twice the same SIF: by another cache, another place, packs made or kept."""
    sifs: list[str] = []
    for cache in ("one", "two", "two"):
        sif = tmp_path / f"{len(sifs)}" / "image.sif"
        ship(
            *("build", "-w", WORKSPACES / "numpy", "--base", BASE, "--no-compile"),
            *("--cache-dir", tmp_path / cache, "--to", f"sif:{sif}"),
        )
        sifs.append(hashlib.sha256(sif.read_bytes()).hexdigest())
        assert os.access(sif, os.X_OK)
    assert len(set(sifs)) == 1


def test_only_what_changed_is_packed(tmp_path: Path) -> None:
    """After one changed package the cache gains one pack for it, and one for the configuration."""
    cache = tmp_path / "cache"
    common = ("--base", BASE, "--no-compile", "--cache-dir", cache, "--to")
    for workspace, new in (("numpy", None), ("numpy", 0), ("numpy-updated", 2)):
        before = set(cache.glob("notes/pack/*"))
        report = ship(
            "build", "-w", WORKSPACES / workspace, *common, f"sif:{tmp_path / 'image.sif'}"
        )
        after = set(cache.glob("notes/pack/*"))
        if new is not None:
            assert len(after - before) == new
            assert report["counters"]["layers_built"] == new // 2


def test_packs_alone_are_enough(tmp_path: Path) -> None:
    """A SIF needs no layer's bytes where its packs are kept."""
    cache, sif = tmp_path / "cache", tmp_path / "image.sif"
    words = ("build", "-w", WORKSPACES / "numpy", "--base", BASE, "--no-compile")
    first = ship(*words, "--cache-dir", cache, "--to", f"sif:{sif}")
    whole = sif.read_bytes()
    for layer in first["images"][0]["layers"]:
        (cache / "blobs" / layer["digest"].removeprefix("sha256:")).unlink()
    again = ship(*words, "--cache-dir", cache, "--to", f"sif:{sif}")
    assert again["counters"]["packages_read"] == 0
    assert sif.read_bytes() == whole
