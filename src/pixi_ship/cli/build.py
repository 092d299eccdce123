"""``pixi ship build``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Unpack

import click

from pixi_ship.attest.attestation import Attestation
from pixi_ship.cli.display import (
    environment_json,
    human_size,
    platform_json,
    print_json,
    print_warnings,
    progress,
    warnings,
)
from pixi_ship.cli.options import SharedOptions, resolve, shared_options, squashfs_warnings
from pixi_ship.digest import Digest
from pixi_ship.errors import UsageError
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.registry.push import Transfers
from pixi_ship.selection import Options
from pixi_ship.ship import Build, BuiltImage, build
from pixi_ship.statements import Statement

_BILLS = (Attestation.SPDX, Attestation.CYCLONEDX)


@click.command("build")
@shared_options
@click.option(
    "--to",
    metavar="REF",
    multiple=True,
    help="Where the image goes: docker://HOST/NAME[:TAG], oci:DIR[:TAG], "
    "oci-archive:FILE[:TAG], docker-archive:FILE[:TAG], sif:FILE, or oras://HOST/NAME[:TAG] for "
    "the SIF in a registry. May be repeated.",
)
@click.option(
    "--cache-from",
    metavar="REF",
    multiple=True,
    help="Image in the registry of --to whose layers need not be made again here, even "
    "with an empty cache; the new image then keeps as much for the next build.",
)
@click.option(
    "--sbom",
    "sboms",
    metavar="FORMAT[:FILE]",
    multiple=True,
    help="Bill of materials, spdx or cyclonedx: attached in registries, and written to FILE.",
)
@click.option(
    "--provenance",
    "provenances",
    metavar="FORMAT[:FILE]",
    multiple=True,
    help="How the image was made, slsa: attached in registries, and written to FILE.",
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
    cache_from: tuple[str, ...],
    sboms: tuple[str, ...],
    provenances: tuple[str, ...],
    **given: Unpack[SharedOptions],
) -> None:
    """Make the image of an environment and write it to every --to."""
    if not to:
        raise click.UsageError("nowhere to write to: give --to, such as --to oci:out:latest")
    statements = [_statement(each, _BILLS) for each in sboms]
    statements += [_statement(each, (Attestation.SLSA,)) for each in provenances]
    request = resolve(given, to=to, cache_from=cache_from, offline=offline, workers=workers)
    with progress(quiet=quiet or as_json) as watcher, request.registries:
        made = build(
            request.workspace,
            request.options,
            request.cache,
            request.machine,
            request.registries,
            watcher,
            statements,
        )
    found = _warnings(made, request.options)
    if as_json:
        print_json(_json(made, request.options.to, found))
    else:
        print_warnings(found)
        _show(made, request.options.to)


def _statement(text: str, known: tuple[Attestation, ...]) -> Statement:
    name, colon, path = text.partition(":")
    if name not in known or (colon and not path):
        names = " or ".join(known)
        raise UsageError(f"{text!r} is no such document", hint=f"want {names}, or FORMAT:FILE")
    return Statement(Attestation(name), Path(path) if path else None)


def _warnings(made: Build, options: Options) -> list[str]:
    found: list[str] = []
    for each in made.images:
        found += warnings(each.selection, each.merge, options.run_link_scripts)
        found += each.assembled.activation.warnings
    if any(each.transport in (Transport.SIF, Transport.ORAS) for each in options.to):
        found += squashfs_warnings(options.squashfs)
    return list(dict.fromkeys(found))


def _json(made: Build, to: tuple[Reference, ...], found: list[str]) -> dict[str, object]:
    return {
        **environment_json(made.images[0].selection),
        "digest": str(made.result.digest),
        "base": {"reference": made.base.reference, "digest": _text(made.base.root)},
        "outputs": [{"reference": str(each), "digest": str(made.result.digest)} for each in to],
        "images": [_image_json(each) for each in made.images],
        "counters": asdict(made.counters),
        "transfers": [
            {"reference": reference, **each.to_json()} for reference, each in made.transfers.items()
        ],
        "warnings": found,
    }


def _text(digest: Digest | None) -> str | None:
    return None if digest is None else str(digest)


def _image_json(made: BuiltImage) -> dict[str, object]:
    image = made.assembled.image
    return {
        **platform_json(made.selection),
        "digest": str(image.digest),
        "config_digest": str(image.config_descriptor.digest),
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
    }


def _show(made: Build, to: tuple[Reference, ...]) -> None:
    for each in made.images:
        image = each.assembled.image
        size = sum(layer.descriptor.size for layer in image.layers)
        reused = sum(layer.reused for layer in each.layers)
        click.echo(
            f"{image.digest}  {human_size(size)} in {len(image.layers)} layers, "
            f"{len(each.layers) - reused} made, {reused} reused  {image.platform}"
        )
    if len(made.images) > 1:
        click.echo(f"{made.result.digest}  index of {len(made.images)} images")
    for reference in to:
        click.echo(f"  {reference}{_moved(made.transfers.get(str(reference)))}")


def _moved(transfers: Transfers | None) -> str:
    if transfers is None:
        return ""
    return (
        f"  {human_size(transfers.bytes_sent)} in {transfers.sent} blobs sent, "
        f"{transfers.mounted} mounted, {transfers.found} there before"
    )
