"""What an image says of itself, from manifest and config alone. Nothing of it is believed.

Spec: OCI image-spec 1.1, ``config.md`` and ``annotations.md``; our labels are in the reference
of the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pixi_ship.digest import Digest
from pixi_ship.errors import ImageError
from pixi_ship.oci.blob import Layer
from pixi_ship.oci.stored import StoredImage
from pixi_ship.sif.stored import DataObject

BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"
CREATED = "org.opencontainers.image.created"
_TITLE = "org.opencontainers.image.title"

_MADE_BY = "pixi-ship"  # created_by in the history of our layers
_CONFIGURATION = "manifest, lock, entrypoint, activation"  # the comment of our last layer
_LONGEST_COMMENT = 1 << 20  # characters; a thousand packages take a tenth of it
_LARGEST_LAYER = 1 << 50  # bytes


class Origin(StrEnum):
    """Who brought a layer: ``OTHER`` where it cannot be told, or was put on top of ours."""

    BASE = "base"
    OURS = "pixi-ship"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDescription:
    """A layer: ``number`` counts from 1, the lowest; ``size`` is of the compressed bytes.

    packages: file names, as the history of a layer of ours lists them. created_by: the
    history's words.
    """

    number: int
    origin: Origin
    digest: Digest
    diff_id: Digest
    media_type: str
    size: int
    created_by: str | None
    packages: tuple[str, ...]

    @property
    def holds_lock(self) -> bool:
        """Whether the history says that this is the last layer of a build of ours."""
        return self.created_by == _MADE_BY and not self.packages


@dataclass(frozen=True, slots=True, kw_only=True)
class SifDescription:
    """What a SIF is besides the image in it.

    size: bytes of the file. compression: of its root filesystem, None where that is no squashfs.
    signatures: how many, by whomever. definition: text of the definition file in it.
    """

    size: int
    compression: str | None
    signatures: int
    definition: str | None
    objects: tuple[DataObject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDescription:
    """An image for one platform, every text as the image has it; None where it says nothing.

    digest: the manifest's; None in a file. config_digest: None for a SIF of others, which
    holds no config. platform: ``os/architecture[/variant]``. locked_platform: the platform's
    name in the lock. layers: the lowest first; none of a SIF.
    """

    digest: Digest | None
    config_digest: Digest | None
    platform: str
    locked_platform: str | None
    created: str | None
    title: str | None
    environment: str | None
    lock_digest: str | None
    cuda: str | None
    cuda_required: str | None
    base_name: str | None
    base_digest: str | None
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    user: str | None
    working_directory: str | None
    env: Mapping[str, str]
    labels: Mapping[str, str]
    layers: tuple[LayerDescription, ...]
    sif: SifDescription | None = None

    @property
    def size(self) -> int:
        """Bytes of the compressed layers, each digest once; or of the SIF."""
        if self.sif is not None:
            return self.sif.size
        return sum({layer.digest: layer.size for layer in self.layers}.values())

    @property
    def is_ours(self) -> bool:
        """Whether the image says that it was built by pixi-ship."""
        return self.environment is not None and self.lock_digest is not None


def describe(image: StoredImage) -> ImageDescription:
    """Read manifest and config of an image; raises ImageError for absurd ones.

    Fields of another type than the spec's count as missing.
    """
    try:
        return _described(image)
    except RecursionError:
        raise ImageError(f"reading {image.reference}: its config is nested too deep") from None


def _described(image: StoredImage) -> ImageDescription:
    labels, runtime, config = image.labels, image.runtime, image.config
    words = [_text(config.get(name)) for name in ("os", "architecture", "variant")]
    return ImageDescription(
        digest=image.digest,
        config_digest=Digest.of(image.raw_config) if image.raw_config else None,
        platform="/".join(word for word in words if word) or "unknown",
        locked_platform=labels.get("pixi-ship.platform"),
        created=_text(config.get("created")),
        title=labels.get(_TITLE),
        environment=labels.get("pixi-ship.environment"),
        lock_digest=labels.get("pixi-ship.lock.digest"),
        cuda=labels.get("pixi-ship.cuda"),
        cuda_required=labels.get("pixi-ship.cuda.required"),
        base_name=labels.get(BASE_NAME),
        base_digest=labels.get(BASE_DIGEST),
        entrypoint=_texts(runtime.get("Entrypoint")),
        command=_texts(runtime.get("Cmd")),
        user=_text(runtime.get("User")),
        working_directory=_text(runtime.get("WorkingDir")),
        env=_variables(_texts(runtime.get("Env"))),
        labels=labels,
        layers=_layers(image),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> tuple[str, ...]:
    rows = value if isinstance(value, list) else []
    return tuple(row for row in rows if isinstance(row, str))


def _variables(rows: Sequence[str]) -> dict[str, str]:
    pairs = (row.partition("=") for row in rows)
    return {name: value for name, _, value in pairs}


def _layers(image: StoredImage) -> tuple[LayerDescription, ...]:
    rows = _history(image.config, len(image.layers))
    ours = _last_build(rows)
    return tuple(
        _layer(layer, rows[place], place, _origin(place, ours))
        for place, layer in enumerate(image.layers)
    )


def _layer(layer: Layer, row: Mapping[str, object], place: int, origin: Origin) -> LayerDescription:
    descriptor = layer.descriptor
    if descriptor.size > _LARGEST_LAYER:
        raise ImageError(f"layer {descriptor.digest} would have more than {_LARGEST_LAYER} bytes")
    return LayerDescription(
        number=place + 1,
        origin=origin,
        digest=descriptor.digest,
        diff_id=layer.diff_id,
        media_type=descriptor.media_type,
        size=descriptor.size,
        created_by=_text(row.get("created_by")),
        packages=_packages(row),
    )


def _packages(row: Mapping[str, object]) -> tuple[str, ...]:
    comment = _text(row.get("comment")) or ""
    if row.get("created_by") != _MADE_BY or comment == _CONFIGURATION:
        return ()
    return tuple(comment.split()) if len(comment) <= _LONGEST_COMMENT else ()


def _history(config: Mapping[str, object], count: int) -> list[Mapping[str, object]]:
    """A row of the history for each of ``count`` layers, an empty one where it is not known."""
    found = config.get("history")
    rows: list[Mapping[str, object]] = [
        row
        for row in (found if isinstance(found, list) else [])
        if isinstance(row, dict) and not row.get("empty_layer")
    ]
    if len(rows) == count:
        return rows
    # A base may tell nothing of its layers, or too much: what we put on top stands at the end.
    ours = 0
    while ours < min(count, len(rows)) and rows[-1 - ours].get("created_by") == _MADE_BY:
        ours += 1
    return [*({} for _ in range(count - ours)), *rows[len(rows) - ours :]]


def _last_build(rows: Sequence[Mapping[str, object]]) -> range:
    """The places of the layers of the last build of ours; its base may be an image of ours."""
    ours = [place for place, row in enumerate(rows) if row.get("created_by") == _MADE_BY]
    if not ours:
        return range(0)
    first = ours[-1]
    while first - 1 in ours and rows[first - 1].get("comment") != _CONFIGURATION:
        first -= 1
    return range(first, ours[-1] + 1)


def _origin(place: int, ours: range) -> Origin:
    if place in ours:
        return Origin.OURS
    return Origin.BASE if place < ours.start else Origin.OTHER
