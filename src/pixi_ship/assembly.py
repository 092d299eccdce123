"""Put base, layers and configuration together into an image."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pixi_ship.activation.link_layer import link_layer
from pixi_ship.activation.manifest import manifest_scripts
from pixi_ship.activation.runner import NotKnownYet, ScriptRunner, Workroom
from pixi_ship.builder import Builder, BuiltLayer
from pixi_ship.cache import Cache
from pixi_ship.errors import RequirementError
from pixi_ship.layer.compress import Compression
from pixi_ship.layer.write import write_layer
from pixi_ship.layering import LAYER_FORMAT, KnownLayer, LayerRecipe
from pixi_ship.machine import Machine
from pixi_ship.oci.base import LayerContents, inspect_layer
from pixi_ship.oci.blob import Blob, Layer, Stretch
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.oci.image import Image, make_image
from pixi_ship.oci.reference import Transport
from pixi_ship.oci.stored import StoredImage
from pixi_ship.prefix.merge import Merge
from pixi_ship.project_layer import project_layer
from pixi_ship.recipe.activation import Activation, Runner, Script, activate
from pixi_ship.recipe.configuration import ConfigurationTree, Recipe, image_config
from pixi_ship.recipe.environment import activation_base, base_variables
from pixi_ship.recipe.paths import APP, ENTRYPOINT
from pixi_ship.redaction import redacted_document
from pixi_ship.requirement import Requirement, check, meets
from pixi_ship.selection import Options, Selection

# What else an image's bytes depend on, so that they can be made again.
OPTIONS_LABEL = "pixi-ship.options"
EVALUATED = "evaluated"
BASE = "base"  # the kind of note in the cache that says what a base's layer offers


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """What all layers of a base together offer."""

    glibc: str | None
    has_sh: bool
    has_bash: bool


def base_facts(
    base: StoredImage, cache: Cache, wanted: Sequence[Requirement], *, may_read: bool = True
) -> BaseFacts:
    """Inspect a base from its lowest layer up; each layer is read once, then remembered.

    Layers above those that already tell enough for ``wanted`` are not read: they may lie in a
    registry, and no image replaces its C library by an older one. Raises NotKnownYet where a
    layer would have to be read and ``may_read`` forbids it.
    """
    glibc, has_sh, has_bash = None, False, False
    for layer in base.layers:
        if has_bash and glibc is not None and meets(wanted, "__glibc", glibc):
            break
        found = _layer_contents(layer, cache, may_read=may_read)
        glibc = found.glibc or glibc
        has_sh, has_bash = has_sh or found.has_sh, has_bash or found.has_bash
    return BaseFacts(glibc, has_sh, has_bash)


def base_note_key(layer: Layer) -> str:
    """The key of the note about a layer of a base; the number is this reader's version."""
    return f"{layer.descriptor.digest.hex}-1"


def _layer_contents(layer: Layer, cache: Cache, *, may_read: bool) -> LayerContents:
    key = base_note_key(layer)
    note = cache.note(BASE, key)
    if note is not None and {"glibc", "sh", "bash"} <= note.keys():
        glibc = note["glibc"]
        return LayerContents(str(glibc) if glibc else None, bool(note["sh"]), bool(note["bash"]))
    if not may_read:
        raise NotKnownYet("a layer of the base was not read yet")
    found = inspect_layer(layer)
    cache.write_note(BASE, key, {"glibc": found.glibc, "sh": found.has_sh, "bash": found.has_bash})
    return found


