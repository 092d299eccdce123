"""Make the layers that are not there yet, several at once, each in one pass."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from pixi_ship.cache import Cache
from pixi_ship.errors import PixiShipError
from pixi_ship.fetch.archives import Archives
from pixi_ship.layer.write import WrittenLayer, write_layer
from pixi_ship.layering import (
    KnownLayer,
    LayerRecipe,
    environment_key,
    has_blob,
    known_layer,
    layer_recipes,
    package_key,
)
from pixi_ship.lock.model import CondaPackage, LockedPackage
from pixi_ship.package.archive import CondaArchive
from pixi_ship.package.metadata import read_metadata
from pixi_ship.prefix.bytecode import Compiler, Interpreter
from pixi_ship.prefix.conda import CondaTree, installed_paths
from pixi_ship.prefix.layout import PrefixLayout
from pixi_ship.prefix.merge import Merge, merge
from pixi_ship.prefix.wheel import WheelTree, wheel_paths
from pixi_ship.progress import Progress
from pixi_ship.redaction import redacted
from pixi_ship.selection import Options, Selection
from pixi_ship.tree import Entry, File, Tree

# Kinds of notes in the cache: how packages share the prefix, and what each one writes.
MERGE, PATHS = "merge", "paths"

# A byte of an archive of sources takes as long as so many of one of libraries (SymPy, PyTorch).
_COMPILING = 30
_MAX_ACTIVATION_FILE = 1 << 20
_ACTIVATION = ("etc/conda/activate.d/", "etc/conda/env_vars.d/")


class Interrupted(PixiShipError):
    """The person at the keyboard stopped the work."""

    exit_code = 130


@dataclass(slots=True)
class Counters:
    """What a build did, for ``--json`` and for tests that nothing was done twice."""

    archives_fetched: int = 0
    archive_bytes_fetched: int = 0
    packages_read: int = 0
    layers_built: int = 0
    layers_reused: int = 0
    uncompressed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class BuiltLayer:
    """A layer recipe and what the cache holds for it."""

    recipe: LayerRecipe
    known: KnownLayer
    reused: bool


@dataclass(frozen=True, slots=True)
class _Paths:
    """Where a package's files go, below the prefix; and the size of its archive in bytes."""

    paths: tuple[str, ...]
    size: int


class Destinations(Protocol):
    """Where layers go as soon as they are there."""

    def has(self, layer: KnownLayer) -> bool:
        """Whether every place has the layer already, so that its bytes are not needed here."""

    def add(self, layer: KnownLayer) -> None:
        """The layer is in the cache, or every place has it. Called from several threads."""


class Later:
    """Layers wait until the image is whole."""

    def has(self, layer: KnownLayer) -> bool:
        """No place is asked."""
        return False

    def add(self, layer: KnownLayer) -> None:
        """Nothing is done yet."""


