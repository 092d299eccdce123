"""The kinds of statement there are about an image, and their bytes."""

from __future__ import annotations

from enum import StrEnum

from pixi_ship.attest.provenance import Parameters, provenance
from pixi_ship.attest.subject import Subject
from pixi_ship.errors import PixiShipError
from pixi_ship.selection import Selection

SPDX_JSON = "application/spdx+json"
CYCLONEDX_JSON = "application/vnd.cyclonedx+json"
IN_TOTO_JSON = "application/vnd.in-toto+json"


class Attestation(StrEnum):
    """What can be stated: two formats of a bill of materials, and provenance."""

    SPDX = "spdx"
    CYCLONEDX = "cyclonedx"
    SLSA = "slsa"

    @property
    def media_type(self) -> str:
        """The media type of the bytes, also the artifact type of a referrer that carries them."""
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    Attestation.SPDX: SPDX_JSON,
    Attestation.CYCLONEDX: CYCLONEDX_JSON,
    Attestation.SLSA: IN_TOTO_JSON,
}


class LibraryMissing(PixiShipError):
    """A library that only bills of materials need is not installed."""


def attestation_bytes(
    kind: Attestation,
    selection: Selection,
    subject: Subject,
    parameters: Parameters,
    *,
    created: str,
    version: str,
) -> bytes:
    """A statement about an image that was made from a selection.

    created: RFC 3339, the date of a bill of materials; provenance has none. version: of this
    program. Raises LibraryMissing, LockError if the lock changed meanwhile, UsageError if
    ``created`` is no time.
    """
    if kind is Attestation.SLSA:
        return provenance(selection, subject, parameters, version)
    try:
        return _bill_bytes(kind, selection, subject, created, version)
    except ImportError as error:
        library = (error.name or "").partition(".")[0]
        if library == "pixi_ship":
            raise
        raise LibraryMissing(
            f"making the {kind} document: Python has no module {library!r}",
            hint="pip install 'pixi-ship[sbom]'",
        ) from error


def _bill_bytes(
    kind: Attestation, selection: Selection, subject: Subject, created: str, version: str
) -> bytes:
    # The formats' libraries are slow to import and not installed everywhere: only where wanted.
    from pixi_ship.attest.bill import bill_of_materials

    if kind is Attestation.SPDX:
        from pixi_ship.attest.spdx import spdx as rendered
    else:
        from pixi_ship.attest.cyclonedx import cyclonedx as rendered
    return rendered(bill_of_materials(selection, subject, created, version))
