"""The two-stage Apptainer definition that `render` writes, and nodes that have the SIF copied."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.contract.tools import output

from bench.inside import Inside
from bench.process import Command, run
from bench.race.contender import CHANGED, COLD, Node
from bench.race.depot import PIXI, Depot
from bench.race.environments import Version
from bench.registry.clients import BASE_NAME
from bench.workspaces import MEASURED

_CHANNEL = MEASURED.parent / "channel"
_BUILD = """
set -eu
definition=$1 sif=$2 into=$3 channel=$4
cd "${definition%/*}"
rm -f "$sif"
apptainer --quiet build --no-https --bind "$channel:$channel:ro" "$sif" "$definition"
cp "$sif" "$into"
"""
_RUN = """
set -eu
cp "$1" "$2"
apptainer exec "$2" python -c "$3"
"""


@dataclass(frozen=True, slots=True)
class CopyNode:
    """A node that copies a SIF; what it had before is of no use to it."""

    inside: Inside
    name: str = "copy the SIF, apptainer exec"

    def forget(self) -> None:
        """Remove what was copied."""
        shutil.rmtree(self.inside.folder, ignore_errors=True)

    def command(self, version: Version, depot: Depot, script: str) -> Command:
        """Copy, and run."""
        sif = depot.files / f"{version.tag}.sif"
        copied = self.inside.folder / f"{version.tag}.sif"
        words = ("bash", "-c", _RUN, "-", sif, copied, script)
        return self.inside.command(words, (depot.files,))


@dataclass(frozen=True, slots=True)
class Definition:
    """The recipe; of what it does Apptainer keeps the images that it starts from, and no more."""

    inside: Inside
    node: CopyNode
    name: str = "definition, apptainer build"
    steps: tuple[str, ...] = (COLD, CHANGED)
    pushes: bool = False

    def forget(self) -> None:
        """Remove what it wrote; the images that it starts from stay in its cache."""
        self.lose_image()

    def lose_image(self) -> None:
        """Remove what it wrote."""
        for name in ("home", "tmp", "made"):
            shutil.rmtree(self.inside.folder / name, ignore_errors=True)

    def prepare(self, depot: Depot, versions: Sequence[Version]) -> None:
        """Render, and have both images that it starts from in the cache."""
        uid, gid = self.inside.apptainer.ids()
        os.chown(depot.files, uid, gid)
        images = [f"docker://{depot.address}/{each}" for each in (PIXI, BASE_NAME)]
        for version in versions:
            home = self.inside.folder / "made" / version.tag
            shutil.copytree(version.workspace, home)
            words = ("-w", home, "--pixi-image", images[0], "--base", images[1])
            command = (sys.executable, "-m", "pixi_ship", "render", "apptainer", *words)
            output(*command, "--to", home / "apptainer.def")
            for each in (home.parent, home, *home.rglob("*")):
                os.chown(each, uid, gid)
        for image in images:
            sif = self.inside.folder / "made/base.sif"
            run(
                self.inside.command(("apptainer", "build", "--force", "--no-https", sif, image), ())
            )

    def command(self, version: Version, depot: Depot) -> Command:
        """Build, and copy to the depot."""
        made = self.inside.folder / "made"
        definition, sif = made / version.tag / "apptainer.def", made / f"{version.tag}.sif"
        into = depot.files / sif.name
        words = ("bash", "-c", _BUILD, "-", definition, sif, into, _CHANNEL)
        return self.inside.command(words, (depot.files, _CHANNEL))

    def size(self, version: Version, depot: Depot) -> int:
        """Of the SIF."""
        return (depot.files / f"{version.tag}.sif").stat().st_size

    def nodes(self) -> Sequence[Node]:
        """Those that copy."""
        return (self.node,)
