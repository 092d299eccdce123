"""The layer of what post-link scripts changed, made once and kept like any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pixi_ship.activation.link_scripts import LinkScript, link_key, link_scripts, linked
from pixi_ship.activation.runner import NotKnownYet, Workroom
from pixi_ship.builder import ActivationWatch, BuiltLayer
from pixi_ship.layering import LayerRecipe

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
    builder = room.builder
    scripts = link_scripts(builder.selection, room.merged, names)
    if not scripts:
        return Linked(None, ())
    recipe = link_recipe(room, names)
    if (remembered := _remembered(room, recipe)) is not None:
        return remembered
    if not room.may_run:
        raise NotKnownYet("post-link scripts were not run yet")
    with linked(room, scripts) as changes:
        notes = changes.notes
        is_empty = not changes.entries_by_path
        layer = None if is_empty else builder.layer_of(recipe, changes)
    builder.cache.write_note(LINK, recipe.key, {"notes": list(notes), "empty": is_empty})
    return Linked(layer, notes)


@contextmanager
def link_tree(room: Workroom, names: Sequence[str]) -> Iterator[ActivationWatch | None]:
    """The tree of that layer, made afresh; None where it would be empty."""
    scripts = link_scripts(room.builder.selection, room.merged, names)
    if not scripts:
        yield None
        return
    with linked(room, scripts) as changes:
        is_empty = not changes.entries_by_path
        yield None if is_empty else ActivationWatch([changes], room.builder.selection.prefix)


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
