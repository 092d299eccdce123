"""The verbs as functions: what the command line does, without a terminal.

    pixi.lock → LockedEnvironment → per package: archive → Tree → layer → Image → written

:func:`plan` goes as far as manifest, lock and cache tell; :func:`build` all the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pixi_ship.activation.link_scripts import link_scripts
from pixi_ship.activation.runner import NotKnownYet
from pixi_ship.assembly import Assembled, assemble, base_facts, check_base, scripts_of
from pixi_ship.bases import Base, choose_base, moved_to, record_base
from pixi_ship.build_record import build_record, take_over
from pixi_ship.builder import Builder, BuiltLayer, Counters, recipes_for
from pixi_ship.cache import Cache
from pixi_ship.delivery import Delivery
from pixi_ship.digest import Digest
from pixi_ship.errors import NotInRegistry, RegistryError, UsageError
from pixi_ship.fetch.archives import Archives
from pixi_ship.from_source import with_built_wheels, with_known_wheels
from pixi_ship.injection import injected
from pixi_ship.layering import KnownLayer, LayerRecipe
from pixi_ship.machine import Machine
from pixi_ship.oci.artifact import Artifact
from pixi_ship.oci.image import Image, ImageIndex
from pixi_ship.oci.reference import Transport
from pixi_ship.oci.stored import StoredImage
from pixi_ship.oci.write import check_writable
from pixi_ship.prefix.merge import Merge
from pixi_ship.progress import SILENCE, Progress
from pixi_ship.registry.push import Transfers
from pixi_ship.registry.registries import Registries, without_login
from pixi_ship.selection import Options, Selection, refuse_unbuildable, select
from pixi_ship.statements import (
    Statement,
    artifact,
    check_statements,
    make_statements,
    write_files,
)
from pixi_ship.version import __version__
from pixi_ship.workspace import Workspace


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """What :func:`plan` found for one platform.

    merge: None while no build has read the packages. assembled: the image that a build would
    give, where every layer is made already and enough of the base was read before.
    """

    selection: Selection
    layers: tuple[tuple[LayerRecipe, KnownLayer | None], ...]
    merge: Merge | None
    assembled: Assembled | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What :func:`plan` found.

    base_digest: what the base's name means. moved_to: what its tag names by now, where that is
    not the locked digest. notes: what could not be found out.
    """

    images: tuple[PlannedImage, ...]
    base: Base
    base_digest: Digest | None
    moved_to: Digest | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """What :func:`build` made for one platform."""

    selection: Selection
    layers: tuple[BuiltLayer, ...]
    merge: Merge
    assembled: Assembled
    record: Artifact


@dataclass(frozen=True, slots=True)
class Build:
    """What :func:`build` made, and what it did for that.

    result: what the references name now; an index where there are several platforms.
    transfers: by the reference that was pushed to.
    """

    images: tuple[BuiltImage, ...]
    result: Image | ImageIndex
    base: StoredImage
    counters: Counters
    transfers: Mapping[str, Transfers]


def plan(
    workspace: Workspace,
    options: Options,
    cache: Cache,
    machine: Machine,
    registries: Registries | None = None,
) -> Plan:
    """Say what would be built. Reads manifest, lock and the cache's notes, no package.

    Of a base in a registry it reads manifest and config; where the registry does not answer,
    the plan says so in its notes. registries: None for those that need no login.
    """
    registries = registries or without_login(cache)
    base, notes = choose_base(options, workspace.root), []
    images = []
    moved, digest = None, None
    with cache.in_use():
        for name in options.platforms:
            selection = select(workspace, options, name, machine)
            stored = None
            try:
                stored = registries.read(base.reference, selection.platform)
                digest = stored.root
                moved = moved_to(base, registries)
            except NotInRegistry:
                raise
            except RegistryError as error:
                # A locked base may be known from the cache; then only its tag is not.
                what = "base" if stored is None else "base's tag"
                notes.append(f"the {what} was not looked at: {error}")
            images.append(_planned(selection, options, cache, machine, stored))
    return Plan(tuple(images), base, digest, moved, tuple(dict.fromkeys(notes)))


def _planned(
    selection: Selection,
    options: Options,
    cache: Cache,
    machine: Machine,
    base: StoredImage | None,
) -> PlannedImage:
    archives = Archives(cache, selection.workspace.root, offline=True)
    selection = injected(selection, options.inject, options.from_prefix, cache, write=False)
    selection = with_known_wheels(selection, options, archives, machine)
    environment = selection.environment
    builder = Builder(cache, archives, selection, options, SILENCE)
    is_whole = not (environment.unbuildable or environment.sources)
    merged = builder.remembered_merge() if is_whole else None
    layers = tuple((recipe, builder.usable(recipe)) for recipe in recipes_for(builder, merged))
    assembled = None if base is None else _foreseen(builder, base, layers, merged, machine)
    return PlannedImage(selection, layers, merged, assembled)


