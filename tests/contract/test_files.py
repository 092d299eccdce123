"""``umoci unpack`` gives the files that ``plan --files`` lists, and no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import BASE, TAG, WORKSPACES, ship
from .tools import need, output


def _rows(root: Path) -> dict[str, str]:
    rows = {}
    for folder, directories, names in os.walk(root):
        for name in (*directories, *names):
            path = Path(folder, name)
            relative = str(path.relative_to(root))
            if path.is_symlink():
                rows[relative] = f"link {path.readlink()}"
            elif path.is_dir():
                rows[relative] = f"dir {path.stat().st_mode & 0o7777:o}"
            else:
                status = path.stat()
                rows[relative] = f"file {status.st_mode & 0o7777:o} {status.st_size}"
    return rows


def _planned(rows: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    links: dict[str, str] = {}
    for row in rows:
        kind, mode, size, rest = row.split(" ", 3)
        if kind == "link":
            path, _, target = rest.partition(" -> ")
            found[path] = f"link {target}"
        elif kind == "hard":
            path, _, target = rest.partition(" -> ")
            links[path] = target
        else:
            found[rest] = f"{kind} {mode}" + (f" {size}" if kind == "file" else "")
    return found | {path: found[target] for path, target in links.items()}


@pytest.mark.parametrize("workspace", ["numpy", "edge", "clobber", "many"])
def test_umoci_unpacks_the_planned_files(tmp_path: Path, workspace: str) -> None:
    """Paths, kinds, modes, sizes and link targets are those of the plan, and there are no more."""
    need("umoci", root=True)
    common = ("-w", WORKSPACES / workspace, "--base", BASE, "--cache-dir", tmp_path / "cache")
    built = ship("build", *common, "--to", f"oci:{tmp_path / 'layout'}:{TAG}")
    plan = ship("plan", *common, "--files")
    assert plan["images"][0]["digest"] == built["digest"]
    output("umoci", "unpack", "--image", f"{tmp_path / 'layout'}:{TAG}", tmp_path / "bundle")
    unpacked = _rows(tmp_path / "bundle" / "rootfs")
    planned = _planned(plan["files"])
    assert {path: unpacked.get(path) for path in planned} == planned
    extra = {path for path in unpacked if path.startswith("app/")} - planned.keys()
    assert extra == set()
