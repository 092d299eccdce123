"""What an image is held against: what a person insists on, else what its labels say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pixi_ship.assembly import EVALUATED, OPTIONS_LABEL
from pixi_ship.base_lock import read_base_lock
from pixi_ship.digest import Digest
from pixi_ship.errors import (
    ImageError,
    LockError,
    ProjectError,
    RequirementError,
    UsageError,
)
from pixi_ship.machine import Machine
from pixi_ship.oci.reference import SCRATCH, Reference, parse_reference
from pixi_ship.oci.stored import StoredImage
from pixi_ship.project.include import Include, parse_include
from pixi_ship.selection import Options, Selection, select
from pixi_ship.workspace import Workspace

_BASE_NAME = "org.opencontainers.image.base.name"
_BASE_DIGEST = "org.opencontainers.image.base.digest"
_SHOWN = 100  # characters of what a label says
_CUDA = re.compile(r"\d+(\.\d+)*\Z", re.ASCII)
_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person insists on; None is taken from what the image says of itself."""

    environment: str | None = None
    platform: str | None = None
    cuda: str | None = None
    base: Reference | None = None
    includes: tuple[Include, ...] | None = None


def recorded_options(image: StoredImage) -> Mapping[str, object]:
    """The options that a label says the image was built with; none where it cannot be read."""
    try:
        found = json.loads(image.labels.get(OPTIONS_LABEL, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def machine_for(machine: Machine, recorded: Mapping[str, object]) -> Machine:
    """The machine as the image's build used it: without a sandbox where it ran no script."""
    ran = recorded.get("activation") == EVALUATED or "link_scripts" in recorded
    return machine if ran else Machine()


def as_built(
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
        run_link_scripts=_names(recorded.get("link_scripts")),
        includes=_includes(recorded) if asked.includes is None else asked.includes,
        task=_names(recorded.get("task")),
        max_layers=most if isinstance(most, int) and 2 <= most <= 126 else options.max_layers,
        compile_bytecode=recorded.get("bytecode", "") is not None,
        created=created if _CREATED.match(created) else options.created,
    )


def _includes(recorded: Mapping[str, object]) -> tuple[Include, ...]:
    """What was taken along out of the workspace; a label leads to no other file of this machine."""
    found = []
    for text in _names(recorded.get("include")):
        try:
            include = parse_include(text)
        except UsageError:
            continue
        # A pattern of a stranger's could keep the matcher busy for ever.
        is_readable = text.isprintable() and len(text) < 1000 and text.count("*") <= 4
        if include.is_inside and is_readable:
            found.append(include)
    return tuple(found)


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, list) else ()


def selected(
    workspace: Workspace,
    built: Options,
    options: Options,
    image: StoredImage,
    machine: Machine,
) -> Selection:
    """The environment that is meant; an error tells where it was the image that named it.

    built: with what the image's labels say. options: without.
    """
    try:
        return select(workspace, built, built.platforms[0], machine)
    except (LockError, ProjectError, RequirementError, UsageError) as error:
        said = _said(built, options, image)
        if not said:
            raise
        raise ImageError(
            f"reading the labels of {image.reference}: {error}",
            hint=f"they say {', '.join(said)}: insist on others with --environment, --platform or "
            "--cuda, on other files with --include; or verify where the image was built from",
        ) from error


def _said(built: Options, options: Options, image: StoredImage) -> list[str]:
    """What only the labels say, each with the label's name."""
    is_label_s = built.includes == _includes(recorded_options(image))
    includes = [str(each) for each in built.includes] if is_label_s else []
    rows: tuple[tuple[str, object, object], ...] = (
        ("pixi-ship.environment", built.environment, options.environment),
        ("pixi-ship.platform", built.platforms[0], options.platforms[0]),
        ("pixi-ship.cuda", built.cuda, options.cuda),
        (f"include of {OPTIONS_LABEL}", includes, [str(each) for each in options.includes]),
        (f"task of {OPTIONS_LABEL}", list(built.task), list(options.task)),
    )
    return [
        f"{label} {_short(value)}"
        for label, value, without in rows
        if value not in (None, []) and value != without
    ]


def _short(value: object) -> str:
    """A label's value on one line: whoever made the image chose its length."""
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


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


def bytecode_note(selection: Selection, recorded: Mapping[str, object]) -> list[str]:
    """Say so where another Python compiled the image's bytecode."""
    wanted = recorded.get("bytecode")
    have = selection.interpreter.key if selection.interpreter else None
    if wanted is None or wanted == have:
        return []
    return [
        f"the image's bytecode is by {str(wanted)!r}, here is {have or 'none'}: "
        "put that Python on PATH to prove it"
    ]


def base_note(believed: Reference, known: Reference) -> list[str]:
    """Say so where only the image says which base it has. known: what a build would take."""
    if believed == SCRATCH or replace(believed, digest=None) == replace(known, digest=None):
        return []
    return [f"only the image says that its base is {believed}: insist on one with --base"]
