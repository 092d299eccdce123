"""The installed prefix in an archive, by conda-pack: no image, and the node's own system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.process import Command
from bench.race import pixi
from bench.race.contender import CHANGED, COLD, WARM, Node
from bench.race.depot import Depot
from bench.race.environments import Version
from bench.workspaces import DATA

REQUIREMENT = "conda-pack>=0.9,<1"
_PLACE = DATA / "bench/conda-pack"
_BUILD = """
set -eu
workspace=$1 lock=$2 packer=$3 packed=$4 into=$5
shift 5
mkdir -p "$workspace"
cp "${lock%/*}"/pixi.* "$workspace"
cd "$workspace"
"$@" install --locked
rm -f "$packed"
"$packer" --quiet --n-threads -1 --prefix .pixi/envs/default --output "$packed"
cp "$packed" "$into"
"""
_RUN = """
set -eu
cp "$1" "$2.tar.gz"
mkdir "$2"
tar -xzf "$2.tar.gz" -C "$2"
set +u
. "$2/bin/activate"
conda-unpack
python -c "$3"
"""


@dataclass(frozen=True, slots=True)
class UnpackingNode:
    """A node that unpacks the archive and lets it find out where it is."""

    folder: Path
    name: str = "copy, tar, conda-unpack"

    def forget(self) -> None:
        """Remove all."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def command(self, version: Version, depot: Depot, script: str) -> Command:
        """Copy, unpack, and run."""
        archive, prefix = depot.files / f"{version.tag}.tar.gz", self.folder / version.tag
        return Command(("bash", "-c", _RUN, "-", archive, prefix, script))


@dataclass(frozen=True, slots=True)
class Archive:
    """Pixi's prefix, updated in its place, and packed as a whole by two threads."""

    scratch: Path
    node: UnpackingNode
    name: str = "prefix, conda-pack"
    steps: tuple[str, ...] = (COLD, WARM, CHANGED)
    pushes: bool = False

    def forget(self) -> None:
        """Remove the prefix and the cache of packages."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)

    def lose_image(self) -> None:
        """Remove the prefix."""
        shutil.rmtree(self._workspace, ignore_errors=True)

    def prepare(self, depot: Depot, versions: Sequence[Version]) -> None:
        """Nothing: it starts from no image."""

    def command(self, version: Version, depot: Depot) -> Command:
        """Install, pack, and copy to the depot."""
        packed = self.scratch / "packed.tar.gz"
        into = depot.files / f"{version.tag}.tar.gz"
        words = (self._workspace, version.workspace / "pixi.lock", _packer(), packed, into)
        env = {**os.environ, "PIXI_CACHE_DIR": str(self.scratch / "cache")}
        return Command(("bash", "-c", _BUILD, "-", *words, *pixi.command()), env)

    def size(self, version: Version, depot: Depot) -> int:
        """Of the archive."""
        return (depot.files / f"{version.tag}.tar.gz").stat().st_size

    def nodes(self) -> Sequence[Node]:
        """Those that unpack."""
        return (self.node,)

    @property
    def _workspace(self) -> Path:
        return self.scratch / "workspace"


def _packer() -> Path:
    return _PLACE / "bin/conda-pack"


def ensure_packer() -> None:
    """Install conda-pack, from the index that pip is configured for, apart from all else."""
    if _packer().exists():
        return
    subprocess.run((sys.executable, "-m", "venv", "--clear", _PLACE), check=True)
    pip = (_PLACE / "bin/python", "-m", "pip", "install", "--quiet", REQUIREMENT, "setuptools")
    subprocess.run(pip, check=True)


def packer_version() -> str:
    """The version of the conda-pack that takes part."""
    said = subprocess.run((_packer(), "--version"), capture_output=True, text=True, check=True)
    return said.stdout.split()[-1]
