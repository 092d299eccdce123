"""Options of the verbs that look at images and need no workspace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pixi_ship.cache import Cache
from pixi_ship.cli.foreign_text import printable_errors
from pixi_ship.cli.option_group import option_group
from pixi_ship.cli.options import cache_directory
from pixi_ship.cli.registry_options import RegistryOptions, registry_options, registry_settings
from pixi_ship.registry.registries import Registries


class ImageOptions(RegistryOptions):
    """The values of :data:`image_options`, by parameter name, but for ``as_json``."""

    cache_dir: Path | None


image_options = option_group(
    click.option(
        "--cache-dir",
        type=click.Path(path_type=Path),
        help="Where manifests of registries are kept; also PIXI_SHIP_CACHE_DIR.",
    ),
    click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout."),
    registry_options,
)


@contextmanager
def opened_registries(given: ImageOptions) -> Iterator[Registries]:
    """The registries of one run; errors in the block come out fit to print."""
    cache = Cache(cache_directory(given["cache_dir"]))
    with printable_errors(), Registries(registry_settings(given), cache) as registries:
        yield registries
