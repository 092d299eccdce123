"""Prove an image from the lock: every file made again from its package, and compared.

Nothing the image says of its files is believed, and nothing that an earlier build left in
the cache but the archives, which are held against the lock's digests. Layers are streamed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pixi_ship.assembly import OPTIONS_LABEL, base_facts, check_base, configure
from pixi_ship.base_lock import read_base_lock
from pixi_ship.bases import choose_base
from pixi_ship.builder import Builder, Compilers, recipes_for
from pixi_ship.cache import Cache
from pixi_ship.digest import Digest
from pixi_ship.errors import DigestMismatch, ImageError, PixiShipError
from pixi_ship.fetch.archives import Archives
from pixi_ship.layering import LayerRecipe
from pixi_ship.oci.blob import Layer
from pixi_ship.oci.reference import SCRATCH, Reference, parse_reference
from pixi_ship.oci.stored import StoredImage
from pixi_ship.prefix.bytecode import Interpreter
from pixi_ship.progress import SILENCE, Progress
from pixi_ship.registry.registries import Registries, without_login
from pixi_ship.selection import Options, Selection, refuse_unbuildable, select
from pixi_ship.verification.compare import Difference, compare_config, compare_files, compare_layers
from pixi_ship.verification.contents import Node, Root, tree_rows
from pixi_ship.verification.stored_layer import StoredLayer, read_layer
from pixi_ship.workspace import Workspace

_BASE_NAME = "org.opencontainers.image.base.name"
_BASE_DIGEST = "org.opencontainers.image.base.digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person insists on; None is taken from what the image says of itself."""

    environment: str | None = None
    platform: str | None = None
    cuda: str | None = None
    base: Reference | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found out about one image. files: how many were compared."""

    image: StoredImage
    selection: Selection
    base: StoredImage
    files: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the image is what its lock says."""
        return not self.differences


def verify(
    workspace: Workspace,
    reference: Reference,
    options: Options,
    asked: Asked,
    cache: Cache,
    interpreters: Mapping[str, Interpreter],
    registries: Registries | None = None,
    progress: Progress = SILENCE,
) -> list[Verification]:
    """Hold an image against the workspace's lock, for each platform it has.

    options: what ``asked`` and the image leave open. Raises PixiShipError where it cannot be
    told, such as for a package that cannot be fetched.
    """
    registries = registries or without_login(cache)
    with cache.in_use(make=True):
        images = registries.read_all(reference)
        chosen = [each for each in images if _is_asked(each, asked)]
        if not chosen:
            raise ImageError(
                f"{reference} has no image for platform {asked.platform!r}",
                hint=f"it has: {', '.join(each.platform for each in images)}",
            )
        return [
            _verified(workspace, image, options, asked, cache, interpreters, registries, progress)
            for image in chosen
        ]


def _is_asked(image: StoredImage, asked: Asked) -> bool:
    there = image.labels.get("pixi-ship.platform")
    return asked.platform is None or there is None or there == asked.platform


def _verified(
    workspace: Workspace,
    image: StoredImage,
    options: Options,
    asked: Asked,
    cache: Cache,
    interpreters: Mapping[str, Interpreter],
    registries: Registries,
    progress: Progress,
) -> Verification:
    recorded = _recorded_options(image)
    options = _as_built(options, asked, image, recorded, workspace.root)
    selection = select(workspace, options, options.platforms[0], interpreters)
    refuse_unbuildable(selection.environment)
    base = registries.read(choose_base(options, workspace.root).reference, selection.platform)
    archives = Archives(cache, workspace.root, options.offline, progress.fetched)
    builder = Builder(cache, archives, selection, options, progress)
    expected = _expected(builder, base)
    there, unread = _read_layers(image, options.workers)
    differences = list(unread)
    ours = len(expected.layers)
    differences += compare_layers(
        image, base, ours, [each.diff_id if each else None for each in there]
    )
    differences += compare_config(expected.config, image.config)
    files = 0
    if not unread:
        got, odd = _laid_over(there, len(base.layers), expected.layers)
        files = len(got[1])
        differences += [Difference("file", text, None, "an odd entry") for text in odd]
        differences += compare_files(*got)
    notes = _notes(selection, recorded)
    return Verification(image, selection, base, files, tuple(differences), notes)


@dataclass(frozen=True, slots=True)
class _Expected:
    """The rows of every layer of ours, the last one's too, and the config."""

    layers: tuple[tuple[tuple[str, Node], ...], ...]
    config: Mapping[str, object]


