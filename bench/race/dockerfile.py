"""The two-stage Dockerfile that `render` writes, built and pushed by Buildah, run by Podman."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.contract.tools import Podman, output

from bench.process import Command
from bench.race.contender import AGAIN, CHANGED, COLD, WARM, Node
from bench.race.depot import PIXI, Depot
from bench.race.environments import Version
from bench.registry.clients import BASE_NAME, empty
from bench.workspaces import MEASURED

_CHANNEL = MEASURED.parent / "channel"
_BUILD = """
set -eu
file=$1 context=$2 image=$3
shift 3
"$@" build --pull=never --network=none --layers --quiet --file "$file" \\
    --ignorefile "$file.dockerignore" --tag "$image" LIMITS "$context"
"$@" push --quiet --tls-verify=false "$image" "docker://$image"
"""
_RUN = """
set -eu
image=$1 script=$2
shift 2
"$@" pull --quiet --tls-verify=false "docker://$image"
"$@" run --rm --network=none LIMITS "$image" python -c "$script"
"""


@dataclass(frozen=True, slots=True)
class PodmanNode:
    """A node that pulls an image into its own store."""

    podman: Podman
    name: str = "podman pull and run"

    def forget(self) -> None:
        """Remove the store."""
        empty(self.podman)

    def command(self, version: Version, depot: Depot, script: str) -> Command:
        """Pull, and run; the image is known by the name under which it was pulled."""
        text = _RUN.replace("LIMITS", " ".join(self.podman.limits))
        words = (depot.image(version.tag), script, *self.podman.words())
        return Command(("bash", "-c", text, "-", *words))


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """The recipe, with its cache of packages mounted and its layers kept."""

    podman: Podman
    scratch: Path
    node: PodmanNode
    name: str = "Dockerfile, buildah"
    steps: tuple[str, ...] = (COLD, WARM, CHANGED, AGAIN)
    pushes: bool = True

    @property
    def _temporary(self) -> Path:
        """Where Buildah has the mounted cache, and what it does not keep."""
        return self.scratch / "tmp"

    @property
    def _buildah(self) -> list[str]:
        return ["buildah", *self.podman.place]

    def forget(self) -> None:
        """Remove images, layers and the mounted cache."""
        self.lose_image()
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True)

    def lose_image(self) -> None:
        """Remove images and layers."""
        empty(self.podman)

    def prepare(self, depot: Depot, versions: Sequence[Version]) -> None:
        """Render, and have both images that it starts from in the store."""
        bases = (f"{depot.address}/{PIXI}", f"{depot.address}/{BASE_NAME}")
        for base in bases:
            output(*self._buildah, "pull", "--quiet", "--tls-verify=false", f"docker://{base}")
        stages = ("--pixi-image", f"docker://{bases[0]}", "--base", f"docker://{bases[1]}")
        for version in versions:
            words = ("-w", version.workspace, *stages, "--to", self._file(version))
            output(sys.executable, "-m", "pixi_ship", "render", "dockerfile", *words)

    def command(self, version: Version, depot: Depot) -> Command:
        """Build and push."""
        text = _BUILD.replace("LIMITS", " ".join((*self.podman.runtime, *self.podman.limits)))
        text = text.replace("--layers", f"--layers --volume {_CHANNEL}:{_CHANNEL}:ro")
        place = (self._file(version), version.workspace)
        words: tuple[str | Path, ...]
        words = (*place, depot.image(version.tag), *self._buildah)
        env = {**os.environ, "TMPDIR": str(self._temporary)}
        return Command(("bash", "-c", text, "-", *words), env)

    def size(self, version: Version, depot: Depot) -> int:
        """Of the image in the registry."""
        return depot.image_bytes(version.tag)

    def nodes(self) -> Sequence[Node]:
        """Podman's."""
        return (self.node,)

    def _file(self, version: Version) -> Path:
        return self.scratch / f"Dockerfile.{version.tag}"


def podman_at(podman: Podman, store: Path) -> Podman:
    """The same Podman, with another store."""
    return dataclasses.replace(podman, store=store)
