"""``pixi ship convert``."""

from __future__ import annotations

from typing import Unpack

import click

from pixi_ship.cli.display import human_size, print_warnings, progress
from pixi_ship.cli.foreign_text import print_foreign_json
from pixi_ship.cli.image_options import ImageOptions, image_options, opened_registries
from pixi_ship.cli.options import DEFAULT_PLATFORM, cores, squashfs_option, squashfs_warnings
from pixi_ship.convert import Conversion, convert, image_digest
from pixi_ship.oci.reference import Reference, parse_reference
from pixi_ship.platform import platform_of
from pixi_ship.squashfs.format import SquashfsCompression


@click.command("convert")
@click.argument("reference", metavar="REF")
@click.option(
    "--to",
    metavar="REF",
    multiple=True,
    required=True,
    help="Where the SIF goes: sif:FILE or oras://HOST/NAME[:TAG]. May be repeated.",
)
@click.option(
    "--platform",
    default=DEFAULT_PLATFORM,
    show_default=True,
    help="Platform of the image, where REF has several.",
)
@squashfs_option
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Layers packed at once.  [default: cores]"
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@image_options
def convert_command(
    reference: str,
    to: tuple[str, ...],
    platform: str,
    squashfs_compression: str | None,
    workers: int | None,
    quiet: bool,
    as_json: bool,
    **given: Unpack[ImageOptions],
) -> None:
    """Make a SIF for Apptainer of the image REF, whoever built it.

    REF: docker://HOST/NAME[:TAG], oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE.
    Apptainer is not needed for it, nor root.
    """
    compression = SquashfsCompression(squashfs_compression or "gzip")
    places = [parse_reference(each) for each in to]
    with opened_registries(given) as registries, progress(quiet=quiet or as_json) as watcher:
        made = convert(
            parse_reference(reference),
            places,
            platform_of(platform),
            compression,
            registries.cache,
            registries,
            workers or cores(),
            watcher,
        )
    found = squashfs_warnings(compression)
    if as_json:
        print_foreign_json(_json(reference, made, places, found))
    else:
        print_warnings(found)
        _show(made, places)


def _json(
    reference: str, made: Conversion, places: list[Reference], found: list[str]
) -> dict[str, object]:
    return {
        "reference": reference,
        "digest": str(image_digest(made.image)),
        "size": made.sif.pieces.size,
        "layers": len(made.sif.packs),
        "reused": sum(each.reused for each in made.sif.packs),
        "outputs": [{"reference": str(each)} for each in places],
        "transfers": [
            {"reference": name, **each.to_json()} for name, each in made.transfers.items()
        ],
        "warnings": found,
    }


def _show(made: Conversion, places: list[Reference]) -> None:
    packs = made.sif.packs
    reused = sum(each.reused for each in packs)
    click.echo(
        f"{image_digest(made.image)}  {human_size(made.sif.pieces.size)} of {len(packs)} layers, "
        f"{len(packs) - reused} packed, {reused} reused  {made.image.platform}"
    )
    for each in places:
        click.echo(f"  {each}")
