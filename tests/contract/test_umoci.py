"""Umoci unpacks every form, and what it unpacks has no trace of who built it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import BASE, FORMS, TAG, Built
from .tools import need, output, skopeo_json

SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


def our_paths(layout: Path) -> dict[str, tarfile.TarInfo]:
    """What the layers above the base image hold; later layers win."""
    manifest = skopeo_json("inspect", "--raw", f"oci:{layout}:{TAG}")
    base = skopeo_json("inspect", "--raw", BASE)
    found = {}
    for layer in manifest["layers"][len(base["layers"]) :]:
        with tarfile.open(layout / "blobs" / layer["digest"].replace(":", "/")) as archive:
            for member in archive:
                found[member.name.removeprefix("./").rstrip("/")] = member
    return found


@pytest.mark.parametrize("form", FORMS)
def test_unpack(
    gzip_image: Built, form: str, plain_layout: Callable[[str], Path], tmp_path: Path
) -> None:
    need("umoci", root=True)
    archive = gzip_image.references[form]
    layout = gzip_image.layout if form == "oci" else plain_layout(archive)
    bundle = tmp_path / "bundle"
    output("umoci", "unpack", "--image", f"{layout}:{TAG}", bundle)
    try:
        ours = our_paths(gzip_image.layout)
        check_files(bundle / "rootfs", ours)
        check_links(bundle / "rootfs")
        config = json.loads((bundle / "config.json").read_text())
        assert config["process"]["args"][0] == "/app/entrypoint.sh"
    finally:
        shutil.rmtree(bundle)


def check_files(root: Path, ours: dict[str, tarfile.TarInfo]) -> None:
    assert "app/pixi.lock" in ours
    times = set()
    for name, member in ours.items():
        path = root / name
        told = path.lstat()
        mode = stat.S_IMODE(told.st_mode)
        assert (told.st_uid, told.st_gid) == (0, 0), name
        assert not mode & SPECIAL, f"{name}: {mode:o}"
        times.add(int(told.st_mtime))
        if member.issym():
            assert path.readlink() == Path(member.linkname), name
            continue
        assert path.is_dir() == member.isdir(), name
        assert mode & 0o444 == 0o444, f"{name}: {mode:o}"
        assert not mode & 0o022, f"{name}: {mode:o}"
        executable = bool(mode & 0o111)
        assert executable == (mode & 0o111 == 0o111), f"{name}: {mode:o}"
        assert executable or not member.isdir(), f"{name}: {mode:o}"
    assert len(times) == 1, times


def check_links(root: Path) -> None:
    """Links inside the prefix lead somewhere, from the root that the job will see."""
    prefix = root / "app/.pixi/envs/default"
    dangling = []
    for folder, folders, files in os.walk(prefix):
        for name in [*folders, *files]:
            path = Path(folder) / name
            if not path.is_symlink():
                continue
            link = path.readlink()
            inside = root / str(link).lstrip("/") if link.is_absolute() else path
            if not inside.exists():
                dangling.append(str(path.relative_to(prefix)))
    assert dangling == []
