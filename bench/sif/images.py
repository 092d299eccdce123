"""What SIF files are made of: images as Apptainer reads them, and their files unpacked."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.process import Command, run
from bench.workspaces import BASE

COMPRESSIONS = ("gzip", "zstd")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an environment, as a layout whose only tag is ``tag`` and as an archive."""

    workspace: Path
    tag: str
    layout: Path
    archive: Path
    base: str = BASE


def make_version(workspace: Path, tag: str, scratch: Path, base: str = BASE) -> Version:
    """Build an image for Apptainer, which reads gzip layers only."""
    layout, archive = scratch / f"layout-{tag}", scratch / f"archive-{tag}.tar"
    words: list[str | Path] = [sys.executable, "-m", "pixi_ship", "build", "--quiet", "--offline"]
    words += ["--workspace", workspace, "--base", base, "--cache-dir", scratch / "prepared"]
    words += ["--to", f"oci:{layout}:{tag}", "--to", f"docker-archive:{archive}:bench:{tag}"]
    run(Command((*words,)))
    return Version(workspace, tag, layout, archive, base)


def unpack(layout: Path, into: Path) -> None:
    """Put the files of the only image in a layout where mksquashfs finds them."""
    into.mkdir()
    for row in manifest(layout)["layers"]:
        owners = ("--same-owner", "--numeric-owner")
        run(Command(("tar", "-xzpf", blob(layout, row["digest"]), "-C", into, *owners)))
    if hidden := [str(path) for path in into.rglob(".wh.*")]:
        raise RuntimeError(f"{layout}: a layer removes files of another: {hidden[0]}")


def manifest(layout: Path) -> dict[str, Any]:
    """The manifest of the only image in a layout."""
    (row,) = read(layout / "index.json")["manifests"]
    return read(blob(layout, row["digest"]))


def blob(layout: Path, digest: str) -> Path:
    """Where a blob lies."""
    return layout / "blobs/sha256" / digest.removeprefix("sha256:")


def read(path: Path) -> dict[str, Any]:
    """A JSON document."""
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def remove(path: Path) -> None:
    """Remove a file or a directory, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
