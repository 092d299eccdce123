"""The verbs as functions: what the command line does, without a terminal.

    pixi.lock → LockedEnvironment → per package: archive → Tree → layer → Image → written

:func:`plan` goes as far as manifest, lock and cache tell; :func:`build` all the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pixi_ship.assembly import Assembled, assemble, base_facts, check_base
from pixi_ship.builder import Builder, BuiltLayer, Counters, recipes_for
from pixi_ship.cache import Cache
from pixi_ship.fetch.archives import Archives
from pixi_ship.layering import KnownLayer, LayerRecipe, known_layer, layer_recipes
from pixi_ship.oci.read import read_image
from pixi_ship.oci.reference import Transport
from pixi_ship.oci.write import check_writable, write_image
from pixi_ship.prefix.bytecode import Interpreter
from pixi_ship.prefix.merge import Merge
from pixi_ship.progress import Progress, Silence
from pixi_ship.selection import Options, Selection, refuse_unbuildable, select
from pixi_ship.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Plan:
    """What :func:`plan` found.

    merge: None while no build has read the packages. assembled: the image that a build would
    give, where every layer is made already and the base is on this machine.
    """

    selection: Selection
    layers: tuple[tuple[LayerRecipe, KnownLayer | None], ...]
    merge: Merge | None
    assembled: Assembled | None


@dataclass(frozen=True, slots=True)
class Build:
    """What :func:`build` made, and what it did for that."""

    selection: Selection
    layers: tuple[BuiltLayer, ...]
    merge: Merge
    assembled: Assembled
    counters: Counters


def plan(
    workspace: Workspace,
    options: Options,
    cache: Cache,
    interpreters: Mapping[str, Interpreter],
) -> Plan:
    """Say what would be built. Reads manifest, lock and the cache's notes, no package."""
    selection = select(workspace, options, interpreters)
    archives = Archives(cache, workspace.root, offline=True)
    builder = Builder(cache, archives, selection, options, Silence())
    merged = None if selection.environment.unbuildable else builder.remembered_merge()
    recipes = layer_recipes(selection, archives, merged, options)
    layers = [(recipe, known_layer(cache, recipe.key)) for recipe in recipes]
    assembled = None
    if options.base.transport is not Transport.DOCKER:  # that would need the network
        base = read_image(options.base, selection.platform)
        facts = base_facts(base, cache)
        check_base(selection, base, facts)
        made = [BuiltLayer(recipe, known, True) for recipe, known in layers if known]
        if merged is not None and len(made) == len(layers):
            assembled = assemble(builder, base, facts, made, merged)
    return Plan(selection, tuple(layers), merged, assembled)


def build(
    workspace: Workspace,
    options: Options,
    cache: Cache,
    interpreters: Mapping[str, Interpreter],
    progress: Progress,
) -> Build:
    """Make the image and write it to every place in ``options.to``.

    Raises PixiShipError before anything is fetched where manifest, lock, base or an output
    already tell that it cannot end well.
    """
    selection = select(workspace, options, interpreters)
    refuse_unbuildable(selection.environment)
    for reference in options.to:
        check_writable(reference)
    cache.sweep()
    base = read_image(options.base, selection.platform)
    facts = base_facts(base, cache)
    check_base(selection, base, facts)
    archives = Archives(cache, workspace.root, options.offline, progress.fetched)
    builder = Builder(cache, archives, selection, options, progress)
    merged = builder.merged()
    built = builder.layers(recipes_for(builder, merged), merged)
    assembled = assemble(builder, base, facts, built, merged)
    for reference in options.to:
        write_image(assembled.image, reference, progress.written)
    builder.counters.archives_fetched = archives.fetched
    builder.counters.archive_bytes_fetched = archives.fetched_bytes
    return Build(selection, tuple(built), merged, assembled, builder.counters)
