"""Write SIFs: to files, whole or not at all, and as what a registry takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pixi_ship.cache import replacing
from pixi_ship.oci.reference import Reference
from pixi_ship.oci.sif_artifact import SifArtifact
from pixi_ship.oci.write import writing_to
from pixi_ship.sif.make import SifImage


def write_sif_file(
    image: SifImage, reference: Reference, report: Callable[[int], None] = lambda size: None
) -> None:
    """Write a SIF to the file of a ``sif:`` reference; raises ImageError.

    report: called with each number of bytes written. The file may be run, as Apptainer's own.
    """
    with writing_to(reference), replacing(Path(reference.path), mode=0o755) as file:

        def write(data: bytes) -> None:
            file.write(data)
            report(len(data))

        image.pieces.copy_to(write)


def sif_artifact(image: SifImage, reference: Reference) -> SifArtifact:
    """A SIF for the repository of an ``oras://`` reference; reads all of it for its digest.

    Raises DigestMismatch where what it is made of is damaged.
    """
    return SifArtifact(
        source=image.pieces,
        digest=image.pieces.digest(),
        size=image.pieces.size,
        name=f"{reference.repository.rpartition('/')[2]}.sif",
        created=image.created,
    )
