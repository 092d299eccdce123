"""A registry for one course of pushes or pulls, and measuring what is done with it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.registry.access import Access
from tests.registry.distribution import DockerRegistry

from bench.measure import Sample, run_apart
from bench.registry.clients import BASE_NAME, Command, skopeo_push
from bench.registry.traffic import Traffic
from bench.workspaces import BASE

_LOOK = 0.05  # seconds between two looks at a log that may still grow


@dataclass(frozen=True, slots=True)
class Place:
    """A registry that holds the base and nothing else at first.

    counting: clients go through the proxy that counts what they send. Its time is not the
    registry's, so times are taken without it, and requests are then what the registry wrote.
    """

    registry: DockerRegistry
    counting: bool

    @property
    def address(self) -> str:
        """Where clients go."""
        return self.registry.address if self.counting else self.registry.backend

    def fill(self, source: str, target: str) -> None:
        """Put an image at HOST:PORT/NAME:TAG, which nobody measures."""
        run_apart(skopeo_push(source, target))

    def measure(self, command: Command) -> tuple[Sample, Traffic]:
        """Run a command of a client; raises CommandFailed."""
        before = len(self.settled())
        sample = run_apart(command)
        return sample, Traffic.of(self.settled()[before:])

    def _records(self) -> list[Access]:
        return list(self.registry.log if self.counting else self.registry.own_log())

    def settled(self) -> list[Access]:
        """All records: a server writes the last a moment after its client has gone."""
        known: list[Access] | None = None
        while known != (records := self._records()):
            known = records
            time.sleep(_LOOK)
        return records


@contextmanager
def new_place(folder: Path, *, counting: bool) -> Iterator[Place]:
    """A new registry, whose contents vanish with the block."""
    shutil.rmtree(folder, ignore_errors=True)
    with DockerRegistry(folder) as registry:
        place = Place(registry, counting)
        place.fill(BASE, f"{place.address}/{BASE_NAME}")
        yield place
    shutil.rmtree(folder, ignore_errors=True)
