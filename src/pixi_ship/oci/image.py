"""Images and indexes of images: raw documents and layers. The raw bytes are the truth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pixi_ship.digest import Digest
from pixi_ship.errors import ImageError
from pixi_ship.oci.blob import Blob, Layer
from pixi_ship.oci.descriptor import CONFIG, INDEX, MANIFEST, Descriptor
from pixi_ship.platform import Platform

# overlayfs takes no more lower directories than this in Docker and containerd.
MAX_LAYERS_IN_ALL = 127


@dataclass(frozen=True, slots=True)
class Image:
    """``manifest`` and ``config`` are the exact bytes whose digests name the image."""

    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]
    platform: Platform

    @property
    def digest(self) -> Digest:
        """The image's digest: that of its manifest."""
        return Digest.of(self.manifest)

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the manifest."""
        return Descriptor(MANIFEST, self.digest, len(self.manifest))

    @property
    def config_descriptor(self) -> Descriptor:
        """The descriptor of the config."""
        return Descriptor(CONFIG, Digest.of(self.config), len(self.config))

    @property
    def images(self) -> tuple[Image, ...]:
        """The image itself, as an index would list it."""
        return (self,)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Every blob of the image, the manifest last; each digest once."""
        small = (
            Blob.of(self.config_descriptor, self.config),
            Blob.of(self.descriptor, self.manifest),
        )
        blobs = {blob.descriptor.digest: blob for blob in (*(x.blob for x in self.layers), *small)}
        return tuple(blobs.values())

    @property
    def row(self) -> dict[str, object]:
        """The image as an index lists it: its descriptor and its platform."""
        platform = {"os": self.platform.os, "architecture": self.platform.architecture}
        if self.platform.variant:
            platform["variant"] = self.platform.variant
        return {**self.descriptor.to_json(), "platform": platform}


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """Images of one environment for several platforms, under one name."""

    images: tuple[Image, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def manifest(self) -> bytes:
        """The index document."""
        document: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [image.row for image in self.images],
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return canonical_json(document)

    @property
    def digest(self) -> Digest:
        """The digest of the index."""
        return Digest.of(self.manifest)

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the index."""
        return Descriptor(INDEX, self.digest, len(self.manifest))

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Every blob of every image, the index last; each digest once."""
        own = Blob.of(self.descriptor, self.manifest)
        every = (*(blob for image in self.images for blob in image.blobs), own)
        return tuple({blob.descriptor.digest: blob for blob in every}.values())

    @property
    def row(self) -> dict[str, object]:
        """The index as another lists it."""
        return self.descriptor.to_json()


def canonical_json(document: Mapping[str, object]) -> bytes:
    """JSON with sorted keys and no spare space: the same document, the same bytes."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def make_image(
    layers: Sequence[Layer],
    config: Mapping[str, object],
    platform: Platform,
    annotations: Mapping[str, str],
) -> Image:
    """Assemble an image; ``config`` lacks only ``rootfs``, which the layers give."""
    if len(layers) > MAX_LAYERS_IN_ALL:
        raise ImageError(
            f"the image would have {len(layers)} layers, runtimes take {MAX_LAYERS_IN_ALL}",
            hint="lower --max-layers, or take a base with fewer layers",
        )
    document = dict(config)
    document["rootfs"] = {"type": "layers", "diff_ids": [str(each.diff_id) for each in layers]}
    raw_config = canonical_json(document)
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": Descriptor(CONFIG, Digest.of(raw_config), len(raw_config)).to_json(),
        "layers": [each.descriptor.to_json() for each in layers],
    }
    if annotations:
        manifest["annotations"] = dict(annotations)
    return Image(canonical_json(manifest), raw_config, tuple(layers), platform)
