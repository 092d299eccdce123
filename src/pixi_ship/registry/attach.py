"""Attach artifacts to an image in a registry, so that who has the image finds them.

Spec: OCI distribution-spec 1.1, "Pushing Manifests with Subject" and, for registries that
answer without ``OCI-Subject``, "Referrers Tag Schema".
"""

from __future__ import annotations

from pixi_ship.errors import NotInRegistry
from pixi_ship.oci.artifact import Artifact
from pixi_ship.oci.descriptor import INDEX, MANIFEST
from pixi_ship.oci.image import canonical_json
from pixi_ship.oci.stored import parsed
from pixi_ship.registry.repository import Repository, fallback_tag
from pixi_ship.registry.upload import push_blob


def attach(artifact: Artifact, repository: Repository) -> None:
    """Push an artifact beside the image it is about; the same one twice changes nothing.

    Raises RegistryError.
    """
    digest = artifact.descriptor.digest
    if any(each.digest == digest for each in repository.referrers(artifact.subject.digest)):
        return
    for blob in artifact.blobs:
        push_blob(blob, repository, ())
    if not repository.put_manifest(artifact.manifest, MANIFEST, digest):
        _list_by_tag(artifact, repository)


def _list_by_tag(artifact: Artifact, repository: Repository) -> None:
    tag, row = fallback_tag(artifact.subject.digest), artifact.descriptor.to_json()
    try:
        _, data = repository.manifest(tag)
        document = parsed(data, f"{repository}:{tag}")
    except NotInRegistry:
        document = {}
    rows = document.get("manifests")
    rows = [each for each in rows if isinstance(each, dict)] if isinstance(rows, list) else []
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*rows, row]}
    repository.put_manifest(canonical_json(index), INDEX, tag)
