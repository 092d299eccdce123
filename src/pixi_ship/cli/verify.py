"""``pixi ship verify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Unpack

import click

from pixi_ship.cli.display import print_warnings, progress
from pixi_ship.cli.foreign_text import echo, print_foreign_json, printable_errors
from pixi_ship.cli.injection_options import injection_options
from pixi_ship.cli.options import (
    EnvironmentOptions,
    Request,
    environment_options,
    not_building,
    resolve,
)
from pixi_ship.errors import UsageError
from pixi_ship.oci.reference import parse_reference
from pixi_ship.project.include import parse_include
from pixi_ship.verify import Asked, Verification, verify


@click.command("verify")
@click.argument("reference", metavar="REF")
@environment_options
@injection_options
@click.option(
    "--include",
    "includes",
    metavar="PATH[:DEST]",
    multiple=True,
    help="What was taken along, where the image's labels cannot say it: files from outside of "
    "the workspace.",
)
@click.option("--offline", is_flag=True, help="Fetch nothing: take what is cached or local.")
@click.option("--workers", type=click.IntRange(1, 256), help="Layers read at once.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def verify_command(
    reference: str,
    as_json: bool,
    offline: bool,
    workers: int | None,
    quiet: bool,
    includes: tuple[str, ...],
    inject: tuple[Path, ...],
    from_prefix: Path | None,
    **given: Unpack[EnvironmentOptions],
) -> None:
    """Prove every file of the image REF from the lock; list what differs.

    What the options leave open is taken from the image's labels. The exit code is 1 where
    anything differs.
    """
    if len(given["platforms"]) > 1:
        raise UsageError("verify takes one --platform, or none for all that the image has")
    shared = not_building(given, inject, from_prefix)
    request = resolve(shared, offline=offline, workers=workers)
    with printable_errors(), progress(quiet=quiet or as_json) as watcher, request.registries:
        found = verify(
            request.workspace,
            parse_reference(reference),
            request.options,
            _asked(given, request, includes),
            request.cache,
            request.machine,
            request.registries,
            watcher,
        )
    if as_json:
        print_foreign_json({"reference": reference, "images": [_json(each) for each in found]})
    else:
        for each in found:
            _show(each)
    if not all(each.holds for each in found):
        sys.exit(1)


def _asked(given: EnvironmentOptions, request: Request, includes: tuple[str, ...]) -> Asked:
    """What was said on the command line; the base counts also where the manifest names it."""
    named = given["base"] is not None or "base" in request.workspace.defaults
    return Asked(
        environment=given["environment"],
        platform=next(iter(given["platforms"]), None),
        cuda=given["cuda"],
        base=request.options.base if named else None,
        includes=tuple(parse_include(each) for each in includes) if includes else None,
    )


def _json(found: Verification) -> dict[str, object]:
    return {
        "platform": found.selection.environment.platform.name,
        "environment": found.selection.environment.name,
        "digest": str(found.image.digest) if found.image.digest else None,
        "lock_digest": str(found.selection.lock_digest),
        "base": {
            "reference": found.base.reference,
            "digest": str(found.base.digest) if found.base.digest else None,
        },
        "verified": found.holds,
        "files": found.files,
        "differences": [
            {"kind": each.kind, "where": each.where, "want": each.want, "got": each.got}
            for each in found.differences
        ],
        "warnings": list(found.notes),
    }


def _show(found: Verification) -> None:
    print_warnings(found.notes)
    for each in found.differences:
        echo(str(each))
    count = len(found.differences)
    places = "1 place" if count == 1 else f"{count} places"
    verdict = "holds what the lock says" if found.holds else f"differs in {places}"
    digest = found.image.digest or found.image.reference
    platform = found.selection.platform
    echo(f"{digest}  {verdict}; {found.files} paths compared  {platform}")
    echo(f"  on {found.base.reference}")
