"""An image with `pixi` on Debian, as ghcr.io/prefix-dev/pixi is one on Ubuntu.

The real Pixi is put into it where it is on PATH; else the stand-in, with a Python of its own.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import rattler

from ..conftest import TestData
from ..contract.tools import PATH, output
from ..registry.certificates import make_certificate

PLACE = "/opt/pixi-stand-in"
STAND_IN = Path(__file__).with_name("pixi_stand_in.py")


def real_pixi() -> str | None:
    """The real Pixi, where this machine has it."""
    return shutil.which("pixi", path=PATH)


def write_pixi(root: Path, data: TestData) -> None:
    """Put `usr/local/bin/pixi` below ``root``, and what it needs."""
    # Apptainer binds only to what is there, where it builds.
    (root / str(data.channel)[1:]).mkdir(parents=True)
    program = root / "usr/local/bin/pixi"
    program.parent.mkdir(parents=True)
    if found := real_pixi():
        shutil.copy2(found, program)
        return
    place = root / PLACE[1:]
    records = data.records("python")
    asyncio.run(
        rattler.install(
            records,
            place,
            cache_dir=root.with_name("pkgs"),
            platform=rattler.Subdir("linux-64"),
            show_progress=False,
            alternative_target_prefix=PLACE,
        )
    )
    library = Path(rattler.__file__).parent
    (packages,) = place.glob("lib/python3*/site-packages")
    shutil.copytree(library, packages / "rattler", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(_uv(), place / "bin" / "uv")
    shutil.copy2(STAND_IN, place / STAND_IN.name)
    # Rattler's client starts only where there is some authority to trust; nothing is asked for.
    authorities = root / "etc/ssl/certs/ca-certificates.crt"
    authorities.parent.mkdir(parents=True)
    shutil.copy2(make_certificate(root.with_name("authority")).authority, authorities)
    program.write_text(f'#!/bin/sh\nexec {PLACE}/bin/python -I {PLACE}/{STAND_IN.name} "$@"\n')
    program.chmod(0o755)


def _uv() -> Path:
    from uv import find_uv_bin

    return Path(find_uv_bin())


def build_pixi_image(buildah: list[str], base: str, root: Path, name: str) -> None:
    """Commit ``root`` on top of ``base`` under a name in the store that ``buildah`` uses."""
    container = output(*buildah, "from", "--quiet", base).strip()
    try:
        output(*buildah, "copy", "--quiet", container, root, "/")
        output(*buildah, "commit", "--quiet", container, name)
    finally:
        output(*buildah, "rm", container)
