"""The programs that make SIF files, each with its command and why it may be left out."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.apptainer.runtime import ROOT as APPTAINER_ROOT

from bench.inside import Inside
from bench.measure import CORES
from bench.process import Command
from bench.sif.images import Version
from bench.workspaces import ROOT

OURS = "pixi-ship build (lock → SIF)"
CONVERT = "pixi-ship convert (OCI layout → SIF)"
APPTAINER = "apptainer build (OCI layout → SIF)"
ARCHIVE = "apptainer build (docker archive → SIF)"
# Apptainer says nothing about its default, which is mksquashfs' own: gzip level 9.
_MKSQUASHFS_ARGS = {"gzip": "", "zstd": "-comp zstd -Xcompression-level 1"}
MKSQUASHFS = {
    "mksquashfs -comp gzip": "gzip",
    "mksquashfs -comp gzip -Xcompression-level 1": "gzip",
    "mksquashfs -comp zstd -Xcompression-level 1": "zstd",
}
FASTEST = {compression: words for words, compression in MKSQUASHFS.items()}

Make = Callable[[Version, str, Path], Command]


@dataclass(frozen=True, slots=True)
class Tool:
    """A maker of SIF files.

    command: of a version, a compression and the file to write. kept: what it keeps from one
    call to the next. changed, warm: whether it is also measured after one package changed, and
    when nothing did; who does everything again then has no row for it.
    """

    name: str
    command: Make
    kept: Path
    changed: bool = True
    warm: bool = False


def ours(scratch: Path) -> Tool:
    """Ourselves, from lock to SIF."""
    cache = scratch / "cache"

    def command(version: Version, compression: str, sif: Path) -> Command:
        words: list[str | Path] = [sys.executable, "-m", "pixi_ship", "build", "--quiet"]
        words += ["--offline", "--workspace", version.workspace, "--base", version.base]
        words += ["--cache-dir", cache, "--squashfs-compression", compression]
        return Command((*words, "--to", f"sif:{sif}"), watched=(cache, sif.parent))

    return Tool(OURS, command, cache, warm=True)


def convert(scratch: Path) -> Tool:
    """Ourselves, from an image that is there already, as Apptainer is given it."""
    cache = scratch / "convert-cache"

    def command(version: Version, compression: str, sif: Path) -> Command:
        words: list[str | Path] = [sys.executable, "-m", "pixi_ship", "convert", "--quiet"]
        words += ["--cache-dir", cache, "--squashfs-compression", compression]
        words += [f"oci:{version.layout}:{version.tag}", "--to", f"sif:{sif}"]
        return Command((*words,), watched=(cache, sif.parent))

    return Tool(CONVERT, command, cache, warm=True)


def no_convert() -> str | None:
    """Why this checkout cannot convert; None where it can."""
    words = [sys.executable, "-m", "pixi_ship", "convert", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        return f"{CONVERT} is left out: {done.stderr.strip().splitlines()[-1]}"
    wanted = ("--to", "--cache-dir", "--squashfs-compression", "--quiet")
    if missing := [option for option in wanted if option not in done.stdout]:
        return f"{CONVERT} is left out: its --help names no {', '.join(missing)}"
    return None


def apptainer(inside: Inside, *, archive: bool) -> Tool:
    """Apptainer as root, with its cache emptied before the first step only."""

    def command(version: Version, compression: str, sif: Path) -> Command:
        # No tag: Apptainer 1.4 takes `oci:DIRECTORY:TAG` for the name of a directory.
        place, transport = version.layout, "oci"
        if archive:
            place, transport = version.archive, "docker-archive"
        words: list[str | Path] = ["apptainer", "build"]
        if _MKSQUASHFS_ARGS[compression]:
            words += ["--mksquashfs-args", _MKSQUASHFS_ARGS[compression]]
        words += [sif, f"{transport}:{place}"]
        return inside.command(words, (place, sif.parent), (sif.parent,))

    return Tool(ARCHIVE if archive else APPTAINER, command, inside.cache, changed=not archive)


def mksquashfs(inside: Inside | None, tree: Path, words: str, into: Path) -> Command:
    """Compress a tree with what this machine has, else with what Apptainer's root has."""
    arguments = words.removeprefix("mksquashfs ").split()
    command: list[str | Path] = ["mksquashfs", tree, into, *arguments]
    command += ["-noappend", "-no-progress", "-all-root", "-processors", str(CORES)]
    if shutil.which("mksquashfs"):
        return Command((*command,), watched=(into.parent,))
    if inside is None:
        raise AssertionError("some mksquashfs is there where one is asked for")
    return inside.command(command, (tree, into.parent), (into.parent,))


def no_mksquashfs(inside: Inside | None) -> str | None:
    """Why nothing can be held against mksquashfs; None where it can."""
    if shutil.which("mksquashfs") or (inside and (APPTAINER_ROOT / "usr/bin/mksquashfs").exists()):
        return None
    return "The floor is left out: no mksquashfs on this machine; next: make setup"


def versions(inside: Inside | None) -> dict[str, str]:
    """What the others say of their versions."""
    said = {}
    if shutil.which("mksquashfs"):
        said["mksquashfs"] = _version(Command(("mksquashfs", "-version")))
    if inside:
        said["apptainer"] = ".".join(map(str, inside.apptainer.version()))
        said["mksquashfs in its root"] = _version(inside.command(("mksquashfs", "-version"), ()))
    return said


def _version(command: Command) -> str:
    words = [str(word) for word in command.words]
    said = subprocess.run(words, capture_output=True, text=True, env=command.env).stdout
    found = re.search(r"version (\S+)", said)
    return found[1] if found else "unknown"
