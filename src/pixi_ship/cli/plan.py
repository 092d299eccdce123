"""``pixi ship plan``."""

from __future__ import annotations

from typing import Unpack

import click

from pixi_ship.cache import Cache
from pixi_ship.cli.display import (
    activation_warnings,
    environment_json,
    human_size,
    print_json,
    print_warnings,
    warnings,
)
from pixi_ship.cli.options import SharedOptions, resolve, shared_options
from pixi_ship.fetch.location import redacted
from pixi_ship.layering import listing
from pixi_ship.ship import Plan, plan


@click.command("plan")
@shared_options
@click.option("--files", is_flag=True, help="List every file of the layers made already.")
def plan_command(
    as_json: bool,
    files: bool,
    **given: Unpack[SharedOptions],
) -> None:
    """Show what would be built: layers, sizes, reuse, warnings; reads nothing big."""
    request = resolve(given)
    found = plan(request.workspace, request.options, request.cache, request.interpreters)
    listed = _files(found, request.cache) if files else None
    if as_json:
        document = _json(found, str(request.options.base))
        print_json(document if listed is None else {**document, "files": listed})
        return
    _show(found, str(request.options.base))
    for row in listed or ():
        click.echo(row)


def _files(found: Plan, cache: Cache) -> list[str]:
    """Every file that is known: ``kind mode size path``, a row each, by path."""
    rows: set[str] = set(found.assembled.configuration if found.assembled else ())
    for recipe, known in found.layers:
        if known:
            rows.update(listing(cache, recipe.key) or ())
    return sorted(rows, key=lambda row: row.split(" ", 3)[3])


def _json(found: Plan, base: str) -> dict[str, object]:
    return {
        **environment_json(found.selection),
        "base": base,
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
        "warnings": _warnings(found),
    }


def _show(found: Plan, base: str) -> None:
    selection = found.selection
    environment = selection.environment
    click.echo(f"environment  {environment.name} of {selection.workspace.name}")
    click.echo(f"platform     {environment.platform.name} ({selection.platform})")
    click.echo(f"prefix       {selection.prefix}")
    click.echo(f"base         {base}")
    if selection.cuda_requirements:
        click.echo(f"cuda         {selection.cuda or 'any'}")
    click.echo(f"packages     {len(environment.conda)} conda, {len(environment.pypi)} PyPI")
    made = sum(1 for _, known in found.layers if known)
    forecast = "" if found.merge else " (a forecast: no package was read yet)"
    click.echo(f"layers       {len(found.layers) + 1}, of which {made} are made{forecast}")
    for recipe, known in found.layers:
        size = human_size(known.size) if known else _forecast(recipe.archive_size)
        click.echo(f"  {'cached' if known else 'to do ':6} {size:>12}  {recipe.title}")
    click.echo("  always               manifest, lock, entrypoint, activation")
    if found.assembled:
        click.echo(f"digest       {found.assembled.image.digest}, nothing is left to make")
    for each in environment.unbuildable:
        click.echo(f"cannot build {each.name} ({each.obstacle}): {redacted(each.location)}")
    print_warnings(_warnings(found))


def _warnings(found: Plan) -> list[str]:
    activation = activation_warnings(found.assembled.activation) if found.assembled else []
    return warnings(found.selection, found.merge) + activation


def _forecast(size: int) -> str:
    """The archives' size, in brackets; locks do not tell it for wheels."""
    return f"({human_size(size)})" if size else "(unknown)"
