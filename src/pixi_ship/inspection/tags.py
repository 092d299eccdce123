"""The tags of a repository in a registry, or of an OCI layout, and the images they name.

Spec: OCI distribution-spec 1.1, "Listing Tags"; image-spec 1.1, ``image-layout.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pixi_ship.digest import Digest
from pixi_ship.errors import ImageError, PixiShipError, RegistryError, UsageError
from pixi_ship.inspection.description import ImageDescription, describe
from pixi_ship.oci.blob import MAX_DOCUMENT, Blob, Stretch
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.oci.sif_artifact import is_sif_manifest, sif_descriptor
from pixi_ship.oci.stored import Store, StoredImage, images_of, parsed
from pixi_ship.registry.registries import Registries

MOST = 10_000  # tags whose images are opened
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")  # distribution-spec, "Pulling manifests"
# Where what is attached is listed by registries without the API, and by cosign in every one.
_FALLBACK = re.compile(r"sha256-[0-9a-f]{64}(?:\.[a-z]+)?\Z")
_REF_NAME = "org.opencontainers.image.ref.name"
_LONGEST = 1000  # characters of a text that are kept


@dataclass(frozen=True, slots=True)
class TaggedImage:
    """What a list says of an image for one platform; ``size``: bytes of its layers."""

    digest: Digest | None
    platform: str
    created: str | None
    environment: str | None
    lock_digest: str | None
    size: int


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag and what it names.

    name: None for what a layout holds without a tag. size: bytes of all layers of all images,
    each once, or of the SIF. is_sif: whether it is one; it is not opened, so it has no images.
    problem: a sentence where it names nothing that can be read.
    """

    name: str | None
    digest: Digest | None = None
    images: tuple[TaggedImage, ...] = ()
    size: int = 0
    is_sif: bool = False
    problem: str | None = None


def tag_names(reference: Reference, registries: Registries, *, every: bool) -> tuple[str, ...]:
    """The tags by name; no image is opened.

    every: also the tags under which registries list what is attached to images. Raises
    UsageError for what has no tags, RegistryError, ImageError.
    """
    if reference.transport is Transport.OCI:
        names = [row.annotations.get(_REF_NAME) for row in _rows(reference)]
        found = [name for name in names if name]
    elif reference.in_registry:
        found = registries.repository(reference).tags()
    else:
        raise UsageError(
            f"{reference} has no tags to list", hint="want docker://HOST/NAME or oci:DIR"
        )
    return tuple(sorted(name for name in set(found) if every or not _FALLBACK.match(name)))


def read_tags(reference: Reference, registries: Registries, *, every: bool) -> tuple[Tag, ...]:
    """The tags with their images, by name, a few at a time; ``every`` as for :func:`tag_names`.

    What cannot be read is a row with its problem.
    """
    if reference.transport is Transport.OCI:
        return tuple(
            _layout_tag(reference, row)
            for row in sorted(_rows(reference), key=lambda row: row.annotations.get(_REF_NAME, ""))
            if every or not _FALLBACK.match(row.annotations.get(_REF_NAME, ""))
        )
    with registries.cache.in_use(make=reference.in_registry):
        names = tag_names(reference, registries, every=every)
        if len(names) > MOST:
            raise RegistryError(
                f"listing the tags of {registries.repository(reference)}: it has {len(names)}, "
                f"no more than {MOST} can be opened",
                hint="--quiet lists their names",
            )
        return _in_parallel(
            lambda name: _remote_tag(reference, name, registries), names, registries
        )


def _in_parallel(
    read: Callable[[str], Tag], names: Sequence[str], registries: Registries
) -> tuple[Tag, ...]:
    pool = ThreadPoolExecutor(registries.settings.parallel, thread_name_prefix="tags")
    try:
        return tuple(pool.map(read, names))
    except BaseException:
        registries.settings.patience.stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _remote_tag(reference: Reference, name: str, registries: Registries) -> Tag:
    if not _TAG.match(name):  # it would become a part of a path
        return Tag(name, problem="no tag can have this name")
    where = str(replace(reference, tag=name))
    try:
        store = registries.store(reference, keep=False)
        root, _ = store.root(name)
    except (PixiShipError, OSError) as error:
        return Tag(name, problem=str(error)[:_LONGEST])
    return _tag(name, root, store, where)


def _tag(name: str | None, root: Descriptor, store: Store, where: str) -> Tag:
    """What a manifest or an index is."""
    try:
        manifest = store.document(root)
        if is_sif_manifest(parsed(manifest, where)):
            return Tag(name, root.digest, size=sif_descriptor(manifest, where).size, is_sif=True)
        return _images(name, root.digest, images_of(root, None, store, where))
    except (PixiShipError, OSError) as error:
        return Tag(name, root.digest, problem=str(error)[:_LONGEST])


def _images(name: str | None, digest: Digest, images: Sequence[StoredImage]) -> Tag:
    described = [describe(image) for image in images]
    if not images:
        return Tag(name, digest, problem="it holds no image")
    layers = {layer.digest: layer.size for each in described for layer in each.layers}
    rows = tuple(_tagged(each) for each in described)
    return Tag(name, images[0].root, rows, sum(layers.values()))


def _tagged(image: ImageDescription) -> TaggedImage:
    return TaggedImage(
        image.digest,
        image.platform[:_LONGEST],
        _short(image.created),
        _short(image.environment),
        _short(image.lock_digest),
        image.size,
    )


def _short(text: str | None) -> str | None:
    return None if text is None else text[:_LONGEST]


@dataclass(frozen=True, slots=True)
class _Layout:
    """The blobs of a layout in a directory."""

    directory: Path

    def document(self, descriptor: Descriptor) -> bytes:
        return self.blob(descriptor).document()

    def blob(self, descriptor: Descriptor) -> Blob:
        path = self.directory / "blobs" / "sha256" / descriptor.digest.hex
        return Blob(descriptor, Stretch(path))


def _layout_tag(reference: Reference, row: Descriptor) -> Tag:
    name = row.annotations.get(_REF_NAME) or None
    store, where = _Layout(Path(reference.path)), str(replace(reference, tag=name))
    return _tag(name, row, store, where)


def _rows(reference: Reference) -> list[Descriptor]:
    """The descriptors in ``index.json`` of a layout."""
    path = Path(reference.path) / "index.json"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DOCUMENT + 1)
    except OSError as error:
        raise ImageError(
            f"reading {reference}: index.json: {error.strerror}", hint="is it an OCI layout?"
        ) from error
    if len(data) > MAX_DOCUMENT:
        raise ImageError(f"reading {reference}: index.json has more than {MAX_DOCUMENT} bytes")
    rows = parsed(data, f"{reference}: index.json").get("manifests")
    if not isinstance(rows, list):
        raise ImageError(f"reading {reference}: index.json has no list of manifests")
    return [Descriptor.from_json(row, f"{reference}: index.json") for row in rows]
