"""Descriptors: typed pointers to blobs. Spec: OCI image-spec 1.1, ``descriptor.md``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pixi_ship.digest import Digest
from pixi_ship.errors import ImageError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
LAYER_SIF = "application/vnd.sylabs.sif.layer.v1.sif"

MANIFESTS = frozenset({MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"})
CONFIGS = frozenset({CONFIG, "application/vnd.docker.container.image.v1+json"})
INDEXES = frozenset({INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"})
# Docker's names for the same bytes; an OCI manifest must use OCI's.
_OCI_LAYERS = {
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TAR,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": LAYER_ZSTD,
    LAYER_TAR: LAYER_TAR,
    LAYER_GZIP: LAYER_GZIP,
    LAYER_ZSTD: LAYER_ZSTD,
}

_MAX_SIZE = 1 << 50  # bytes; larger ones are jokes


def layer_media_type(media_type: str, where: str) -> str:
    """The OCI name of a layer's media type; raises ImageError for what is not a layer.

    where: the image, for the error.
    """
    if media_type == LAYER_SIF:
        raise ImageError(
            f"{where} is a SIF, not an image in layers", hint="name it by oras:// instead"
        )
    try:
        return _OCI_LAYERS[media_type]
    except KeyError:
        raise ImageError(
            f"reading {where}: a layer has media type {media_type!r}, want a tar, plain or "
            "with gzip or zstd"
        ) from None


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A typed pointer to a blob; ``size`` in bytes."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""

    def to_json(self) -> dict[str, object]:
        """The descriptor with the spec's field names."""
        document: dict[str, object] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        return document

    @classmethod
    def from_json(cls, document: object, where: str) -> Descriptor:
        """Read a descriptor; raises ImageError naming ``where`` it stood."""
        if not isinstance(document, dict):
            raise ImageError(f"reading {where}: a descriptor is not an object")
        media_type, size = document.get("mediaType", ""), document.get("size")
        annotations = document.get("annotations") or {}
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE:
            raise ImageError(f"reading {where}: a descriptor has size {str(size)[:40]}")
        try:
            digest = Digest.parse(str(document.get("digest")))
        except ValueError as error:
            raise ImageError(f"reading {where}: {error}") from None
        if not isinstance(annotations, dict):
            raise ImageError(f"reading {where}: annotations are not an object")
        named = {str(key): str(value) for key, value in annotations.items()}
        artifact_type = str(document.get("artifactType") or "")
        return cls(str(media_type), digest, size, named, artifact_type)
