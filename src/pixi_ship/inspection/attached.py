"""What is attached to an image in a registry: signatures, bills of materials, attestations.

Spec: OCI distribution-spec 1.1, "Listing Referrers"; image-spec 1.1, ``artifacts-guidance.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixi_ship.digest import Digest
from pixi_ship.errors import PixiShipError
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.oci.stored import parsed
from pixi_ship.registry.repository import Repository

MOST = 100  # what is opened of all that is attached


@dataclass(frozen=True, slots=True)
class Attached:
    """An artifact whose ``subject`` is an image or an index.

    size: bytes of what it holds. size and artifact_type: None where it cannot be read.
    """

    subject: Digest
    artifact_type: str | None
    digest: Digest
    size: int | None


def attached_to(repository: Repository, subjects: Sequence[Digest]) -> tuple[Attached, ...]:
    """List what is attached to manifests of a repository, no more than :data:`MOST` in all.

    Raises RegistryError where the registry does not list it.
    """
    found = [
        (subject, row)
        for subject in dict.fromkeys(subjects)
        for row in repository.referrers(subject)
    ]
    return tuple(_opened(repository, subject, row) for subject, row in found[:MOST])


def _opened(repository: Repository, subject: Digest, row: Descriptor) -> Attached:
    """An artifact's own manifest says what it is: not every registry's list does."""
    try:
        document = parsed(repository.manifest(row.digest)[1], f"{repository}@{row.digest}")
        rows = document.get("layers")
        layers = [
            Descriptor.from_json(each, f"{repository}@{row.digest}")
            for each in (rows if isinstance(rows, list) else [])
        ]
    except PixiShipError:
        return Attached(subject, None, row.digest, None)
    return Attached(subject, _artifact_type(document), row.digest, sum(x.size for x in layers))


def _artifact_type(document: dict[str, object]) -> str | None:
    config = document.get("config")
    implied = config.get("mediaType") if isinstance(config, dict) else None
    found = document.get("artifactType") or implied
    return found if isinstance(found, str) else None
