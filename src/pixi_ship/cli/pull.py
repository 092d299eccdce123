"""``pixi ship pull``."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from pixi_ship.cli.display import human_size, print_json, progress
from pixi_ship.cli.foreign_text import printable_errors
from pixi_ship.cli.options import cores, platform_here, squashfs_option
from pixi_ship.cli.registry_options import RegistryOptions, registry_options, registry_settings
from pixi_ship.errors import CacheError
from pixi_ship.oci.reference import parse_reference
from pixi_ship.platform import platform_of
from pixi_ship.pull import Pulled, cache_beside, pull
from pixi_ship.registry.registries import Registries
from pixi_ship.squashfs.format import SquashfsCompression


@click.command("pull")
@click.argument("reference", metavar="REF")
@click.option(
    "--to",
    "directory",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory on the node's own disk, which all its jobs name.",
)
@click.option("--platform", help="Platform of the image.  [default: this machine's]")
@squashfs_option
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Layers packed at once.  [default: cores]"
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@registry_options
def pull_command(
    reference: str,
    directory: Path,
    platform: str | None,
    squashfs_compression: str | None,
    workers: int | None,
    quiet: bool,
    as_json: bool,
    **given: Unpack[RegistryOptions],
) -> None:
    """Have the image REF on this node as a SIF, and print the file's path.

    REF: docker://HOST/NAME[:TAG], or oras://HOST/NAME[:TAG] for a SIF in a registry; name the
    digest where you can. The file is named by the image's digest. Of jobs that start together
    one fetches it and the others wait; of the next version only the layers that changed are
    fetched.
    """
    registries = Registries(registry_settings(given), cache_beside(directory))
    try:
        with printable_errors(), registries, progress(quiet=quiet or as_json) as watcher:
            found = pull(
                parse_reference(reference),
                directory,
                platform_of(platform or platform_here()),
                SquashfsCompression(squashfs_compression or "gzip"),
                registries,
                workers or cores(),
                watcher,
            )
    except CacheError as error:  # its own hint names an option that there is not here
        raise CacheError(str(error), hint="choose another place with --to") from error
    if as_json:
        print_json(_json(reference, found))
        return
    click.echo(str(found.path))
    if not quiet:
        click.echo(_words(found), err=True)


def _json(reference: str, found: Pulled) -> dict[str, object]:
    return {
        "reference": reference,
        "digest": str(found.digest),
        "path": str(found.path),
        "size": found.path.stat().st_size,
        "there_before": found.there_before,
        "bytes_fetched": found.bytes_fetched,
    }


def _words(found: Pulled) -> str:
    size = human_size(found.path.stat().st_size)
    if found.there_before:
        return f"{found.digest}  {size}, there before"
    return f"{found.digest}  {size}, {human_size(found.bytes_fetched)} fetched"
