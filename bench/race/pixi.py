"""Pixi for those who install with it: the real one where it is on PATH, else the stand-in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.classic.pixi_image import STAND_IN, build_pixi_image, real_pixi, write_pixi
from tests.conftest import TestData
from tests.contract.tools import Podman, output

from bench.race.depot import PIXI
from bench.workspaces import BASE_TAG, DATA, MEASURED

_BASE = f"localhost/base:{BASE_TAG}"


def named() -> str:
    """Which of them takes part, for the table."""
    program = real_pixi()
    if program is None:
        return "a stand-in for Pixi (py-rattler links the packages; no Pixi on this machine)"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def command() -> tuple[str | Path, ...]:
    """What to run on this machine as `pixi`."""
    program = real_pixi()
    return (program,) if program else (sys.executable, STAND_IN)


def write_image(podman: Podman, layout: Path) -> None:
    """The image with Pixi that the first stage of the recipe begins with, as an OCI layout."""
    name = f"localhost/{PIXI}"
    buildah = ["buildah", *podman.place]
    root = layout.with_name("pixi-root")
    shutil.rmtree(root, ignore_errors=True)
    write_pixi(root, TestData(MEASURED.parent))
    base = podman.pull(f"docker-archive:{DATA / 'base.docker.tar'}")
    output(*buildah, "tag", base, _BASE)
    build_pixi_image(buildah, _BASE, root, name)
    _push(buildah, name, layout)
    podman.forget()
    for each in (root, root.with_name("pkgs")):
        shutil.rmtree(each, ignore_errors=True)


def _push(buildah: Sequence[str], name: str, layout: Path) -> None:
    tag = PIXI.partition(":")[2]
    # As images come from a registry: compressed by layers, so nobody compresses them again.
    output(*buildah, "push", "--quiet", "--compression-format", "gzip", name, f"oci:{layout}:{tag}")