def check_base(selection: Selection, base: StoredImage, facts: BaseFacts) -> None:
    """Raise RequirementError where the base's C library is too old, or is not there."""
    wanted = selection.glibc_requirements
    if not wanted:
        return
    if facts.glibc is None:
        raise RequirementError(
            f"{wanted[0].asked_by} needs __glibc {wanted[0].spec}, "
            f"the base {base.reference} has no glibc",
            hint="choose a --base such as debian or ubuntu",
        )
    check(wanted, "__glibc", facts.glibc, f"the base {base.reference}")


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything of an image but its layers of packages.

    tree: the files of its last layer. config: the image config, ``rootfs`` left out.
    """

    activation: Activation
    tree: ConfigurationTree
    config: Mapping[str, object]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Assembled:
    """An image, what activating its environment does, and the files of its last layer.

    layers: of ours, but for the last; the one of post-link scripts too. evaluated: keys of the
    notes that say what scripts of activation do.
    """

    image: Image
    activation: Activation
    configuration: tuple[str, ...]
    layers: tuple[BuiltLayer, ...]
    evaluated: tuple[str, ...]


def assemble(
    builder: Builder,
    base: StoredImage,
    facts: BaseFacts,
    built: Sequence[BuiltLayer],
    merged: Merge,
    machine: Machine,
    *,
    may_run: bool = True,
) -> Assembled:
    """Put base, layers and configuration together.

    machine: where scripts of activation are run. may_run: whether what no note tells may be
    found out, and the layer of the project's files made; else NotKnownYet is raised.
    """
    selection, options = builder.selection, builder.options
    layers, scripts = list(built), dict[str, str]()
    with workroom(builder, base, facts, merged, machine, may_run=may_run) as room:
        linked = link_layer(room, options.run_link_scripts)
        layers += [linked.layer] if linked.layer else []
        layers += _project_layer(builder, may_make=may_run)
        for each in layers:
            scripts.update(each.known.activation)
        recipes = [each.recipe for each in layers]
        configuration = configure(
            selection, options, base, facts, recipes, scripts, merged, run=ScriptRunner(room)
        )
    last, files_of_it = _configuration_layer(configuration.tree, options.compression)
    ours = [_layer(each.known, builder.cache, options) for each in layers]
    image = make_image(
        [*base.layers, *ours, last],
        configuration.config,
        selection.platform,
        annotations=configuration.labels,
    )
    found = configuration.activation
    activation = replace(found, warnings=(*linked.notes, *found.warnings))
    return Assembled(image, activation, files_of_it, tuple(layers), tuple(room.keys))


def _project_layer(builder: Builder, *, may_make: bool) -> list[BuiltLayer]:
    found = project_layer(builder.selection, builder.options)
    if found is None:
        return []
    if not may_make and builder.usable(found[0]) is None:
        raise NotKnownYet("the project's files are in no layer yet")
    return [builder.layer_of(*found)]


def workroom(
    builder: Builder,
    base: StoredImage,
    facts: BaseFacts,
    merged: Merge,
    machine: Machine,
    *,
    may_run: bool = True,
) -> Workroom:
    """Where the environment's scripts are run."""
    return Workroom(
        builder=builder,
        base=base,
        merged=merged,
        machine=machine,
        has_sh=facts.has_sh,
        has_bash=facts.has_bash,
        may_run=may_run,
    )


def scripts_of(selection: Selection) -> tuple[Script, ...]:
    """The manifest's scripts of activation; raises ActivationError where one cannot be had."""
    taken = {selection.workspace.manifest.name, "pixi.lock", ENTRYPOINT.removeprefix(f"{APP}/")}
    return manifest_scripts(selection.workspace.root, selection.activation_scripts, taken)


def configure(
    selection: Selection,
    options: Options,
    base: StoredImage,
    facts: BaseFacts,
    recipes: Sequence[LayerRecipe],
    scripts: Mapping[str, str],
    merged: Merge,
    *,
    run: Runner,
) -> Configuration:
    """What the image says of itself; no layer's bytes are needed for that.

    scripts: path below the prefix → text, of every activation file of the packages. run: what
    runs those that do more than assign.
    """
    workspace = selection.workspace
    of_manifest = scripts_of(selection)
    activation = _activation(selection, base, scripts, of_manifest, run)
    recipe = Recipe(
        workspace=workspace.name,
        environment=selection.environment.name,
        prefix=selection.prefix,
        manifest_name=workspace.manifest.name,
        manifest=_without_secrets(workspace.manifest),
        lock=_without_secrets(workspace.lock),
        activation=activation,
        base_config=base.config,
        wants_gpu=bool(selection.cuda_requirements),
        has_ca=merged.has_ca,
        on_scratch=not base.layers,
        has_bash=facts.has_bash,
        scripts=of_manifest,
        command=selection.command.from_anywhere() if selection.command else (),
    )
    labels = _labels(selection, base, options, evaluated=activation.evaluated)
    past = _history(recipes, options)
    config = image_config(recipe, selection.platform, past, labels, options.created)
    return Configuration(activation, ConfigurationTree(recipe), config, labels)


