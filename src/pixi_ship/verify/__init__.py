"""Prove an image from the lock: every layer made again from the packages, and compared.

An image holds where its config is, byte for byte, the one that a build would give, and each
layer unpacks to the tar that was made again. A SIF holds where its root filesystem has the files
of these layers. Files are compared to say what differs. Of what an earlier run left in the cache
only this is believed: archives, where their digests are the lock's, and the notes on what a
base's layers offer. Layers are streamed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from pixi_ship.bases import choose_base
from pixi_ship.builder import Builder
from pixi_ship.cache import Cache
from pixi_ship.errors import ImageError
from pixi_ship.fetch.archives import Archives
from pixi_ship.from_source import with_built_wheels
from pixi_ship.injection import injected
from pixi_ship.machine import Machine
from pixi_ship.oci.reference import Reference
from pixi_ship.oci.stored import StoredImage
from pixi_ship.progress import SILENCE, Progress
from pixi_ship.registry.registries import Registries, without_login
from pixi_ship.selection import Options, Selection, refuse_unbuildable
from pixi_ship.sif.stored import TRANSPORTS, open_sif
from pixi_ship.verification.compare import Difference, Findings
from pixi_ship.verify.asked import (
    Asked,
    as_built,
    base_note,
    bytecode_note,
    machine_for,
    recorded_options,
    selected,
)
from pixi_ship.verify.built import built_notes
from pixi_ship.verify.expected import Expected, made_again
from pixi_ship.verify.layers import LayeredImage
from pixi_ship.verify.sif import Sif, check_ours
from pixi_ship.workspace import Workspace

__all__ = ["Asked", "Verification", "verify"]


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


class _Subject(Protocol):
    """What can be held against a lock."""

    @property
    def image(self) -> StoredImage:
        """What it says of itself."""

    def compare(self, expected: Expected, workers: int) -> Findings:
        """Hold it against what it has to be."""


def verify(
    workspace: Workspace,
    reference: Reference,
    options: Options,
    asked: Asked,
    cache: Cache,
    machine: Machine,
    registries: Registries | None = None,
    progress: Progress = SILENCE,
) -> list[Verification]:
    """Hold an image against the workspace's lock, for each platform it has.

    options: what ``asked`` and the image leave open. Raises PixiShipError where it cannot be
    told, such as for a package that cannot be fetched.
    """
    registries = registries or without_login(cache)
    with cache.in_use(make=True), _opened(reference, cache, registries) as found:
        chosen = [each for each in found if _is_asked(each.image, asked)]
        if not chosen:
            wanted = f" for platform {asked.platform!r}" if asked.platform else ""
            raise ImageError(
                f"{reference} has no image{wanted}",
                hint=f"it has: {', '.join(each.image.platform for each in found) or 'none'}",
            )
        return [
            _verified(workspace, each, options, asked, cache, machine, registries, progress)
            for each in chosen
        ]


@contextmanager
def _opened(
    reference: Reference, cache: Cache, registries: Registries
) -> Iterator[Sequence[_Subject]]:
    """An image of layers for each platform that there is, or the one SIF."""
    if reference.transport not in TRANSPORTS:
        yield [LayeredImage(each) for each in registries.read_all(reference)]
        return
    sif = open_sif(reference, registries.sif)
    check_ours(sif)
    with sif.fetched(cache) as here:
        yield [Sif(here)]


def _is_asked(image: StoredImage, asked: Asked) -> bool:
    there = image.labels.get("pixi-ship.platform")
    return asked.platform is None or there is None or there == asked.platform


def _verified(
    workspace: Workspace,
    subject: _Subject,
    options: Options,
    asked: Asked,
    cache: Cache,
    machine: Machine,
    registries: Registries,
    progress: Progress,
) -> Verification:
    image = subject.image
    if asked == Asked() and not any(each.startswith("pixi-ship.") for each in image.labels):
        raise ImageError(
            f"{image.reference} has no labels of pixi-ship, so it was not built by it",
            hint="if it was, and lost them, name what it should be: -e ENV --base REF",
        )
    recorded = recorded_options(image)
    built = as_built(options, asked, image, recorded, workspace.root)
    selection = selected(workspace, built, options, image, machine)
    selection = injected(selection, built.inject, built.from_prefix, cache)
    refuse_unbuildable(selection.environment)
    base = registries.read(choose_base(built, workspace.root).reference, selection.platform)
    archives = Archives(cache, workspace.root, built.offline, progress.fetched)
    sources = selection.environment.sources
    selection = with_built_wheels(selection, built, archives, machine, progress)
    builder = Builder(cache, archives, selection, built, progress)
    expected = made_again(builder, base, machine_for(machine, recorded))
    found = subject.compare(expected, built.workers)
    notes = (
        *bytecode_note(selection, recorded),
        *base_note(built.base, options.base),
        *built_notes(
            [each for each in selection.environment.pypi if each.source in sources],
            cache,
            found.differences,
        ),
        *found.notes,
    )
    return Verification(image, selection, base, found.files, found.differences, notes)
