"""What a build found out, kept beside its image: for builders whose cache is empty.

The record is an artifact of the image: which blob each layer recipe gave, what each package
writes, and how the packages share the prefix, all by the same keys as in the cache. A build
that takes it over (``--cache-from``) fetches only the packages of layers that the registry
lacks. It is believed for that one build and never written into the cache: who can push to the
repository decides what its layers hold, and ``verify`` proves what they hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import zstandard

from pixi_ship.activation.link_layer import LINK
from pixi_ship.activation.runner import ACTIVATION
from pixi_ship.assembly import BASE, Assembled, base_note_key
from pixi_ship.builder import MERGE, PATHS, Builder, layer_note
from pixi_ship.cache import LAYERS, Cache
from pixi_ship.digest import Digest
from pixi_ship.errors import ImageError, NotInRegistry
from pixi_ship.layering import environment_key, package_key
from pixi_ship.oci.artifact import Artifact
from pixi_ship.oci.blob import Blob
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.oci.image import canonical_json
from pixi_ship.oci.reference import Reference
from pixi_ship.oci.stored import StoredImage, parsed
from pixi_ship.prefix.merge import Merge
from pixi_ship.registry.pull import RemoteBlob
from pixi_ship.registry.registries import Registries
from pixi_ship.registry.repository import Repository

MEDIA_TYPE = "application/vnd.pixi-ship.build-record.v1+zstd"
_LEVEL = 9
_MAX_PACKED = 64 << 20  # bytes
_MAX_UNPACKED = 512 << 20
_KINDS = frozenset({BASE, MERGE, PATHS, LAYERS, ACTIVATION, LINK})


def build_record(
    builder: Builder,
    base: StoredImage,
    assembled: Assembled,
    merged: Merge,
) -> Artifact:
    """The record of a build, as an artifact of its image; the same build, the same bytes."""
    selection, archives, built = builder.selection, builder.archives, assembled.layers
    keys = [package_key(selection, archives.identity(each)) for each in selection.packages]
    notes = {
        BASE: _noted(builder.cache, BASE, [base_note_key(each) for each in base.layers]),
        MERGE: {environment_key(selection, archives): merged.to_json()},
        PATHS: _noted(builder.cache, PATHS, keys),
        LAYERS: {each.recipe.key: layer_note(each.recipe, each.known) for each in built},
        ACTIVATION: _noted(builder.cache, ACTIVATION, assembled.evaluated),
        LINK: _noted(builder.cache, LINK, [each.recipe.key for each in built]),
    }
    data = zstandard.ZstdCompressor(level=_LEVEL).compress(canonical_json({"notes": notes}))
    return Artifact(assembled.image.descriptor, MEDIA_TYPE, data)


def _noted(cache: Cache, kind: str, keys: Sequence[str]) -> dict[str, Mapping[str, object]]:
    return {key: note for key in keys if (note := cache.note(kind, key)) is not None}


def take_over(reference: Reference, registries: Registries, cache: Cache) -> int:
    """Lend the cache what the builds of an image found out; returns how many notes.

    An image that is not there, or has no record, lends nothing. Raises RegistryError, and
    ImageError for a record that is damaged.
    """
    repository = registries.repository(reference)
    taken = 0
    for digest in _images(reference, registries):
        for row in repository.referrers(digest):
            if row.artifact_type == MEDIA_TYPE:
                for kind, key, value in _notes(row, repository):
                    cache.lend(kind, key, value)
                    taken += 1
    return taken


def _images(reference: Reference, registries: Registries) -> Iterator[Digest]:
    try:
        images = registries.read_all(reference)
    except NotInRegistry:
        return
    for image in images:
        if image.digest is not None:
            yield image.digest


def _notes(
    row: Descriptor, repository: Repository
) -> Iterator[tuple[str, str, Mapping[str, object]]]:
    where = f"the build record {repository}@{row.digest}"
    _, manifest = repository.manifest(row.digest)
    layers = parsed(manifest, where).get("layers")
    if not isinstance(layers, list) or len(layers) != 1:
        raise ImageError(f"reading {where}: it has no single layer")
    descriptor = Descriptor.from_json(layers[0], where)
    if descriptor.size > _MAX_PACKED:
        raise ImageError(f"reading {where}: it has {descriptor.size} bytes")
    packed = b"".join(Blob(descriptor, RemoteBlob(repository, descriptor)).chunks())
    notes = parsed(_unpacked(packed, where), where).get("notes")
    for kind, rows in notes.items() if isinstance(notes, dict) else ():
        for key, value in rows.items() if isinstance(rows, dict) and kind in _KINDS else ():
            if isinstance(value, dict):
                yield kind, key, value


def _unpacked(packed: bytes, where: str) -> bytes:
    decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    pieces, size = [], 0
    try:
        for start in range(0, len(packed), 1 << 16):
            piece = decoder.decompress(packed[start : start + (1 << 16)])
            size += len(piece)
            if size > _MAX_UNPACKED:
                raise ImageError(f"reading {where}: it unpacks to more than {_MAX_UNPACKED} bytes")
            pieces.append(piece)
    except zstandard.ZstdError as error:
        raise ImageError(f"reading {where}: {error}") from None
    return b"".join(pieces)
