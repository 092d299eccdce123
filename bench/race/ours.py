"""Ourselves: layers into a registry, or a SIF."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.inside import Inside
from bench.process import Command
from bench.race.contender import AGAIN, CHANGED, COLD, WARM, Node
from bench.race.depot import Depot
from bench.race.environments import Version
from bench.registry.clients import BASE_NAME

_PULL = """
set -eu
python=$1 image=$2 into=$3 script=$4
shift 4
sif=$("$python" -m pixi_ship pull --quiet --to "$into" "docker://$image")
"$@" apptainer exec "$sif" python -c "$script"
"""


@dataclass(frozen=True, slots=True)
class PullNode:
    """A node that has `pixi-ship pull` make the SIF, and keeps the layers."""

    inside: Inside
    name: str = "pixi-ship pull, apptainer exec"

    @property
    def _into(self) -> Path:
        return self.inside.folder / "images"

    def forget(self) -> None:
        """Remove all images and layers."""
        shutil.rmtree(self.inside.folder, ignore_errors=True)

    def command(self, version: Version, depot: Depot, script: str) -> Command:
        """Pull, and run."""
        self._into.mkdir(parents=True, exist_ok=True)
        enter = self.inside.command((), (self._into,))
        words = (sys.executable, depot.image(version.tag), self._into, script, *enter.words)
        return Command(("bash", "-c", _PULL, "-", *words), enter.env)


@dataclass(frozen=True, slots=True)
class Layers:
    """`build --to docker://…`."""

    cache: Path
    places: Sequence[Node]
    name: str = "pixi-ship build, registry"
    steps: tuple[str, ...] = (COLD, WARM, CHANGED, AGAIN)
    pushes: bool = True
    options: tuple[str, ...] = ()

    def forget(self) -> None:
        """Remove the cache."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def lose_image(self) -> None:
        """Nothing of the image is kept anywhere but in the registry."""

    def prepare(self, depot: Depot, versions: Sequence[Version]) -> None:
        """Nothing: the base is in the registry."""

    def command(self, version: Version, depot: Depot) -> Command:
        """Build and push."""
        target = f"docker://{depot.image(version.tag)}"
        return _build(version, depot, self.cache, target, self.options)

    def size(self, version: Version, depot: Depot) -> int:
        """Of the image in the registry."""
        return depot.image_bytes(version.tag)

    def nodes(self) -> Sequence[Node]:
        """Podman's, and those with Apptainer."""
        return self.places


@dataclass(frozen=True, slots=True)
class Sif:
    """`build --to sif:…`."""

    cache: Path
    node: Node
    name: str = "pixi-ship build, SIF"
    steps: tuple[str, ...] = (COLD, WARM, CHANGED, AGAIN)
    pushes: bool = False

    def forget(self) -> None:
        """Remove the cache."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def lose_image(self) -> None:
        """The file is in the depot alone."""

    def prepare(self, depot: Depot, versions: Sequence[Version]) -> None:
        """Nothing: it gets the base by itself, and that counts for it."""

    def command(self, version: Version, depot: Depot) -> Command:
        """Build into the depot."""
        return _build(version, depot, self.cache, f"sif:{depot.files / version.tag}.sif")

    def size(self, version: Version, depot: Depot) -> int:
        """Of the SIF."""
        return (depot.files / f"{version.tag}.sif").stat().st_size

    def nodes(self) -> Sequence[Node]:
        """Those that copy."""
        return (self.node,)


def _build(
    version: Version, depot: Depot, cache: Path, target: str, options: Sequence[str] = ()
) -> Command:
    words: list[str | Path] = [sys.executable, "-m", "pixi_ship", "build", "--quiet"]
    words += ["--workspace", version.workspace, "--cache-dir", cache, "--to", target]
    words += options
    return Command((*words, "--base", f"docker://{depot.address}/{BASE_NAME}"), os.environ)
