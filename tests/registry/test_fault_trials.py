"""Whatever network and registry do: an image is whole or nobody is led to it, and people are told.

Each trial builds on a base from a registry and pushes there, through a proxy that cuts
connections, loses answers, turns bytes, refuses, is slow, and lets tokens expire, as its seed
says. It ends well, with the very image that comes without faults; or with status 1 and one
sentence. The tag then names the image from before, or the new one, whole. And without faults the
same again ends well. With ``-s`` or ``-rP`` the counts are printed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from ..tiny import Ran, Tiny, ship
from .authorization import Authorization, Bearer, Everyone
from .behaviour import AfterCut, Behaviour
from .distribution import DockerRegistry
from .fake import FakeRegistry
from .faults import Faults, FaultyProxy, Injected, Kind
from .shipping import (
    Registry,
    documents,
    hurry,
    logged_in,
    offer,
    package,
    problems_of,
    push_layout,
    tag_of,
)

PASSWORD = "hunter2-pa55"
BEHAVIOURS = (
    Behaviour(),
    Behaviour(after_cut=AfterCut.DISCARDED, relative_location=True),
    Behaviour(after_cut=AfterCut.LOST, mount=False),
    Behaviour(ranges=False, upload_status=False),
    Behaviour(redirect_blobs=True, chunk_min_length=1 << 16),
)
SENTENCE = re.compile(r"error: [^\n]+\n(?:  hint: [^\n]+\n)?\Z")
GROUPS, EACH = 8, 25


@dataclass(frozen=True)
class Shipment:
    """A workspace whose layers are made, and a base: what every trial begins with."""

    tiny: Tiny
    base: Path
    layers: list[str]

    def trial(self, folder: Path) -> Trial:
        """A trial with a cache of its own, which knows the layers and nothing of the base."""
        cache = folder / "cache"
        # Files of the cache are never changed, only replaced.
        shutil.copytree(self.tiny.cache, cache, copy_function=os.link)
        return Trial(self, cache, folder / "auth.json")


@dataclass
class Trial:
    """One cache, one place in a registry, and what came of it."""

    shipment: Shipment
    cache: Path
    login: Path
    repository: str = "team/tiny"
    injected: list[Injected] = field(default_factory=list)

    def run(self, address: str) -> Ran:
        return ship(
            *self.shipment.tiny.words(to=f"docker://{address}/{self.repository}:t"),
            *("--base", f"docker://{address}/base/os:one"),
            *("--cache-dir", self.cache, "--authfile", self.login),
        )

    def through(self, registry: Registry, faults: Faults) -> bool:
        """Build with faults, then without; whether it ended well with them."""
        with FaultyProxy(registry.address, faults) as proxy:
            logged_in(self.login, proxy.address, "ann", PASSWORD)
            with_faults = self.run(proxy.address)
            self.check(with_faults, registry)
            proxy.faults = Faults(0, budget=0)
            without = self.run(proxy.address)
        assert without.status == 0, without.err
        assert [layer["digest"] for layer in without.image["layers"]] == self.shipment.layers
        assert tag_of(registry, self.repository) == without.digest
        assert problems_of(registry) == []
        self.injected += faults.injected
        if with_faults.status == 0:
            assert with_faults.digest == without.digest
        return with_faults.status == 0

    def check(self, ran: Ran, registry: Registry) -> None:
        """How a run may end, and in what state it may leave the registry."""
        if ran.status:
            assert (ran.status, ran.out) == (1, "")
            assert SENTENCE.match(ran.err), ran.err
            assert not re.search(rf"{PASSWORD}|YW5uO|Bearer|Traceback", ran.err)
        else:
            assert ran.err == ""
            assert tag_of(registry, self.repository) == ran.digest
        assert problems_of(registry) == []
        assert list((self.cache / "tmp").iterdir()) == []


@pytest.fixture(scope="module")
def shipment(tmp_path_factory: pytest.TempPathFactory) -> Shipment:
    tiny = Tiny(tmp_path_factory.mktemp("shipment"))
    tiny.lock(package(tiny, "one"), package(tiny, "large", size=1_100_000))
    base = tiny.base()
    layers = [layer["digest"] for layer in tiny.works().image["layers"]]
    return Shipment(tiny, base, layers)


@pytest.fixture(autouse=True)
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def seeds(group: int) -> range:
    return range(group * EACH, (group + 1) * EACH)


def drawn(seed: int, kinds: Collection[Kind] = tuple(Kind)) -> Faults:
    """From a fault or two up to more than anybody should meet, in every fourth trial."""
    random = Random(seed)
    if seed % 4 == 3:
        rate = random.uniform(0.5, 0.9)
        return Faults(seed, kinds=kinds, rate=rate, budget=random.randint(10, 60), in_a_row=None)
    return Faults(seed, kinds=kinds, rate=random.uniform(0.1, 0.6), budget=random.randint(1, 12))


def told(name: str, ended: Counter[bool], injected: list[Injected]) -> None:
    kinds = Counter(each.kind.name for each in injected)
    print(f"{name}: {ended[True]} ended well, {ended[False]} in an error; faults {dict(kinds)}")


@pytest.mark.parametrize("group", range(GROUPS))
def test_trials(shipment: Shipment, tmp_path: Path, group: int) -> None:
    """Half of them with tokens, over registries that differ where they may."""
    ended: Counter[bool] = Counter()
    injected: list[Injected] = []
    for seed in seeds(group):
        authorization: Authorization = Bearer({"ann": PASSWORD}) if seed % 2 else Everyone()
        behaviour = BEHAVIOURS[seed % len(BEHAVIOURS)]
        folder = tmp_path / str(seed)
        trial = shipment.trial(folder)
        with FakeRegistry(behaviour, authorization=authorization) as registry:
            offer(registry, shipment.base)
            before = offer(registry, shipment.base, trial.repository, "t")
            assert before == tag_of(registry, trial.repository)
            ended[trial.through(registry, drawn(seed))] += 1
        injected += trial.injected
        shutil.rmtree(folder)
    told(f"fake registry, seeds {seeds(group)}", ended, injected)
    assert ended[True] >= EACH * 2 // 3, "most faults are overcome"
    assert len({each.kind for each in injected}) >= 6, "most kinds were met"


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.mark.parametrize("group", range(2))
def test_trials_with_docker_registry(
    shipment: Shipment, distribution: DockerRegistry, tmp_path: Path, group: int
) -> None:
    ended: Counter[bool] = Counter()
    injected: list[Injected] = []
    push_layout(distribution, shipment.base)
    for seed in range(group * 12, group * 12 + 12):
        trial = shipment.trial(tmp_path / str(seed))
        trial.repository = f"team/tiny{seed}"
        push_layout(distribution, shipment.base, trial.repository, "t")
        ended[trial.through(distribution, drawn(seed))] += 1
        injected += trial.injected
    told(f"docker-registry, group {group}", ended, injected)
    assert ended[True] >= 8


def test_faults_without_end(shipment: Shipment, tmp_path: Path) -> None:
    """Each kind alone, at every request: the run gives up, or goes on where nothing is lost."""
    harmless = {Kind.SLOW}
    for number, kind in enumerate(Kind):
        trial = shipment.trial(tmp_path / kind.name)
        authorization = Bearer({"ann": PASSWORD})
        with FakeRegistry(authorization=authorization) as registry:
            offer(registry, shipment.base)
            offer(registry, shipment.base, trial.repository, "t")
            well = trial.through(registry, Faults.endless(number, kind))
        assert well == (kind in harmless), kind
        assert trial.injected


def test_the_image_is_the_one_without_a_registry(shipment: Shipment, tmp_path: Path) -> None:
    """What trials compare with was built without any network."""
    blobs, digest = documents(shipment.tiny.output)
    layers = [layer["digest"] for layer in json.loads(blobs[digest])["layers"]]
    assert shipment.layers == layers[:-1]
