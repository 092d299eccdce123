"""``pixi ship plan``."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

import click

from pixi_ship.cache import Cache
from pixi_ship.cli.display import (
    environment_json,
    human_size,
    platform_json,
    print_json,
    print_warnings,
    source_location,
    warnings,
)
from pixi_ship.cli.options import SharedOptions, resolve, shared_options
from pixi_ship.digest import Digest
from pixi_ship.layering import listing
from pixi_ship.project.find import FoundProject
from pixi_ship.redaction import redacted
from pixi_ship.registry.patience import Patience
from pixi_ship.ship import Plan, PlannedImage, plan

# A plan that cannot ask a registry says so and goes on: no point in long waits.
_BRIEF = Patience(attempts=2, first=0.2, longest_asked=2.0)


@click.command("plan")
@shared_options
@click.option("--files", is_flag=True, help="List every file of the layers made already.")
def plan_command(
    as_json: bool,
    files: bool,
    **given: Unpack[SharedOptions],
) -> None:
    """Show what would be built: layers, sizes, reuse, warnings; reads nothing big."""
    request = resolve(given, patience=_BRIEF)
    with request.registries:
        found = plan(
            request.workspace,
            request.options,
            request.cache,
            request.machine,
            request.registries,
        )
    listed = _files(found, request.cache) if files else None
    said = _warnings(found, request.options.run_link_scripts)
    if as_json:
        document = _json(found, said)
        print_json(document if listed is None else {**document, "files": listed})
        return
    _show(found)
    print_warnings(said)
    for row in listed or ():
        click.echo(row)


def _files(found: Plan, cache: Cache) -> list[str]:
    """Every file that is known: ``kind mode size path``, a row each, by path."""
    rows: set[str] = set()
    for image in found.images:
        rows.update(image.assembled.configuration if image.assembled else ())
        for recipe, known in image.layers:
            if known:
                rows.update(listing(cache, recipe.key) or ())
    return sorted(rows, key=lambda row: row.split(" ", 3)[3])


def _json(found: Plan, said: list[str]) -> dict[str, object]:
    return {
        **environment_json(found.images[0].selection),
        "base": {
            "reference": str(found.base.named),
            "digest": _text(found.base_digest),
            "locked": _text(found.base.locked),
            "moved_to": _text(found.moved_to),
        },
        "images": [_image_json(each) for each in found.images],
        "warnings": said,
    }


def _text(digest: Digest | None) -> str | None:
    return None if digest is None else str(digest)


def _image_json(found: PlannedImage) -> dict[str, object]:
    return {
        **platform_json(found.selection),
        "buildable": not found.selection.environment.unbuildable,
        "final": found.merge is not None,
        "digest": str(found.assembled.image.digest) if found.assembled else None,
        "layers": [
            {
                "key": recipe.key,
                "packages": list(recipe.names),
                "archive_size": recipe.archive_size,
                "cached": known is not None,
                "digest": str(known.digest) if known else None,
                "size": known.size if known else None,
            }
            for recipe, known in found.layers
        ],
    }


def _show(found: Plan) -> None:
    selection = found.images[0].selection
    click.echo(f"environment  {selection.environment.name} of {selection.workspace.name}")
    click.echo(f"prefix       {selection.prefix}")
    digest = f"@{found.base_digest}" if found.base_digest else ""
    click.echo(f"base         {replace(found.base.named, digest=None)}{digest}")
    if found.base.locked:
        click.echo(f"             locked in {found.base.lock.path.name}")
    for each in found.images:
        _show_image(each)


def _show_image(found: PlannedImage) -> None:
    selection = found.selection
    environment = selection.environment
    click.echo(f"platform     {environment.platform.name} ({selection.platform})")
    if selection.cuda_requirements:
        click.echo(f"cuda         {selection.cuda or 'any'}")
    click.echo(f"packages     {len(environment.conda)} conda, {len(environment.pypi)} PyPI")
    made = sum(1 for _, known in found.layers if known)
    forecast = "" if found.merge else " (a forecast: no package was read yet)"
    count = len(found.assembled.layers if found.assembled else found.layers) + 1
    click.echo(f"layers       {count}, of which {made} are made{forecast}")
    for recipe, known in found.layers:
        size = human_size(known.size) if known else _forecast(recipe.archive_size)
        click.echo(f"  {'cached' if known else 'to do ':6} {size:>12}  {recipe.title}")
    if selection.project.files:
        click.echo(_project_row(selection.project))
    click.echo("  always               manifest, lock, entrypoint, activation")
    if found.assembled:
        click.echo(f"digest       {found.assembled.image.digest}, nothing is left to make")
    for source in environment.sources:
        click.echo(f"to build     {source.name} ({source.kind}): {source_location(source)}")
    for each in environment.unbuildable:
        click.echo(f"cannot build {each.name} ({each.obstacle}): {redacted(each.location)}")


def _project_row(project: FoundProject) -> str:
    count = len(project.files)
    files = "1 file" if count == 1 else f"{count} files"
    ignored = f", {project.ignored} ignored" if project.ignored else ""
    return f"  {'files ':6} {_forecast(project.size):>12}  the project's: {files}{ignored}"


def _warnings(found: Plan, linked: tuple[str, ...]) -> list[str]:
    rows = list(found.notes)
    if found.moved_to is not None:
        rows.append(
            f"{found.base.named} names {found.moved_to} by now; --update-base takes it instead "
            f"of the locked {found.base.locked}"
        )
    for each in found.images:
        rows += warnings(each.selection, each.merge, linked)
        rows += each.assembled.activation.warnings if each.assembled else ()
    return list(dict.fromkeys(rows))


def _forecast(size: int) -> str:
    """The archives' size, in brackets; locks do not tell it for wheels."""
    return f"({human_size(size)})" if size else "(unknown)"
