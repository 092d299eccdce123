"""Write SIFs: to files, whole or not at all, and as what a registry takes."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from pixi_ship.cache import replacing
from pixi_ship.errors import ImageError
from pixi_ship.oci.reference import Reference
from pixi_ship.oci.sif_artifact import SifArtifact
from pixi_ship.sif.make import SifImage


def write_sif_file(
    image: SifImage, reference: Reference, report: Callable[[int], None] = lambda size: None
) -> None:
    """Write a SIF to the file of a ``sif:`` reference; raises ImageError.

    report: called with each number of bytes written. The file may be run, as Apptainer's own.
    """
    path = Path(reference.path)
    try:
        with replacing(path, mode=0o755) as file:

            def write(data: bytes) -> None:
                file.write(data)
                report(len(data))

            image.pieces.copy_to(write)
    except OSError as error:
        space = "free some space, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise ImageError(
            f"writing {reference}: {error.strerror or error}",
            hint=f"{space}choose another place with --to",
        ) from error


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
