"""Where images go: registries get each layer as soon as it is made, files all at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType

from pixi_ship.cache import Cache
from pixi_ship.layering import KnownLayer
from pixi_ship.oci.artifact import Artifact
from pixi_ship.oci.blob import Blob, Layer, Stretch
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.oci.image import Image, ImageIndex
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.oci.stored import StoredImage, parsed
from pixi_ship.oci.write import write_image
from pixi_ship.progress import Progress
from pixi_ship.registry.push import Push, Transfers
from pixi_ship.registry.registries import Registries
from pixi_ship.selection import Options
from pixi_ship.sif.make import SifImage, make_sif
from pixi_ship.sif.packs import Packs
from pixi_ship.sif.write import sif_artifact, write_sif_file

_SIFS = frozenset({Transport.SIF, Transport.ORAS})


class Delivery:
    """The outputs of one build; leaving it by an error stops what is under way."""

    def __init__(
        self, options: Options, cache: Cache, registries: Registries, progress: Progress
    ) -> None:
        self._options = options
        self._cache = cache
        self._progress = progress
        self._stack = ExitStack()
        self._pushes: dict[Reference, Push] = {
            reference: registries.push(reference, progress.written)
            for reference in options.to
            if reference.in_registry
        }
        images = {ref: x for ref, x in self._pushes.items() if ref.transport is Transport.DOCKER}
        self._images = tuple(images.values())
        # Of a registry's repositories one gets the bytes, the others mount them from it.
        self._first = tuple({ref.host: x for ref, x in reversed(images.items())}.values())
        wants_sif = any(each.transport in _SIFS for each in options.to)
        self._packs = Packs(cache, options.squashfs, options.workers) if wants_sif else None

    def __enter__(self) -> Delivery:
        for push in self._pushes.values():
            self._stack.enter_context(push)
        if self._packs:
            self._stack.enter_context(self._packs)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def transfers(self) -> Mapping[str, Transfers]:
        """What became of the blobs, by reference."""
        return {str(reference): push.transfers for reference, push in self._pushes.items()}

    def has(self, layer: KnownLayer) -> bool:
        """Whether every output has the layer; layouts and archives need its bytes in any case."""
        kinds = {reference.transport for reference in self._options.to}
        if not kinds or not kinds <= {Transport.DOCKER, *_SIFS}:
            return False
        if self._packs and not self._packs.has(layer.diff_id):
            return False
        descriptor = self._descriptor(layer)
        return all(push.has(descriptor) for push in self._images)

    def add(self, layer: KnownLayer) -> None:
        """Begin to push and to pack a layer."""
        blob = Blob(self._descriptor(layer), Stretch(self._cache.blob(layer.digest)))
        for push in self._first:
            push.add(blob)
        if self._packs:
            self._packs.add(Layer(blob, layer.diff_id))

    def add_base(self, base: StoredImage) -> None:
        """Begin to push and to pack the base's layers, or to find that they are there."""
        for layer in base.layers:
            for push in self._first:
                push.add(layer.blob)
            if self._packs:
                self._packs.add(layer)

    def finish(self, image: Image | ImageIndex, artifacts: Sequence[Artifact] = ()) -> None:
        """Write the files, then set the tags; registries also keep the artifacts."""
        sif = self._sif(image)
        for reference in self._options.to:
            if reference.transport is Transport.SIF and sif:
                write_sif_file(sif, reference, self._progress.written)
            elif reference not in self._pushes:
                write_image(image, reference, self._progress.written)
        for reference, push in self._pushes.items():
            tag = reference.tag or "latest"
            if reference.transport is Transport.ORAS and sif:
                push.finish_sif(sif_artifact(sif, reference), tag)
            else:
                push.finish(image, tag, artifacts)

    def _sif(self, image: Image | ImageIndex) -> SifImage | None:
        if self._packs is None:
            return None
        (only,) = image.images
        config = parsed(only.config, "the config")
        return make_sif(only.layers, config, str(only.digest), self._packs)

    def _descriptor(self, layer: KnownLayer) -> Descriptor:
        return Descriptor(self._options.compression.media_type, layer.digest, layer.size)
