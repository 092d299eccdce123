"""An environment as layer recipes, and what the cache knows of each by its key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pixi_ship.cache import Cache
from pixi_ship.digest import Digest
from pixi_ship.errors import UsageError
from pixi_ship.fetch.archives import Archives
from pixi_ship.layer.split import Unit, split
from pixi_ship.lock.model import CondaPackage, LockedPackage
from pixi_ship.prefix.merge import Merge
from pixi_ship.redaction import redacted_document
from pixi_ship.selection import Options, Selection

# Part of every layer's key: raise it whenever the same package would give other bytes.
LAYER_FORMAT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecipe:
    """A layer before it is made: ``key`` names its bytes, ``members`` index the packages."""

    key: str
    members: tuple[int, ...]
    names: tuple[str, ...]
    archive_size: int
    with_python: frozenset[int]

    @property
    def title(self) -> str:
        """How progress and history call it."""
        more = f" and {len(self.names) - 1} more" if len(self.names) > 1 else ""
        return self.names[0] + more


def environment_key(selection: Selection, archives: Archives) -> str:
    """Names everything that a :class:`~pixi_ship.prefix.merge.Merge` depends on."""
    rows = [archives.identity(package) for package in selection.packages]
    return key_of(["merge", LAYER_FORMAT, _place_of_python(selection), rows])


def package_key(selection: Selection, identity: str) -> str:
    """Names the list of paths of one package."""
    return key_of(["paths", LAYER_FORMAT, _place_of_python(selection), identity])


def _place_of_python(selection: Selection) -> list[str]:
    python = selection.python
    return [python.site_packages, python.short_version] if python else []


def layer_recipes(
    selection: Selection, archives: Archives, merge: Merge | None, options: Options
) -> tuple[LayerRecipe, ...]:
    """Split the environment into layers and give each its key.

    merge: None while it is not known which packages contest paths; layers are then a forecast.
    """
    packages = selection.packages
    joined = merge.groups if merge else ()
    sizes = merge.sizes if merge else tuple(package.size or 0 for package in packages)
    units = [_units(packages, sizes, indices, joined) for indices in _ranges(selection, joined)]
    budgets = _budgets(len(units), options.max_layers)
    return tuple(
        _recipe(selection, archives, merge, members, sizes, options)
        for each, budget in zip(units, budgets, strict=True)
        for members in split(each, budget)
    )


def _ranges(selection: Selection, joined: Sequence[frozenset[int]]) -> list[range]:
    """Conda packages, wheels, wheels that were built here: the most stable first.

    Where one lies over another's file they share a layer, so that boundary falls.
    """
    environment = selection.environment
    built = sum(package.source is not None for package in environment.pypi)
    count = len(selection.packages)
    bounds = {0, len(environment.conda), count - built, count}
    kept = [
        bound
        for bound in sorted(bounds)
        if not any(min(group) < bound <= max(group) for group in joined)
    ]
    return [range(*pair) for pair in pairwise(kept)]


def _budgets(count: int, max_layers: int) -> list[int]:
    """Share the layers between kinds of packages; one is kept for the configuration."""
    usable = max_layers - 1
    if usable < count:
        raise UsageError(
            f"--max-layers {max_layers} is too few", hint=f"at least {count + 1} are needed"
        )
    # Fixed shares: were they in proportion, adding one package could regroup all others.
    shares: list[int] = []
    for number in range(count - 1, 0, -1):
        shares.insert(0, max(1, usable // 4 if number == 1 else usable // 8))
    return [usable - sum(shares), *shares] if count else []


def _units(
    packages: Sequence[LockedPackage],
    sizes: Sequence[int],
    indices: range,
    joined: Sequence[frozenset[int]],
) -> list[Unit]:
    group_of = {index: group for group in joined for index in group}
    units = []
    for index in indices:
        group = sorted(group_of.get(index, {index}))
        if group[0] == index:
            size = sum(sizes[each] for each in group)
            units.append(Unit(packages[index].name, size, tuple(group)))
    return units


def _recipe(
    selection: Selection,
    archives: Archives,
    merge: Merge | None,
    members: tuple[int, ...],
    sizes: Sequence[int],
    options: Options,
) -> LayerRecipe:
    packages = [selection.packages[index] for index in members]
    with_python = frozenset(
        index for index in members if _depends_on_python(selection.packages[index])
    )
    rows = []
    for index in members:
        package = selection.packages[index]
        placement = merge.placements[index] if merge else None
        rows.append(
            [
                archives.identity(package),
                package.file_name,
                _metadata_digest(package),
                index in with_python,
                sorted(placement.moved.items()) if placement else [],
                sorted(placement.dropped) if placement else [],
            ]
        )
    python: list[str | None] = []
    if with_python and selection.python:
        compiler = selection.interpreter.key if selection.interpreter else None
        python = [selection.python.short_version, selection.python.site_packages, compiler]
    key = key_of([LAYER_FORMAT, selection.prefix, options.compression.key, python, rows])
    return LayerRecipe(
        key=key,
        members=members,
        names=tuple(package.file_name for package in packages),
        archive_size=sum(sizes[index] for index in members),
        with_python=with_python,
    )


def _depends_on_python(package: LockedPackage) -> bool:
    """Whether the bytes of a package's layer depend on which Python the environment has."""
    if not isinstance(package, CondaPackage) or package.subdir == "noarch":
        return True
    names = {dependency.split(" ", 1)[0] for dependency in package.depends}
    return package.name == "python" or not names.isdisjoint({"python", "python_abi"})


def _metadata_digest(package: LockedPackage) -> str:
    """The lock's record ends up in ``conda-meta``, so it is part of the layer."""
    if not isinstance(package, CondaPackage):
        return ""
    text = redacted_document(json.dumps(package.metadata, sort_keys=True))
    return hashlib.sha256(text.encode()).hexdigest()


def key_of(parts: object) -> str:
    """The key that names what these parts, as JSON, say."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class KnownLayer:
    """What the cache knows of a layer made earlier."""

    digest: Digest
    size: int
    diff_id: Digest
    uncompressed_size: int
    files: int
    activation: Mapping[str, str]


def known_layer(cache: Cache, key: str) -> KnownLayer | None:
    """The record of a layer made once; its blob need not be in the cache any more."""
    note = cache.layer_note(key)
    return layer_record(note) if note is not None else None


def has_blob(cache: Cache, layer: KnownLayer) -> bool:
    """Whether the cache holds a layer's bytes, by their size."""
    try:
        return cache.blob(layer.digest).stat().st_size == layer.size
    except OSError:
        return False


def layer_record(note: Mapping[str, object]) -> KnownLayer | None:
    """What a layer's note says; None for what is no such note."""
    try:
        activation = note["activation"]
        return KnownLayer(
            Digest.parse(str(note["digest"])),
            int(str(note["size"])),
            Digest.parse(str(note["diff_id"])),
            int(str(note["uncompressed_size"])),
            int(str(note["files"])),
            activation if isinstance(activation, dict) else {},
        )
    except (KeyError, ValueError):
        return None


def listing(cache: Cache, key: str) -> tuple[str, ...] | None:
    """The files of a layer made earlier: ``kind mode size path``, one a row."""
    path: Path = cache.layer(key, "tree")
    try:
        return tuple(path.read_text().splitlines())
    except OSError:
        return None
