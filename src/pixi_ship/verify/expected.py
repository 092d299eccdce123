"""What an image has to be: its layers and its config made again from the archives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace

from pixi_ship.activation.link_layer import link_recipe, link_tree
from pixi_ship.activation.link_scripts import all_link_scripts
from pixi_ship.activation.runner import ScriptRunner
from pixi_ship.assembly import base_facts, check_base, configure, workroom
from pixi_ship.builder import Builder, Compilers, recipes_for
from pixi_ship.digest import Digest, HashingWriter
from pixi_ship.layer.compress import Blocks
from pixi_ship.layer.tar import TarWriter
from pixi_ship.layering import LayerRecipe
from pixi_ship.machine import Machine
from pixi_ship.oci.stored import StoredImage
from pixi_ship.prefix.merge import Merge
from pixi_ship.project_layer import project_layer
from pixi_ship.selection import Options, Selection
from pixi_ship.tree import Tree
from pixi_ship.verification.contents import Node, noted
from pixi_ship.verification.layers import MadeLayer


@dataclass(frozen=True, slots=True)
class Expected:
    """An image made again on a base.

    layers: of ours, the last one too. config: the whole. labels: what a manifest may repeat.
    """

    base: StoredImage
    layers: tuple[MadeLayer, ...]
    config: Mapping[str, object]
    labels: Mapping[str, str]

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The digests of all tars, the base's first."""
        return _diff_ids(self.base, self.layers)


def made_again(builder: Builder, base: StoredImage, machine: Machine) -> Expected:
    """Make everything again from the archives; of its bytes nothing is kept but digests.

    machine: where scripts of activation are run; one without a sandbox for those of an image
    that was made without.
    """
    selection, options, cache = builder.selection, builder.options, builder.cache
    facts = base_facts(base, cache, selection.glibc_requirements)
    check_base(selection, base, facts)
    merged = builder.merged(afresh=True)
    options = _with_scripts_there(options, selection, merged)
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
    with workroom(builder, base, facts, merged, machine) as room:
        with link_tree(room, options.run_link_scripts) as tree:
            if tree is not None:
                layers.append(_made(tree))
                scripts.update(tree.seen)
                recipes = (*recipes, link_recipe(room, options.run_link_scripts))
        if (project := project_layer(selection, options)) is not None:
            recipes = (*recipes, project[0])
            layers.append(_made(project[1]))
        configuration = configure(
            selection, options, base, facts, recipes, scripts, merged, run=ScriptRunner(room)
        )
    layers.append(_made(configuration.tree))
    diff_ids = [str(each) for each in _diff_ids(base, layers)]
    config = {**configuration.config, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    return Expected(base, tuple(layers), config, configuration.labels)


def _with_scripts_there(options: Options, selection: Selection, merged: Merge) -> Options:
    """The options without the link scripts that no package has: no build can have run them."""
    having = all_link_scripts(selection, merged)
    names = tuple(name for name in options.run_link_scripts if name in having)
    return replace(options, run_link_scripts=names)


def _diff_ids(base: StoredImage, layers: Sequence[MadeLayer]) -> tuple[Digest, ...]:
    return (*(each.diff_id for each in base.layers), *(each.diff_id for each in layers))


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
