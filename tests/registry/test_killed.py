"""A build that is killed at any moment does no harm, and the next one ends well.

A hundred times a build is pushing an image of new content when it gets ``kill -9``: at a moment
of its usual duration, or when the registry has heard so many requests. The registry's tag then
names the image from before or the new one, whole; the cache holds nothing wrong, and what was
left unfinished goes.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random

import pytest

from pixi_ship.cli import main

from ..tiny import Ran, Tiny, ship
from .distribution import DockerRegistry
from .fake import FakeRegistry
from .shipping import Registry, package, problems_of, tag_of

TRIALS = 20

# Each build is a process of its own, but the interpreter need not start anew for each.
_apart = multiprocessing.get_context("forkserver")
_apart.set_forkserver_preload(["pixi_ship.cli", "pytest"])


@dataclass
class Workshop:
    """A workspace whose packages change with every trial, and the registry it goes to."""

    tiny: Tiny
    registry: Registry
    random: Random
    duration: float = 0.0
    requests: int = 0
    stages: list[str] = field(default_factory=list)

    def change(self, seed: int) -> None:
        """New content for two packages of three, one of them large enough to go in pieces."""
        seeds = {"small": seed, "large": seed, "same": 0}
        sizes = {"small": 3000, "large": 1_100_000, "same": 2000}
        self.tiny.lock(
            *(package(self.tiny, name, seed=seeds[name], size=sizes[name]) for name in seeds)
        )

    @property
    def words(self) -> list[str]:
        target = f"docker://{self.registry.address}/team/tiny:t"
        return [str(word) for word in self.tiny.words("--quiet", to=target)]

    def start(self) -> ForkServerProcess:
        process = _apart.Process(target=main, args=(self.words,))
        process.start()
        return process

    def measure(self) -> None:
        """How long a build takes, and how many requests, when nobody kills it."""
        before = len(self.registry.log)
        begun = time.monotonic()
        process = self.start()
        process.join()
        assert process.exitcode == 0
        self.duration = time.monotonic() - begun
        self.requests = len(self.registry.log) - before

    def kill(self, trial: int) -> None:
        """Start, and kill: by the clock, or by the count of requests."""
        share = self.random.random()
        before = len(self.registry.log)
        process = self.start()
        if trial % 2:
            process.join(share * self.duration)
        else:
            while process.is_alive() and len(self.registry.log) - before < share * self.requests:
                process.join(0.001)
        process.kill()
        process.join()
        assert process.exitcode in (0, -9)
        heard = len(self.registry.log) - before
        self.stages.append("ended" if process.exitcode == 0 else "working" if heard else "quiet")

    def finish(self) -> Ran:
        return ship(*self.words)

    def look(self, *digests: str) -> None:
        """The tag names one of these images, and whatever a tag names is whole."""
        assert tag_of(self.registry, "team/tiny") in digests
        assert problems_of(self.registry) == []

    def cache(self, verb: str, *words: str) -> Ran:
        return ship("cache", verb, "--cache-dir", self.tiny.cache, *words)


@pytest.fixture(params=["fake 1", "fake 2", "fake 3", "fake 4", "docker-registry"])
def workshop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workshop]:
    made: Registry
    if request.param == "docker-registry":
        made = DockerRegistry(tmp_path / "registry")
    else:
        made = FakeRegistry()
    with made:
        yield Workshop(Tiny(tmp_path / "tiny"), made, Random(request.param))


def test_killed_at_any_moment(workshop: Workshop) -> None:
    for seed in (-1, -2):
        workshop.change(seed)
        workshop.measure()
    before = tag_of(workshop.registry, "team/tiny")
    for trial in range(TRIALS):
        workshop.change(trial)
        workshop.kill(trial)
        named = tag_of(workshop.registry, "team/tiny")
        workshop.look(named)
        ran = workshop.finish()
        assert named in (before, ran.digest)
        workshop.look(ran.digest)
        before = ran.digest
        if trial % 5 == 4:
            verified = workshop.cache("verify")
            assert (verified.status, verified.err) == (0, ""), verified.out
    print(workshop.registry.address, {name: workshop.stages.count(name) for name in STAGES})
    assert workshop.stages.count("working") >= TRIALS // 5, "kills met builds at work"
    end(workshop)


STAGES = ("quiet", "working", "ended")


def end(workshop: Workshop) -> None:
    """Kill once more and let nobody build: what is unfinished goes with the next prune."""
    workshop.change(TRIALS)
    workshop.kill(0)
    assert workshop.cache("verify").status == 0
    assert workshop.cache("prune").status == 0
    assert list((workshop.tiny.cache / "tmp").iterdir()) == []
    assert workshop.cache("info", "--json").document["orphans"]["files"] == 0
    assert workshop.cache("verify").status == 0
    ran = workshop.finish()
    workshop.look(ran.digest)
    alone = ship(*workshop.words, "--cache-dir", workshop.tiny.root / "fresh")
    assert alone.digest == ran.digest, "a cache that was killed over makes the same image"