@dataclass(slots=True)
class Builder:
    """Everything that the steps of one build share."""

    cache: Cache
    archives: Archives
    selection: Selection
    options: Options
    progress: Progress
    destinations: Destinations = field(default_factory=Later)
    counters: Counters = field(default_factory=Counters)
    stop: threading.Event = field(default_factory=threading.Event)

    def merged(self, *, afresh: bool = False) -> Merge:
        """How the packages share the prefix: remembered, or found out from the archives.

        afresh: do not believe what an earlier build noted.
        """
        if not afresh and (merge_known := self.remembered_merge()) is not None:
            return merge_known
        packages = self.selection.packages
        noted = [None if afresh else self._noted_paths(each) for each in packages]
        pairs = list(zip(packages, noted, strict=True))
        self.archives.get_all([package for package, known in pairs if known is None])
        read = [known or self._read_paths(package) for package, known in pairs]
        boundary = len(self.selection.environment.conda)
        paths = [each.paths for each in read]
        names = [package.file_name for package in packages]
        found = merge(names, paths[:boundary], paths[boundary:], [each.size for each in read])
        key = environment_key(self.selection, self.archives)
        self.cache.write_note(MERGE, key, found.to_json())
        return found

    def remembered_merge(self) -> Merge | None:
        """The merge from an earlier build of the same packages, if there was one."""
        note = self.cache.note(MERGE, environment_key(self.selection, self.archives))
        if note is None:
            return None
        try:
            found = Merge.from_json(note)
        except (KeyError, TypeError, ValueError):
            return None
        return found if len(found.sizes) == len(self.selection.packages) else None

    def _noted_paths(self, package: LockedPackage) -> _Paths | None:
        key = package_key(self.selection, self.archives.identity(package))
        note = self.cache.note(PATHS, key) or {}
        paths, size = note.get("paths"), note.get("size")
        if isinstance(paths, list) and isinstance(size, int):
            return _Paths(tuple(paths), size)
        return None

    def _read_paths(self, package: LockedPackage) -> _Paths:
        archive = self.archives.get(package).path
        if isinstance(package, CondaPackage):
            metadata = read_metadata(CondaArchive(archive, package.file_name))
            paths = installed_paths(metadata, self.selection.python)
        else:
            layout = PrefixLayout(self.selection.prefix, self.selection.python)
            paths = wheel_paths(package.file_name, archive, layout)
        self.counters.packages_read += 1
        key = package_key(self.selection, self.archives.identity(package))
        size = archive.stat().st_size
        self.cache.write_note(PATHS, key, {"paths": list(paths), "size": size})
        return _Paths(paths, size)

    def layers(self, recipes: Sequence[LayerRecipe], merged: Merge) -> list[BuiltLayer]:
        """Every layer, made or taken from the cache, in the order of the recipes."""
        known = {recipe.key: self.usable(recipe) for recipe in recipes}
        missing = [recipe for recipe in recipes if known[recipe.key] is None]
        self.progress.expect(
            packages=sum(len(recipe.members) for recipe in missing),
            layers=len(missing),
            archive_bytes=sum(recipe.archive_size for recipe in missing),
        )
        for recipe in recipes:
            if (found := known[recipe.key]) is not None:
                self.destinations.add(found)
                self.progress.layer_done(recipe.title, found.size, reused=True)
        made = self._make(missing, merged)
        self.counters.layers_built += len(made)
        self.counters.layers_reused += len(recipes) - len(made)
        return [
            BuiltLayer(
                recipe, made.get(recipe.key) or _certain(known[recipe.key]), recipe.key not in made
            )
            for recipe in recipes
        ]

    def layer_of(self, recipe: LayerRecipe, tree: Tree) -> BuiltLayer:
        """A layer of what is no package: taken from the cache, or made of a tree."""
        if (reused := self.reused(recipe)) is not None:
            return reused
        known = self.store(recipe, ActivationWatch([tree], self.selection.prefix))
        self.counters.layers_built += 1
        return BuiltLayer(recipe, known, reused=False)

    def reused(self, recipe: LayerRecipe) -> BuiltLayer | None:
        """A layer that was made earlier, sent on its way; None where it has to be made."""
        known = self.usable(recipe)
        if known is None:
            return None
        self.destinations.add(known)
        self.progress.layer_done(recipe.title, known.size, reused=True)
        self.counters.layers_reused += 1
        return BuiltLayer(recipe, known, reused=True)

    def usable(self, recipe: LayerRecipe) -> KnownLayer | None:
        """A layer made earlier whose bytes are here, or already where they shall go."""
        known = known_layer(self.cache, recipe.key)
        if known is not None and (has_blob(self.cache, known) or self.destinations.has(known)):
            return known
        return None

    def _make(self, missing: Sequence[LayerRecipe], merged: Merge) -> dict[str, KnownLayer]:
        if not missing:
            return {}
        with ExitStack() as stack:
            compilers = Compilers(self.selection.interpreter, stack)
            pool = stack.enter_context(
                ThreadPoolExecutor(self.options.workers, thread_name_prefix="layer")
            )
            # The longest first, so that it does not run alone at the end.
            order = sorted(missing, key=lambda recipe: -self._work(recipe, merged))
            futures = {
                recipe.key: pool.submit(self._make_one, recipe, merged, compilers)
                for recipe in order
            }
            try:
                wait(futures.values(), return_when=FIRST_EXCEPTION)
                for future in futures.values():
                    if future.done() and (error := future.exception()) is not None:
                        raise error
                return {key: future.result() for key, future in futures.items()}
            except BaseException:
                self.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _work(self, recipe: LayerRecipe, merged: Merge) -> int:
        """How long a layer takes, as bytes of archives from which nothing has to be compiled."""
        compiles = self.selection.interpreter is not None
        return sum(
            merged.sizes[index]
            * (_COMPILING if compiles and _without_bytecode(self.selection.packages[index]) else 1)
            for index in recipe.members
        )

    def _make_one(self, recipe: LayerRecipe, merged: Merge, compilers: Compilers) -> KnownLayer:
        return self.store(recipe, self.tree(recipe, merged, compilers.get()))

    def store(self, recipe: LayerRecipe, tree: ActivationWatch) -> KnownLayer:
        """Write a layer into the cache, note it by its key, and send it on its way."""
        with self.cache.temporary() as file:
            written = write_layer(tree, file.write, self.options.compression, self._packed)
            self.cache.keep(file, self.cache.blob(written.digest))
        known = _known(written, tree.seen)
        with self.cache.writing(self.cache.layer(recipe.key, "tree")) as listing:
            listing.write("".join(f"{row}\n" for row in written.listing).encode())
        self.cache.write_json(self.cache.layer(recipe.key, "json"), layer_note(recipe, known))
        self.counters.uncompressed_bytes += written.uncompressed_size
        self.destinations.add(known)
        self.progress.layer_done(recipe.title, written.size, reused=False)
        return known

    def _packed(self, size: int) -> None:
        if self.stop.is_set():
            raise Interrupted("stopped")
        self.progress.packed(size)

    def tree(
        self, recipe: LayerRecipe, merged: Merge, compiler: Compiler | None
    ) -> ActivationWatch:
        """The files of a layer's packages, one package after the other."""
        trees: list[Tree] = []
        for index in recipe.members:
            package = self.selection.packages[index]
            layout = PrefixLayout(
                self.selection.prefix,
                self.selection.python if index in recipe.with_python else None,
                compiler if index in recipe.with_python else None,
            )
            placement = merged.placements[index]
            archive = self.archives.get(package).path
            self.counters.packages_read += 1
            if isinstance(package, CondaPackage):
                url = redacted(package.location)
                trees.append(CondaTree(package, archive, layout, placement, url))
            else:
                trees.append(WheelTree(package.file_name, archive, layout, placement))
        return ActivationWatch(trees, self.selection.prefix)