def _activation(
    selection: Selection,
    base: StoredImage,
    scripts: Mapping[str, str],
    of_manifest: tuple[Script, ...],
    run: Runner,
) -> Activation:
    """What activating does to the base's variables and those of any activation."""
    rows = base.runtime.get("Env")
    before = base_variables([str(row) for row in rows] if isinstance(rows, list) else ())
    name, workspace = selection.environment.name, selection.workspace
    known = {**before, **activation_base(selection.prefix, name, workspace.name)}
    known["PIXI_PROJECT_MANIFEST"] = f"{APP}/{workspace.manifest.name}"
    return activate(
        selection.prefix,
        scripts,
        known,
        base_path=before["PATH"],
        manifest_scripts=of_manifest,
        manifest_env=selection.activation_env,
        run=run,
    )


def _history(recipes: Sequence[LayerRecipe], options: Options) -> list[dict[str, str]]:
    comments = [" ".join(each.names) for each in recipes]
    comments.append("manifest, lock, entrypoint, activation")
    return [
        {"created": options.created, "created_by": "pixi-ship", "comment": comment}
        for comment in comments
    ]


def _without_secrets(path: Path) -> bytes:
    """A text file as it may lie in an image: credentials in URLs are left out."""
    return redacted_document(path.read_text("utf-8", "surrogateescape")).encode(
        "utf-8", "surrogateescape"
    )


def _layer(known: KnownLayer, cache: Cache, options: Options) -> Layer:
    descriptor = Descriptor(options.compression.media_type, known.digest, known.size)
    return Layer(
        Blob(descriptor, Stretch(cache.blob(known.digest))), known.diff_id, known.uncompressed_size
    )


def _configuration_layer(
    tree: ConfigurationTree, compression: Compression
) -> tuple[Layer, tuple[str, ...]]:
    pieces: list[bytes] = []
    append: Callable[[bytes], None] = pieces.append
    written = write_layer(tree, append, compression)
    descriptor = Descriptor(compression.media_type, written.digest, written.size)
    blob = Blob.of(descriptor, b"".join(pieces))
    return Layer(blob, written.diff_id, written.uncompressed_size), written.listing


def _labels(
    selection: Selection, base: StoredImage, options: Options, *, evaluated: bool
) -> dict[str, str]:
    # Who makes the image again has to know whether scripts told of its variables.
    also: dict[str, object] = {"activation": EVALUATED} if evaluated else {}
    also |= {"link_scripts": sorted(options.run_link_scripts)} if options.run_link_scripts else {}
    also |= {"include": [each.label for each in options.includes]} if options.includes else {}
    also |= {"task": list(options.task)} if options.task else {}
    also |= {"injected": list(selection.injected)} if selection.injected else {}
    labels = {
        "org.opencontainers.image.title": selection.workspace.name,
        "org.opencontainers.image.created": options.created,
        "pixi-ship.environment": selection.environment.name,
        "pixi-ship.platform": selection.environment.platform.name,
        "pixi-ship.lock.digest": str(selection.lock_digest),
        OPTIONS_LABEL: json.dumps(
            {
                **also,
                "bytecode": selection.interpreter.key if selection.interpreter else None,
                "layer_format": LAYER_FORMAT,
                "max_layers": options.max_layers,
            },
            separators=(",", ":"),
        ),
    }
    if base.digest is not None:
        labels["org.opencontainers.image.base.digest"] = str(base.digest)
    if options.base.transport is Transport.DOCKER:
        # Places on this machine are nobody else's business, and would make bytes differ.
        name = replace(options.base, digest=None) if options.base.tag else options.base
        labels["org.opencontainers.image.base.name"] = str(name).removeprefix("docker://")
    if selection.cuda_requirements:
        specs = dict.fromkeys(each.spec for each in selection.cuda_requirements)
        labels["pixi-ship.cuda.required"] = " & ".join(specs)
        if selection.cuda:
            labels["pixi-ship.cuda"] = selection.cuda
    return labels
