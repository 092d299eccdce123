"""The layer of what post-link scripts changed, made once and kept like any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pixi_ship.activation.link_scripts import (
    LinkScript,
    link_key,
    link_scripts,
    linked,
    repeated,
)
from pixi_ship.activation.runner import LinkResult, NotKnownYet, Workroom
from pixi_ship.builder import ActivationWatch, BuiltLayer
from pixi_ship.layering import LayerRecipe, has_blob
from pixi_ship.oci.blob import Blob, Layer, Stretch
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.rootfs import LayerTree
from pixi_ship.tree import Tree

LINK = "post-link"  # the kind of note in the cache with what scripts want said


@dataclass(frozen=True, slots=True)
class Linked:
    """The layer, None where the scripts changed nothing; and what they want said."""

    layer: BuiltLayer | None
    notes: tuple[str, ...]


def link_layer(room: Workroom, names: Sequence[str]) -> Linked:
    """Have the layer of these packages' post-link scripts.

    Raises UsageError, ActivationError, SandboxError; NotKnownYet where they would have to be run
    and may not.
    """
    scripts = link_scripts(room.builder.selection, room.merged, names)
    if not scripts:
        return Linked(None, ())
    recipe = link_recipe(room, names)
    found = _remembered(room, recipe) or _made(room, recipe, scripts)
    if (layer := found.layer) is not None:
        room.link_result = LinkResult(recipe.key, lambda: _opened(room, scripts, layer))
    return found


def _made(room: Workroom, recipe: LayerRecipe, scripts: Sequence[LinkScript]) -> Linked:
    builder = room.builder
    if not room.may_run:
        raise NotKnownYet("post-link scripts were not run yet")
    with linked(room, scripts) as changes:
        notes = (*changes.notes, *repeated(room, scripts, changes))
        is_empty = not changes.places
        layer = None if is_empty else builder.layer_of(recipe, changes)
    builder.cache.write_note(LINK, recipe.key, {"notes": list(notes), "empty": is_empty})
    return Linked(layer, notes)


@contextmanager
def _opened(room: Workroom, scripts: Sequence[LinkScript], layer: BuiltLayer) -> Iterator[Tree]:
    """The tree of the layer; the scripts are run anew where its bytes are no longer here."""
    builder, known = room.builder, layer.known
    if not has_blob(builder.cache, known):
        with linked(room, scripts) as changes:
            yield changes
        return
    descriptor = Descriptor(builder.options.compression.media_type, known.digest, known.size)
    blob = Blob(descriptor, Stretch(builder.cache.blob(known.digest)))
    yield LayerTree(Layer(blob, known.diff_id, known.uncompressed_size))


@contextmanager
def link_tree(room: Workroom, names: Sequence[str]) -> Iterator[ActivationWatch | None]:
    """The tree of that layer, made afresh; None where it would be empty."""
    scripts = link_scripts(room.builder.selection, room.merged, names)
    if not scripts:
        yield None
        return
    with linked(room, scripts) as changes:
        if not changes.places:
            yield None
            return
        # Gone with this block, and wanted after it: then they are run once more.
        room.link_result = LinkResult(link_recipe(room, names).key, lambda: linked(room, scripts))
        yield ActivationWatch([changes], room.builder.selection.prefix)


def link_recipe(room: Workroom, names: Sequence[str]) -> LayerRecipe:
    """That layer before it is made."""
    scripts = link_scripts(room.builder.selection, room.merged, names)
    key = link_key(room, scripts, room.builder.options.compression.key)
    return _recipe(key, scripts)


def _recipe(key: str, scripts: Sequence[LinkScript]) -> LayerRecipe:
    names = tuple(f"post-link:{each.package.file_name}" for each in scripts)
    return LayerRecipe(key=key, members=(), names=names, archive_size=0, with_python=frozenset())


def _remembered(room: Workroom, recipe: LayerRecipe) -> Linked | None:
    builder = room.builder
    note = builder.cache.note(LINK, recipe.key)
    said = note.get("notes") if note else None
    if note is None or not isinstance(said, list):
        return None
    notes = tuple(str(each) for each in said)
    if note.get("empty") is True:
        return Linked(None, notes)
    layer = builder.reused(recipe)
    return None if layer is None else Linked(layer, notes)
