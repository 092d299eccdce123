"""Options of the verbs that look at images and need no workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from pixi_ship.cache import Cache
from pixi_ship.cli.foreign_text import printable_errors
from pixi_ship.cli.options import cache_directory
from pixi_ship.cli.registry_options import RegistryOptions, registry_options, registry_settings
from pixi_ship.registry.registries import Registries

P = ParamSpec("P")
R = TypeVar("R")


class ImageOptions(RegistryOptions):
    """The values of :func:`image_options`, by parameter name."""

    cache_dir: Path | None


def image_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options that say how images are reached; ``--json`` becomes ``as_json``."""
    cache_dir = click.option(
        "--cache-dir",
        type=click.Path(path_type=Path),
        help="Where manifests of registries are kept; also PIXI_SHIP_CACHE_DIR.",
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    return cache_dir(as_json(registry_options(command)))


@contextmanager
def opened_registries(given: ImageOptions) -> Iterator[Registries]:
    """The registries of one run; errors in the block come out fit to print."""
    cache = Cache(cache_directory(given["cache_dir"]))
    with printable_errors(), Registries(registry_settings(given), cache) as registries:
        yield registries
