"""An image of layers, wherever it is, against what it has to be."""

from __future__ import annotations

from dataclasses import dataclass

from pixi_ship.oci.stored import StoredImage
from pixi_ship.verification.compare import Findings, compare_layers
from pixi_ship.verification.documents import compare_config, compare_manifest
from pixi_ship.verification.layers import compare_contents, read_layers
from pixi_ship.verify.expected import Expected


@dataclass(frozen=True, slots=True)
class LayeredImage:
    """An image whose layers pass through as streams."""

    image: StoredImage

    def compare(self, expected: Expected, workers: int) -> Findings:
        """Hold it against what it has to be; raises ImageError, RegistryError."""
        image, base = self.image, expected.base
        there, unread = read_layers(image, expected.layers, workers)
        came = [each.diff_id if each else None for each in there]
        differences = [*unread, *compare_layers(expected.diff_ids, image, base, came)]
        files = 0
        if not unread:
            layers = [each for each in there if each]
            files, found = compare_contents(layers, expected.layers, len(base.layers))
            differences += found
        differences += compare_config(expected.config, image)
        differences += compare_manifest(expected.labels, image)
        return Findings(files, tuple(differences))