def _foreseen(
    builder: Builder,
    base: StoredImage,
    layers: Sequence[tuple[LayerRecipe, KnownLayer | None]],
    merged: Merge | None,
    machine: Machine,
) -> Assembled | None:
    """The image that a build would give; None where it would have to make or read something."""
    selection, options = builder.selection, builder.options
    local = options.base.transport is not Transport.DOCKER
    try:
        facts = base_facts(base, builder.cache, selection.glibc_requirements, may_read=local)
        check_base(selection, base, facts)
        made = [BuiltLayer(recipe, known, True) for recipe, known in layers if known]
        if merged is None or len(made) < len(layers):
            return None
        return assemble(builder, base, facts, made, merged, machine, may_run=False)
    except NotKnownYet:
        return None


def build(
    workspace: Workspace,
    options: Options,
    cache: Cache,
    machine: Machine,
    registries: Registries | None = None,
    progress: Progress = SILENCE,
    statements: Sequence[Statement] = (),
) -> Build:
    """Make the image, or one for each platform, and write it to every place in ``options.to``.

    Raises PixiShipError before anything is fetched where manifest, lock, base or an output
    already tell that it cannot end well. registries: None for those that need no login.
    statements: what is said of each image besides, into files and registries.
    """
    registries = registries or without_login(cache)
    selections = _selected(workspace, options, machine)
    for reference in options.to:
        check_writable(reference, len(selections))
    check_statements(statements, options.to, len(selections))
    with cache.in_use(make=True):
        cache.sweep()
        for reference in options.cache_from:
            take_over(reference, registries, cache)
        base = choose_base(options, workspace.root)
        bases = [registries.read(base.reference, each.platform) for each in selections]
        counters = Counters()
        whole = [_whole(each, options, cache, machine, progress) for each in selections]
        with Delivery(options, cache, registries, progress) as delivery:
            builders = [
                Builder(cache, archives, selection, options, progress, delivery, counters)
                for selection, archives in whole
            ]
            images = [
                _built(builder, stored, machine, delivery)
                for builder, stored in zip(builders, bases, strict=True)
            ]
            result = _delivered(images, bases, options, statements, delivery)
        record_base(base, bases[0].root, options)
    return Build(tuple(images), result, bases[0], counters, delivery.transfers)


def _selected(workspace: Workspace, options: Options, machine: Machine) -> list[Selection]:
    """The environment on each platform; raises PixiShipError for one that cannot be built."""
    found = [select(workspace, options, name, machine) for name in options.platforms]
    for selection in found:
        if not (options.inject or options.from_prefix):
            refuse_unbuildable(selection.environment)
        scripts_of(selection)
    _check_distinct(found)
    return found


def _delivered(
    images: Sequence[BuiltImage],
    bases: Sequence[StoredImage],
    options: Options,
    statements: Sequence[Statement],
    delivery: Delivery,
) -> Image | ImageIndex:
    """Write what the references shall name, and what is said of each image besides."""
    made = tuple(each.assembled.image for each in images)
    result = made[0] if len(made) == 1 else ImageIndex(made)
    stated = [
        each
        for image, stored in zip(images, bases, strict=True)
        for each in make_statements(
            statements, image.assembled.image, image.selection, stored, options, __version__
        )
    ]
    artifacts = [artifact(each) for each in stated]
    artifacts += [each.record for each in images if options.cache_from]
    delivery.finish(result, artifacts)
    write_files(stated)
    return result


def _check_distinct(selections: Sequence[Selection]) -> None:
    """Raise UsageError where a node could not tell two images of one index apart."""
    names: dict[str, str] = {}
    for selection in selections:
        name, target = selection.environment.platform.name, str(selection.platform)
        if target in names:
            raise UsageError(
                f"platforms {names[target]!r} and {name!r} are both {target}",
                hint="build them one at a time, each with a tag of its own",
            )
        names[target] = name


def _whole(
    selection: Selection, options: Options, cache: Cache, machine: Machine, progress: Progress
) -> tuple[Selection, Archives]:
    """An environment with an archive for every package, and where these archives come from."""
    selection = injected(selection, options.inject, options.from_prefix, cache)
    refuse_unbuildable(selection.environment)
    archives = Archives(cache, selection.workspace.root, options.offline, progress.fetched)
    return with_built_wheels(selection, options, archives, machine, progress), archives


def _built(builder: Builder, base: StoredImage, machine: Machine, delivery: Delivery) -> BuiltImage:
    selection, archives = builder.selection, builder.archives
    facts = base_facts(base, builder.cache, selection.glibc_requirements)
    check_base(selection, base, facts)
    delivery.add_base(base)
    merged = builder.merged()
    # A name that no script has is refused before layers are made.
    link_scripts(selection, merged, builder.options.run_link_scripts)
    built = builder.layers(recipes_for(builder, merged), merged)
    assembled = assemble(builder, base, facts, built, merged, machine)
    builder.counters.archives_fetched += archives.fetched
    builder.counters.archive_bytes_fetched += archives.fetched_bytes
    record = build_record(builder, base, assembled, merged)
    return BuiltImage(selection, assembled.layers, merged, assembled, record)
