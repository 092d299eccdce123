"""Where images go: registries get each layer as soon as it is made, files all at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType

from pixi_ship.cache import Cache
from pixi_ship.layering import KnownLayer
from pixi_ship.oci.artifact import Artifact
from pixi_ship.oci.blob import Blob, Stretch
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.oci.image import Image, ImageIndex
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.oci.stored import StoredImage
from pixi_ship.oci.write import write_image
from pixi_ship.progress import Progress
from pixi_ship.registry.push import Push, Transfers
from pixi_ship.registry.registries import Registries
from pixi_ship.selection import Options


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
            if reference.transport is Transport.DOCKER
        }

    def __enter__(self) -> Delivery:
        for push in self._pushes.values():
            self._stack.enter_context(push)
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
        """Whether every output has the layer; files need its bytes in any case."""
        if not self._pushes or len(self._pushes) < len(set(self._options.to)):
            return False
        descriptor = self._descriptor(layer)
        return all(push.has(descriptor) for push in self._pushes.values())

    def add(self, layer: KnownLayer) -> None:
        """Begin to push a layer."""
        blob = Blob(self._descriptor(layer), Stretch(self._cache.blob(layer.digest)))
        for push in self._pushes.values():
            push.add(blob)

    def add_base(self, base: StoredImage) -> None:
        """Begin to push the base's layers, or to find that they are there."""
        for push in self._pushes.values():
            for layer in base.layers:
                push.add(layer.blob)

    def finish(self, image: Image | ImageIndex, artifacts: Sequence[Artifact] = ()) -> None:
        """Write the files, then set the tags; registries also keep the artifacts."""
        for reference in self._options.to:
            if reference not in self._pushes:
                write_image(image, reference, self._progress.written)
        for reference, push in self._pushes.items():
            push.finish(image, reference.tag or "latest", artifacts)

    def _descriptor(self, layer: KnownLayer) -> Descriptor:
        return Descriptor(self._options.compression.media_type, layer.digest, layer.size)
