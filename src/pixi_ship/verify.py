"""Prove an image from the lock: every layer made again from the packages, and compared.

An image holds where its config is, byte for byte, the one that a build would give, and each
layer unpacks to the tar that was made again. Files are compared to say what differs. Of
what an earlier run left in the cache only this is believed: archives, where their digests
are the lock's, and the notes on what a base's layers offer. Layers are streamed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pixi_ship.assembly import OPTIONS_LABEL, base_facts, check_base, configure
from pixi_ship.base_lock import read_base_lock
from pixi_ship.bases import choose_base
from pixi_ship.builder import Builder, Compilers, recipes_for
from pixi_ship.cache import Cache
from pixi_ship.digest import Digest, HashingWriter
from pixi_ship.errors import ImageError, LockError, RequirementError, UsageError
from pixi_ship.fetch.archives import Archives
from pixi_ship.layer.compress import Blocks
from pixi_ship.layer.tar import TarWriter
from pixi_ship.layering import LayerRecipe
from pixi_ship.oci.reference import SCRATCH, Reference, parse_reference
from pixi_ship.oci.stored import StoredImage
from pixi_ship.prefix.bytecode import Interpreter
from pixi_ship.progress import SILENCE, Progress
from pixi_ship.registry.registries import Registries, without_login
from pixi_ship.selection import Options, Selection, refuse_unbuildable, select
from pixi_ship.tree import Tree
from pixi_ship.verification.compare import Difference, compare_layers
from pixi_ship.verification.contents import Node, noted
from pixi_ship.verification.documents import compare_config, compare_manifest
from pixi_ship.verification.layers import MadeLayer, compare_contents, read_layers
from pixi_ship.workspace import Workspace

_BASE_NAME = "org.opencontainers.image.base.name"
_BASE_DIGEST = "org.opencontainers.image.base.digest"
_CUDA = re.compile(r"\d+(\.\d+)*\Z", re.ASCII)
_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person insists on; None is taken from what the image says of itself."""

    environment: str | None = None
    platform: str | None = None
    cuda: str | None = None
    base: Reference | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found out about one image. files: how many paths were compared."""

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
            wanted = f" for platform {asked.platform!r}" if asked.platform else ""
            raise ImageError(
                f"{reference} has no image{wanted}",
                hint=f"it has: {', '.join(each.platform for each in images) or 'none'}",
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
    if asked == Asked() and not any(each.startswith("pixi-ship.") for each in image.labels):
        raise ImageError(
            f"{image.reference} has no labels of pixi-ship, so it was not built by it",
            hint="if it was, and lost them, name what it should be: -e ENV --base REF",
        )
    recorded = _recorded_options(image)
    built = _as_built(options, asked, image, recorded, workspace.root)
    selection = _selected(workspace, built, options, image, interpreters)
    refuse_unbuildable(selection.environment)
    base = registries.read(choose_base(built, workspace.root).reference, selection.platform)
    archives = Archives(cache, workspace.root, built.offline, progress.fetched)
    expected = _expected(Builder(cache, archives, selection, built, progress), base)
    files, differences = _compared(image, base, expected, built.workers)
    notes = [*_bytecode_note(selection, recorded), *_base_note(built.base, options.base)]
    return Verification(image, selection, base, files, tuple(differences), tuple(notes))


@dataclass(frozen=True, slots=True)
class _Expected:
    """Every layer of ours, the last one too, and the config, ``rootfs`` left out."""

    layers: tuple[MadeLayer, ...]
    config: Mapping[str, object]
    labels: Mapping[str, str]


def _expected(builder: Builder, base: StoredImage) -> _Expected:
    """Make everything again from the archives; of its bytes nothing is kept but digests."""
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

        def made(recipe: LayerRecipe) -> MadeLayer:
            tree = builder.tree(recipe, merged, compilers.get())
            found = _made(tree)
            scripts.update(tree.seen)
            return found

        pool = stack.enter_context(ThreadPoolExecutor(options.workers, "verify"))
        layers = list(pool.map(made, recipes))
    configuration = configure(selection, options, base, facts, recipes, scripts, merged)
    layers.append(_made(configuration.tree))
    return _Expected(tuple(layers), configuration.config, configuration.labels)


def _made(tree: Tree) -> MadeLayer:
    """A layer as a build writes it; its bytes are hashed and dropped."""
    rows: list[tuple[str, Node]] = []
    tar = HashingWriter(lambda block: None)
    blocks = Blocks(tar.write)
    writer = TarWriter(blocks.write)
    writer.add_all(noted(tree.entries(), rows))
    writer.close()
    blocks.close()
    return MadeLayer(tuple(rows), tar.digest, tar.size)


def _compared(
    image: StoredImage, base: StoredImage, expected: _Expected, workers: int
) -> tuple[int, list[Difference]]:
    """How many paths were compared, and every difference."""
    there, unread = read_layers(image, expected.layers, workers)
    made = [each.diff_id for each in base.layers] + [each.diff_id for each in expected.layers]
    came = [each.diff_id if each else None for each in there]
    differences = [*unread, *compare_layers(made, image, base, came)]
    files = 0
    if not unread:
        layers = [each for each in there if each]
        files, found = compare_contents(layers, expected.layers, len(base.layers))
        differences += found
    rootfs = {"type": "layers", "diff_ids": [str(each) for each in made]}
    differences += compare_config({**expected.config, "rootfs": rootfs}, image)
    differences += compare_manifest(expected.labels, image)
    return files, differences


def _recorded_options(image: StoredImage) -> Mapping[str, object]:
    try:
        found = json.loads(image.labels.get(OPTIONS_LABEL, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _as_built(
    options: Options,
    asked: Asked,
    image: StoredImage,
    recorded: Mapping[str, object],
    root: Path,
) -> Options:
    """The options of the build, as far as the image tells and nobody insists otherwise.

    What no build could have written counts as not said, and differs as the label that it is.
    """
    labels = image.labels
    most, cuda = recorded.get("max_layers"), labels.get("pixi-ship.cuda", "")
    created = labels.get("org.opencontainers.image.created", "")
    return replace(
        options,
        environment=asked.environment or labels.get("pixi-ship.environment", options.environment),
        platforms=(asked.platform or labels.get("pixi-ship.platform", options.platforms[0]),),
        cuda=asked.cuda or (cuda if _CUDA.match(cuda) else None),
        base=_base(asked.base, image, root),
        max_layers=most if isinstance(most, int) and 2 <= most <= 126 else options.max_layers,
        compile_bytecode=recorded.get("bytecode", "") is not None,
        created=created if _CREATED.match(created) else options.created,
    )


def _selected(
    workspace: Workspace,
    built: Options,
    options: Options,
    image: StoredImage,
    interpreters: Mapping[str, Interpreter],
) -> Selection:
    """The environment that is meant; an error tells where it was the image that named it.

    built: with what the image's labels say. options: without.
    """
    try:
        return select(workspace, built, built.platforms[0], interpreters)
    except (LockError, RequirementError, UsageError) as error:
        said = [
            f"{name} {value!r}"
            for name, value, without in (
                ("environment", built.environment, options.environment),
                ("platform", built.platforms[0], options.platforms[0]),
                ("CUDA", built.cuda, options.cuda),
            )
            if value is not None and value != without
        ]
        if not said:
            raise
        raise ImageError(
            f"reading the labels of {image.reference}: {error}",
            hint=f"they say {', '.join(said)}: insist on others with --environment, --platform "
            "or --cuda",
        ) from error


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
    try:
        recorded = parse_reference(f"docker://{name}") if name else SCRATCH
        digest = Digest.parse(text) if text is not None else None
    except (UsageError, ValueError) as error:
        if asked is not None:
            return asked
        raise ImageError(
            f"reading the labels of {image.reference}: its base: {error}",
            hint="insist on a base with --base",
        ) from None
    base = asked or recorded
    if base != recorded or digest is None or base.digest is not None:
        return base
    if read_base_lock(root).digest(str(base)) is not None:
        return base  # choose_base pins it
    return base.at(digest)


def _bytecode_note(selection: Selection, recorded: Mapping[str, object]) -> list[str]:
    wanted = recorded.get("bytecode")
    have = selection.interpreter.key if selection.interpreter else None
    if wanted is None or wanted == have:
        return []
    return [
        f"the image's bytecode is by {str(wanted)!r}, here is {have or 'none'}: "
        "put that Python on PATH to prove it"
    ]


def _base_note(believed: Reference, known: Reference) -> list[str]:
    """Say so where only the image says which base it has. known: what a build would take."""
    if believed == SCRATCH or replace(believed, digest=None) == replace(known, digest=None):
        return []
    return [f"only the image says that its base is {believed}: insist on one with --base"]
