"""The machine and the programs that took part, as the page tells."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from tests.apptainer.runtime import Apptainer
from tests.contract.tools import Podman

from bench.measure import CORES
from bench.race import pixi
from bench.race.archive import packer_version


def facts(podman: Podman, scratch: Path) -> dict[str, str]:
    """What is said of each, by its name."""
    apptainer = Apptainer("ordinary", scratch / "asked")
    found = {
        "processor": f"{_processor()}, {CORES} of its cores",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "disk": _file_system(scratch),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Pixi": pixi.named(),
        "Buildah": _version("buildah", "--version"),
        "Podman": f"{_version('podman', '--version')}, {podman.driver}",
        "conda-pack": packer_version(),
        "registry": _version("docker-registry", "--version"),
    }
    if apptainer.available() is None:
        found["Apptainer"] = ".".join(map(str, apptainer.version()))
    return found


def _version(*words: str) -> str:
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return next((word for word in said.split() if word[0].isdigit() or word[:2] == "v2"), said)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    words = ("stat", "--file-system", "--format=%T", folder)
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