def _expected(builder: Builder, base: StoredImage) -> _Expected:
    """Make everything again from the archives, as files rather than as tars."""
    selection, options, cache = builder.selection, builder.options, builder.cache
    facts = base_facts(base, cache, selection.glibc_requirements)
    if facts is None:
        raise AssertionError("a base that may be read is read")
    check_base(selection, base, facts)
    merged = builder.merged(afresh=True)
    recipes = recipes_for(builder, merged)
    scripts: dict[str, str] = {}
    with ExitStack() as stack:
        compilers = Compilers(selection.interpreter, stack)

        def rows(recipe: LayerRecipe) -> tuple[tuple[str, Node], ...]:
            tree = builder.tree(recipe, merged, compilers.get())
            found = tuple(tree_rows(tree.entries()))
            scripts.update(tree.seen)
            return found

        pool = stack.enter_context(ThreadPoolExecutor(options.workers, "verify"))
        layers = list(pool.map(rows, recipes))
    made = configure(selection, options, base, facts, recipes, scripts, merged)
    layers.append(tuple(tree_rows(made.tree.entries())))
    return _Expected(tuple(layers), made.config)


def _read_layers(
    image: StoredImage, workers: int
) -> tuple[list[StoredLayer | None], list[Difference]]:
    """Every layer streamed through; what cannot be read is a difference, not the end."""

    def read(layer: Layer) -> StoredLayer | PixiShipError:
        try:
            return read_layer(layer)
        except (DigestMismatch, ImageError) as error:
            return error

    with ThreadPoolExecutor(workers, "layers") as pool:
        found = list(pool.map(read, image.layers))
    differences = [
        Difference("layer", f"layer {place}", str(layer.descriptor.digest), str(error))
        for place, (layer, error) in enumerate(zip(image.layers, found, strict=True), 1)
        if isinstance(error, PixiShipError)
    ]
    return [each if isinstance(each, StoredLayer) else None for each in found], differences


def _laid_over(
    there: Sequence[StoredLayer | None],
    base_layers: int,
    expected: Sequence[Sequence[tuple[str, Node]]],
) -> tuple[tuple[dict[str, Node], dict[str, Node]], list[str]]:
    """Both root filesystems whole: wanted and got, and what is odd about the image's layers.

    The base's files are the image's own; that they are the base's is proven by its layers.
    """
    got, odd = Root(), []
    for layer in there[:base_layers]:
        got.lay_over(layer.rows if layer else ())
    want = got.copy()
    for rows in expected:
        want.lay_over(rows)
    for layer in there[base_layers:]:
        odd += [*layer.odd, *got.lay_over(layer.rows)] if layer else []
    return (want.nodes(), got.nodes()), odd


def _recorded_options(image: StoredImage) -> Mapping[str, object]:
    try:
        found = json.loads(image.labels.get(OPTIONS_LABEL, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _as_built(
    options: Options,
    asked: Asked,
    image: StoredImage,
    recorded: Mapping[str, object],
    root: Path,
) -> Options:
    """The options of the build, as far as the image tells and nobody insists otherwise."""
    labels = image.labels
    most = recorded.get("max_layers")
    return replace(
        options,
        environment=asked.environment or labels.get("pixi-ship.environment", options.environment),
        platforms=(asked.platform or labels.get("pixi-ship.platform", options.platforms[0]),),
        cuda=asked.cuda or labels.get("pixi-ship.cuda"),
        base=_base(asked.base, image, root),
        max_layers=most if isinstance(most, int) and 2 <= most <= 126 else options.max_layers,
        compile_bytecode=recorded.get("bytecode") is not None,
        created=labels.get("org.opencontainers.image.created", options.created),
    )


def _base(asked: Reference | None, image: StoredImage, root: Path) -> Reference:
    """The base to hold the image against.

    The digest that the image names counts only where neither the person nor the workspace's
    base lock knows better.
    """
    name, text = image.labels.get(_BASE_NAME), image.labels.get(_BASE_DIGEST)
    if asked is None and name is None and text is not None:
        raise ImageError(
            f"{image.reference} was built on a base that is in no registry",
            hint="name it: --base oci:DIR",
        )
    recorded = parse_reference(f"docker://{name}") if name else SCRATCH
    base = asked or recorded
    if base != recorded or text is None or base.digest is not None:
        return base
    if read_base_lock(root).digest(str(base)) is not None:
        return base  # choose_base pins it
    try:
        return base.at(Digest.parse(text))
    except ValueError as error:
        raise ImageError(f"reading {image.reference}: the digest of its base: {error}") from None


def _notes(selection: Selection, recorded: Mapping[str, object]) -> tuple[str, ...]:
    wanted = recorded.get("bytecode")
    have = selection.interpreter.key if selection.interpreter else None
    if wanted is not None and wanted != have:
        return (
            f"the image's bytecode is by {str(wanted)!r}, here is {have or 'none'}: "
            "put that Python on PATH to prove it",
        )
    return ()
