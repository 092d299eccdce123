"""A SIF as an artifact in a registry, as Apptainer pushes and pulls it by ``oras://``.

Source: Apptainer's ``internal/pkg/client/oras``: one layer, held against its digest; the
config is empty, and only its media type says what the artifact is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pixi_ship.digest import Digest
from pixi_ship.errors import ImageError
from pixi_ship.oci.blob import Blob, Source
from pixi_ship.oci.descriptor import LAYER_SIF, MANIFEST, Descriptor
from pixi_ship.oci.image import canonical_json
from pixi_ship.oci.stored import parsed

CONFIG_TYPE = "application/vnd.sylabs.sif.config.v1+json"
# What early versions of Singularity wrote, spelled as they did.
_EARLY_TYPE = "appliciation/vnd.sylabs.sif.layer.tar"
_CONFIG = b"{}"
_TITLE = "org.opencontainers.image.title"
_CREATED = "org.opencontainers.image.created"


@dataclass(frozen=True, slots=True)
class SifArtifact:
    """A SIF of ``size`` bytes, and what its manifest says of it.

    name: of the file that clients make of it. created: RFC 3339.
    """

    source: Source
    digest: Digest
    size: int
    name: str
    created: str | None = None

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """What must be there before the manifest."""
        sif = Blob(self._layer, self.source)
        return Blob.of(Descriptor(CONFIG_TYPE, Digest.of(_CONFIG), len(_CONFIG)), _CONFIG), sif

    @property
    def manifest(self) -> bytes:
        """The manifest."""
        document: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blobs[0].descriptor.to_json(),
            "layers": [self._layer.to_json()],
        }
        if self.created:
            document["annotations"] = {_CREATED: self.created}
        return canonical_json(document)

    @property
    def descriptor(self) -> Descriptor:
        """The manifest's descriptor."""
        return Descriptor(MANIFEST, Digest.of(self.manifest), len(self.manifest))

    @property
    def _layer(self) -> Descriptor:
        return Descriptor(LAYER_SIF, self.digest, self.size, {_TITLE: self.name})


def is_sif_manifest(document: Mapping[str, object]) -> bool:
    """Whether a manifest is that of a SIF."""
    layers = document.get("layers")
    first = layers[0] if isinstance(layers, list) and layers else None
    return isinstance(first, dict) and first.get("mediaType") in (LAYER_SIF, _EARLY_TYPE)


def sif_descriptor(manifest: bytes, where: str) -> Descriptor:
    """The descriptor of the SIF in a manifest; raises ImageError where there is none."""
    document = parsed(manifest, where)
    if not is_sif_manifest(document):
        raise ImageError(
            f"{where} is no SIF", hint="an image is named by docker://, only a SIF by oras://"
        )
    layers = document["layers"]
    if not isinstance(layers, list) or len(layers) != 1:
        raise ImageError(f"{where} is a SIF in several layers, want one")
    return Descriptor.from_json(layers[0], where)
