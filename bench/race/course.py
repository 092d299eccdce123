"""One contender through one environment: cold, the same again, one package changed, warm."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import Sample
from bench.process import Command, run
from bench.race.contender import AGAIN, CHANGED, COLD, FIRST, UPDATE, WARM, Contender
from bench.race.depot import Depot, new_depot
from bench.race.environments import Environment, Version
from bench.race.result import Case, Seen

_INTERVAL = 0.1  # seconds between two looks at the file system


def go_through(
    environment: Environment,
    contender: Contender,
    versions: tuple[Version, Version],
    scratch: Path,
    pixi: Path,
) -> Iterator[tuple[Case, Seen]]:
    """Every step once, each from the state that the one before it left."""
    course = _Course(environment, contender, scratch)
    old, new = versions
    contender.forget()
    with new_depot(scratch / "depot", pixi) as depot:
        contender.prepare(depot, versions)
        yield from course.build(COLD, old, depot)
        yield from course.arrive(FIRST, old, depot)
        yield from course.build(AGAIN, old, depot)
        yield from course.build(CHANGED, new, depot)
        yield from course.arrive(UPDATE, new, depot)
    if WARM in contender.steps:
        contender.lose_image()
        with new_depot(scratch / "depot", pixi) as depot:
            contender.prepare(depot, versions)
            yield from course.build(WARM, old, depot)
    contender.forget()
    for node in contender.nodes():
        node.forget()


@dataclass(frozen=True, slots=True)
class _Course:
    environment: Environment
    contender: Contender
    scratch: Path

    def build(self, step: str, version: Version, depot: Depot) -> Iterator[tuple[Case, Seen]]:
        """Build a version where that is one of the contender's steps."""
        if step not in self.contender.steps:
            return
        before = depot.stored()
        sample, disk = _measure(self.contender.command(version, depot), self.scratch)
        size = self.contender.size(version, depot)
        moved = depot.stored() - before if self.contender.pushes else size
        yield self._case(step, ""), _seen(sample, disk, moved, size)

    def arrive(self, step: str, version: Version, depot: Depot) -> Iterator[tuple[Case, Seen]]:
        """Have each kind of node get a version and import from it."""
        for node in self.contender.nodes():
            if step == FIRST:
                node.forget()
            before = depot.served()
            sample, disk = _measure(
                node.command(version, depot, self.environment.script), self.scratch
            )
            # What came by no registry was copied whole.
            size = self.contender.size(version, depot)
            moved = depot.served() - before or size
            yield self._case(step, node.name), _seen(sample, disk, moved, size)

    def _case(self, step: str, node: str) -> Case:
        return Case(self.environment.name, step, self.contender.name, node)


def _measure(command: Command, scratch: Path) -> tuple[Sample, int]:
    """Run it; by how many bytes the file system was fuller meanwhile comes beside the sample."""
    with _growth(scratch) as disk:
        sample = run(command)
    return sample, disk.most


def _seen(sample: Sample, disk: int, moved: int, size: int) -> Seen:
    return Seen(sample.wall, sample.cpu, sample.rss, disk, moved, size)


@dataclass(slots=True)
class _Growth:
    """By how many bytes a file system was fuller than at first, at most."""

    folder: Path
    free: int = 0
    most: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Look, until it has ended."""
        while not self.ended.wait(_INTERVAL):
            self.most = max(self.most, self.free - _free(self.folder))


@contextmanager
def _growth(folder: Path) -> Iterator[_Growth]:
    """All that the file system holds: a walk through a hundred thousand files takes seconds."""
    growth = _Growth(folder, _free(folder))
    thread = threading.Thread(target=growth.watch, daemon=True)
    thread.start()
    try:
        yield growth
    finally:
        growth.ended.set()
        thread.join()
        growth.most = max(growth.most, growth.free - _free(folder))


def _free(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bfree * status.f_frsize
