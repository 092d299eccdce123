"""``pixi ship build``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Unpack

import click

from pixi_ship.cli.display import (
    activation_warnings,
    environment_json,
    human_size,
    print_json,
    print_warnings,
    progress,
    warnings,
)
from pixi_ship.cli.options import SharedOptions, resolve, shared_options
from pixi_ship.oci.reference import Reference
from pixi_ship.ship import Build, build


@click.command("build")
@shared_options
@click.option(
    "--to",
    metavar="REF",
    multiple=True,
    help="Where the image goes: oci:DIR[:TAG], oci-archive:FILE[:TAG] or "
    "docker-archive:FILE[:TAG]. May be repeated.",
)
@click.option("--offline", is_flag=True, help="Fetch nothing: take what is cached or local.")
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Layers made at once.  [default: cores]"
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def build_command(
    as_json: bool,
    to: tuple[str, ...],
    offline: bool,
    workers: int | None,
    quiet: bool,
    **given: Unpack[SharedOptions],
) -> None:
    """Make the image of an environment and write it to every --to."""
    if not to:
        raise click.UsageError("nowhere to write to: give --to, such as --to oci:out:latest")
    request = resolve(given, to=to, offline=offline, workers=workers)
    with progress(quiet=quiet or as_json) as watcher:
        made = build(
            request.workspace, request.options, request.cache, request.interpreters, watcher
        )
    found = warnings(made.selection, made.merge)
    found += activation_warnings(made.assembled.activation)
    if as_json:
        print_json(_json(made, request.options.to, found))
    else:
        print_warnings(found)
        _show(made, request.options.to)


def _json(made: Build, to: tuple[Reference, ...], found: list[str]) -> dict[str, object]:
    image = made.assembled.image
    return {
        **environment_json(made.selection),
        "images": [
            {
                "reference": str(reference),
                "digest": str(image.digest),
                "config_digest": str(image.config_descriptor.digest),
                "platform": str(image.platform),
            }
            for reference in to
        ],
        "layers": [
            {
                "key": each.recipe.key,
                "packages": list(each.recipe.names),
                "digest": str(each.known.digest),
                "diff_id": str(each.known.diff_id),
                "size": each.known.size,
                "uncompressed_size": each.known.uncompressed_size,
                "files": each.known.files,
                "reused": each.reused,
            }
            for each in made.layers
        ],
        "counters": asdict(made.counters),
        "warnings": found,
    }


def _show(made: Build, to: tuple[Reference, ...]) -> None:
    image = made.assembled.image
    size = sum(each.descriptor.size for each in image.layers)
    click.echo(
        f"{image.digest}  {human_size(size)} in {len(image.layers)} layers, "
        f"{made.counters.layers_built} made, {made.counters.layers_reused} reused"
    )
    for reference in to:
        click.echo(f"  {reference}")