class Compilers:
    """One running interpreter for each thread that wants bytecode."""

    def __init__(self, interpreter: Interpreter | None, stack: ExitStack) -> None:
        self._interpreter = interpreter
        self._stack = stack
        self._lock = threading.Lock()
        self._local = threading.local()

    def get(self) -> Compiler | None:
        """The calling thread's own; None where nothing is compiled."""
        if self._interpreter is None:
            return None
        if not hasattr(self._local, "compiler"):
            self._local.compiler = Compiler(self._interpreter)
            with self._lock:
                self._stack.callback(self._local.compiler.close)
        compiler: Compiler = self._local.compiler
        return compiler


class ActivationWatch:
    """Trees one after the other, keeping a copy of the small files that activation reads."""

    def __init__(self, trees: Sequence[Tree], prefix: str) -> None:
        self._trees = trees
        self._root = f"{prefix[1:]}/"
        self.seen: dict[str, str] = {}

    def entries(self) -> Iterator[Entry]:
        """The entries of every tree; ``seen`` is whole when they are all taken."""
        for tree in self._trees:
            for entry in tree.entries():
                path = entry.path.removeprefix(self._root)
                if isinstance(entry, File) and path.startswith(_ACTIVATION):
                    if entry.size > _MAX_ACTIVATION_FILE:
                        raise PixiShipError(f"the activation script {path!r} is too large")
                    data = b"".join(entry.content)
                    self.seen[path] = data.decode("utf-8", "replace")
                    yield File(entry.path, entry.mode, entry.size, (data,))
                else:
                    yield entry


def _certain(known: KnownLayer | None) -> KnownLayer:
    if known is None:
        raise AssertionError("a layer is either known or was made")
    return known


def _known(written: WrittenLayer, activation: Mapping[str, str]) -> KnownLayer:
    return KnownLayer(
        written.digest,
        written.size,
        written.diff_id,
        written.uncompressed_size,
        written.files,
        activation,
    )


def layer_note(recipe: LayerRecipe, known: KnownLayer) -> dict[str, object]:
    """What the cache keeps of a layer; ``layering.layer_record`` reads it."""
    return {
        "digest": str(known.digest),
        "size": known.size,
        "diff_id": str(known.diff_id),
        "uncompressed_size": known.uncompressed_size,
        "files": known.files,
        "activation": dict(known.activation),
        "packages": list(recipe.names),
    }


def _without_bytecode(package: LockedPackage) -> bool:
    """Whether it is for all versions of Python, as what has no code of a machine usually is."""
    if isinstance(package, CondaPackage):
        return package.subdir == "noarch"
    return package.file_name.endswith("-none-any.whl")


def recipes_for(builder: Builder, merged: Merge | None) -> tuple[LayerRecipe, ...]:
    """The layers to make; a forecast where it is not known yet who contests what."""
    return layer_recipes(builder.selection, builder.archives, merged, builder.options)
