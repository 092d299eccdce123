"""The way of one environment through registries: what every client does in a round."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.contract.tools import Podman

from bench.measure import run_apart
from bench.registry.clients import (
    Puller,
    Pusher,
    crane,
    empty,
    found,
    oras,
    pixi_ship,
    podman_pull,
    podman_push,
    skopeo,
    skopeo_pull,
    take_in,
    working_store,
)
from bench.registry.images import LAYERED, PACKER, SINGLE, make_version, pack
from bench.registry.place import Place, new_place
from bench.registry.result import AGAIN, CHANGED, FIRST, PULL, SECOND, Case, Measured
from bench.workspaces import LARGE, SMALL, with_changed_package

WORKSPACES = ("numpy", "large")
_APP = "app"


class Course:
    """Two versions of an environment, made beforehand, and who pushes and pulls them.

    only: the client that takes part; None for all that this machine has.
    """

    def __init__(self, name: str, scratch: Path, only: str | None) -> None:
        self.name = name
        self.scratch = scratch
        self._only = only
        old, new = _workspaces(name, scratch)
        self.old = make_version(old, "1", scratch)
        self.new = make_version(new, "2", scratch)
        self.podman = working_store(scratch / "store")
        self._pushers = [each for each in self._all_pushers() if self._wanted(each.name)]
        self._pullers = [each for each in self._all_pullers() if self._wanted(each.name)]

    def round(self, *, counting: bool) -> Iterator[Measured]:
        """Everything once."""
        for pusher in self._pushers:
            with self._new_place(counting) as place:
                yield from self._push(pusher, place)
        if self._pullers:
            with self._new_place(counting) as place:
                yield from self._pull(place)
        if not counting and self._only is None:
            packed = self.scratch / "packed"
            case = Case(self.name, CHANGED, f"(tar, {PACKER}, sha256sum)", SINGLE)
            yield Measured(case, pack(self.new.tree, packed), None)
            packed.unlink()

    def end(self) -> None:
        """Give podman's stores back."""
        for puller in self._pullers:
            puller.forget()
        if self.podman:
            empty(self.podman)

    def _all_pushers(self) -> Iterator[Pusher]:
        yield from pixi_ship(self.scratch / "cache")
        yield from (skopeo(LAYERED), skopeo(SINGLE))
        if self.podman:
            yield podman_push(self.podman, self._taken_in(self.podman))
        if program := found("crane"):
            yield crane(program)
        if program := found("oras"):
            yield oras(program)

    def _all_pullers(self) -> Iterator[Puller]:
        yield skopeo_pull(self.scratch / "pulled")
        if self.podman:
            yield podman_pull(dataclasses.replace(self.podman, store=self.scratch / "pulled-store"))

    def _taken_in(self, podman: Podman) -> dict[str, str]:
        versions = (self.old, self.new)
        return {each.tag: take_in(podman, each.single, each.tag) for each in versions}

    def _wanted(self, client: str) -> bool:
        return self._only is None or client.startswith(self._only)

    def _new_place(self, counting: bool) -> AbstractContextManager[Place]:
        return new_place(self.scratch / "registry", counting=counting)

    def _push(self, pusher: Pusher, place: Place) -> Iterator[Measured]:
        steps = [(FIRST, self.old, _APP)]
        if pusher.again:
            steps += [(AGAIN, self.old, _APP), (CHANGED, self.new, _APP)]
            steps += [(SECOND, self.new, "second")]
        pusher.prepare()
        for step, version, repository in steps:
            state = f", {pusher.state}" if step == FIRST and pusher.state else ""
            case = Case(self.name, step, f"{pusher.name}{state}", pusher.image)
            command = pusher.command(version, place.address, repository)
            yield Measured(case, *place.measure(command))

    def _pull(self, place: Place) -> Iterator[Measured]:
        """Each image with one package changed, by clients that have the one before it."""
        for image in (LAYERED, SINGLE):
            target = f"{place.address}/{image.replace(' ', '-')}"
            for version in (self.old, self.new):
                source = f"oci:{version.layout(image)}:{version.tag}"
                place.fill(source, f"{target}:{version.tag}")
            for puller in self._pullers:
                puller.forget()
                run_apart(puller.command(f"{target}:{self.old.tag}"))
                case = Case(self.name, PULL, puller.name, image)
                command = puller.command(f"{target}:{self.new.tag}")
                yield Measured(case, *place.measure(command))


def _workspaces(name: str, scratch: Path) -> tuple[Path, Path]:
    """A workspace before and after one of its packages changed."""
    if name == "numpy":
        return SMALL / "numpy", SMALL / "numpy-updated"
    changed = with_changed_package(LARGE, scratch / "changed")
    if changed is None:
        raise RuntimeError(f"the lock in {LARGE} has no greet 1.1; next: make clean, make setup")
    return LARGE, changed
