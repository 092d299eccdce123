"""Where what was made is left for the nodes: a registry for images, a directory for files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.contract.tools import skopeo_json

from bench.registry.place import Place, new_place

PIXI = "pixi:bookworm"
_APP = "app"


@dataclass(frozen=True, slots=True)
class Depot:
    """A registry that holds the base and the image with Pixi, and an empty directory."""

    place: Place
    files: Path

    @property
    def address(self) -> str:
        """HOST:PORT of the registry."""
        return self.place.address

    def image(self, tag: str) -> str:
        """NAME of what a contender made, for the registry's clients."""
        return f"{self.address}/{_APP}:{tag}"

    def image_bytes(self, tag: str) -> int:
        """Compressed layers and configuration, the base's as well."""
        manifest = skopeo_json(
            "inspect", "--raw", "--tls-verify=false", f"docker://{self.image(tag)}"
        )
        return sum(int(row["size"]) for row in (manifest["config"], *manifest["layers"]))

    def stored(self) -> int:
        """Bytes that lie here: what a push adds is what it sent and was not here yet."""
        blobs = (self.place.registry.folder / "storage").rglob("data")
        return sum(path.stat().st_size for path in (*blobs, *self.files.iterdir()))

    def served(self) -> int:
        """Bytes of answers that the registry has given, by its own log."""
        return sum(each.sent or 0 for each in self.place.settled())


@contextmanager
def new_depot(folder: Path, pixi: Path) -> Iterator[Depot]:
    """A depot that vanishes with the block; pixi: the layout of the image with Pixi."""
    files = folder / "files"
    files.mkdir(parents=True)
    try:
        with new_place(folder / "registry", counting=False) as place:
            place.fill(f"oci:{pixi}:{PIXI.partition(':')[2]}", f"{place.address}/{PIXI}")
            yield Depot(place, files)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
