"""The layer of the project's own files: after the packages, since it changes most often."""

from __future__ import annotations

from pixi_ship.layering import LAYER_FORMAT, LayerRecipe, key_of
from pixi_ship.project.files import ProjectTree, read_files
from pixi_ship.selection import Options, Selection


def project_layer(selection: Selection, options: Options) -> tuple[LayerRecipe, ProjectTree] | None:
    """The layer and what is in it, None where nothing is taken along.

    Reads every file once, for its digest; raises ProjectError.
    """
    if not selection.project.files:
        return None
    files = read_files(selection.project)
    recipe = LayerRecipe(
        key=key_of(["project", LAYER_FORMAT, options.compression.key, str(files.digest)]),
        members=(),
        names=("project files",),
        archive_size=files.size,
        with_python=frozenset(),
    )
    return recipe, ProjectTree(files)
