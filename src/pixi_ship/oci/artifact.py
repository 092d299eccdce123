"""Artifacts that say something of an image: manifests with a ``subject``.

Spec: OCI image-spec 1.1, ``manifest.md``, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pixi_ship.digest import Digest
from pixi_ship.oci.blob import Blob
from pixi_ship.oci.descriptor import MANIFEST, Descriptor
from pixi_ship.oci.image import canonical_json

_EMPTY = b"{}"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True, slots=True)
class Artifact:
    """``data`` of one media type about the image that ``subject`` describes."""

    subject: Descriptor
    media_type: str
    data: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """What must be there before the manifest."""
        empty = Descriptor(_EMPTY_TYPE, Digest.of(_EMPTY), len(_EMPTY))
        return Blob.of(empty, _EMPTY), Blob.of(self._payload, self.data)

    @property
    def manifest(self) -> bytes:
        """The artifact's manifest."""
        empty, payload = (blob.descriptor for blob in self.blobs)
        document: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": self.media_type,
            "config": empty.to_json(),
            "layers": [payload.to_json()],
            "subject": self.subject.to_json(),
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return canonical_json(document)

    @property
    def descriptor(self) -> Descriptor:
        """The manifest's descriptor, as a list of referrers has it."""
        manifest = self.manifest
        digest, size = Digest.of(manifest), len(manifest)
        return Descriptor(MANIFEST, digest, size, self.annotations, self.media_type)

    @property
    def _payload(self) -> Descriptor:
        # Clients that fetch an artifact name the file by its layer's title.
        digest, size = Digest.of(self.data), len(self.data)
        return Descriptor(self.media_type, digest, size, self.annotations)
