"""An image as it lies somewhere: found through indexes by platform, parsed, nothing unpacked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pixi_ship.digest import Digest
from pixi_ship.errors import ImageError
from pixi_ship.oci.blob import Blob, Layer
from pixi_ship.oci.descriptor import INDEXES, MANIFESTS, Descriptor, layer_media_type
from pixi_ship.platform import Platform

_MAX_NESTED = 4  # indexes in indexes
_MAX_IMAGES = 1000  # of an index


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image somewhere: its raw documents, the parsed config, and its layers.

    manifest: None in a docker-archive, which has none. digest: the manifest's. root: what the
    reference named, the digest of an index where there is one.
    """

    reference: str
    manifest: bytes | None
    raw_config: bytes
    config: Mapping[str, object]
    layers: tuple[Layer, ...]
    digest: Digest | None = None
    root: Digest | None = None

    @property
    def annotations(self) -> Mapping[str, object]:
        """The manifest's annotations."""
        document = json.loads(self.manifest) if self.manifest else {}
        found = document.get("annotations")
        return found if isinstance(found, dict) else {}

    @property
    def runtime(self) -> Mapping[str, object]:
        """What the config says to runtimes: ``Env``, ``Entrypoint``, ``Labels`` and so on."""
        found = self.config.get("config")
        return found if isinstance(found, dict) else {}

    @property
    def platform(self) -> str:
        """``os/architecture``, as the config has it."""
        return f"{self.config.get('os')}/{self.config.get('architecture')}"

    @property
    def labels(self) -> Mapping[str, str]:
        """The image's labels."""
        found = self.runtime.get("Labels")
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


SCRATCH = StoredImage("scratch", None, b"{}", {}, ())


class Store(Protocol):
    """Something that holds blobs by their digests."""

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest or an index, held against its descriptor."""

    def blob(self, descriptor: Descriptor) -> Blob:
        """A config or a layer; its bytes are read, and checked, when they are asked for."""


def images_of(
    root: Descriptor, platform: Platform | None, store: Store, where: str
) -> list[StoredImage]:
    """The image that ``root``, a manifest or an index, names for a platform; all for None.

    Raises ImageError for what is no image, or has none for the platform.
    """
    try:
        return list(_images_of(root, platform, store, where))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ImageError(f"reading {where}: a field is missing or odd ({error})") from error


def _images_of(
    root: Descriptor, platform: Platform | None, store: Store, where: str, depth: int = 0
) -> Iterator[StoredImage]:
    manifest = store.document(root)
    document = parsed(manifest, f"{where}: {root.digest}")
    if root.media_type in INDEXES or "manifests" in document:
        if depth == _MAX_NESTED:
            raise ImageError(f"reading {where}: indexes lie in indexes without end")
        for row in _chosen(document, platform, where):
            for image in _images_of(row, platform, store, where, depth + 1):
                yield replace(image, root=root.digest)
        return
    if root.media_type not in MANIFESTS:
        raise ImageError(f"reading {where}: media type {root.media_type!r} is not an image")
    image = _image(root, manifest, document, store, where)
    if platform is not None:
        check_platform(image.config, platform, where)
    yield image


def _image(
    root: Descriptor, manifest: bytes, document: Mapping[str, Any], store: Store, where: str
) -> StoredImage:
    described = Descriptor.from_json(document["config"], where)
    rows = document["layers"]
    blobs = []
    for row in rows if isinstance(rows, list) else []:
        raw = Descriptor.from_json(row, where)
        descriptor = Descriptor(layer_media_type(raw.media_type, where), raw.digest, raw.size)
        blobs.append(store.blob(descriptor))
    raw_config = store.blob(described).document()
    config = parsed(raw_config, f"{where}: config")
    diff_ids = diff_ids_of(config, where)
    if len(blobs) != len(diff_ids):
        raise ImageError(f"reading {where}: manifest and config count different layers")
    layers = tuple(map(Layer, blobs, diff_ids))
    return StoredImage(where, manifest, raw_config, config, layers, root.digest, root.digest)


def _platforms_of(index: Mapping[str, object], where: str) -> list[tuple[str, Descriptor]]:
    """The rows of an index, each with its platform as ``os/architecture[/variant]``."""
    rows = index.get("manifests")
    found = []
    for row in rows if isinstance(rows, list) else []:
        have = row.get("platform") or {}
        variant = f"/{have['variant']}" if have.get("variant") else ""
        words = f"{have.get('os')}/{have.get('architecture')}{variant}"
        found.append((words, Descriptor.from_json(row, where)))
    return found


def _chosen(index: Mapping[str, object], platform: Platform | None, where: str) -> list[Descriptor]:
    """What to open of an index: one image for a platform, every image without."""
    offered = _platforms_of(index, where)
    if len(offered) > _MAX_IMAGES:
        raise ImageError(f"reading {where}: an index of {len(offered)} images")
    if platform is None:
        # BuildKit lists attestations as images for "unknown/unknown".
        return [descriptor for words, descriptor in offered if words != "unknown/unknown"]
    plain = f"{platform.os}/{platform.architecture}"
    for words, descriptor in offered:
        if words in (str(platform), plain) or (
            platform.variant is None and words.startswith(f"{plain}/")
        ):
            return [descriptor]
    names = ", ".join(words for words, _ in offered) or "none"
    raise ImageError(f"{where} has no image for {platform}", hint=f"it has: {names}")


def check_platform(config: Mapping[str, object], platform: Platform, where: str) -> None:
    """Raise ImageError where a config is for another platform."""
    have = f"{config.get('os')}/{config.get('architecture')}"
    if have != f"{platform.os}/{platform.architecture}":
        raise ImageError(
            f"{where} is an image for {have}, want {platform}",
            hint="take a base for this platform, or give --platform",
        )


def diff_ids_of(config: Mapping[str, object], where: str) -> list[Digest]:
    """The digests of the layers' tars, as the config lists them."""
    rootfs = config["rootfs"]
    rows = rootfs["diff_ids"] if isinstance(rootfs, dict) else []
    try:
        return [Digest.parse(str(row)) for row in rows]
    except ValueError as error:
        raise ImageError(f"reading {where}: {error}") from None


def parsed(raw: bytes, what: str) -> dict[str, object]:
    """A JSON object from outside; raises ImageError naming ``what`` it was to be."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"reading {what}: it is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise ImageError(f"reading {what}: it is not a JSON object")
    return document
