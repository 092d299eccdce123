"""A push brings an image into a registry: in the right order, and nothing moves twice.

Proven on the fake registry, which is strict about the protocol and writes down every request,
and in the last test on docker-registry.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from pixi_ship.builder import Builder, Compilers
from pixi_ship.cache import Cache
from pixi_ship.errors import PixiShipError
from pixi_ship.layering import KnownLayer, LayerRecipe
from pixi_ship.oci.blob import Blob
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.prefix.merge import Merge
from pixi_ship.registry.push import Push
from pixi_ship.registry.repository import Repository
from pixi_ship.registry.session import Session

from ..tiny import Ran, Tiny, ship
from .authorization import Everyone, Scope
from .behaviour import Behaviour
from .client import wait_until
from .distribution import DockerRegistry
from .fake import FakeRegistry
from .server import Answer, Exchange, LocalServer, _Server, refusal
from .shipping import (
    base_at,
    failed,
    home,
    offer,
    package,
    push_layout,
    pushed,
    random_blob,
    settings,
)

__all__ = ["home"]

NAMES = ("one", "two", "three")
OURS = len(NAMES) + 2
"""The blobs of the workspace: its packages, the configuration layer, the config."""


@pytest.fixture
def tiny(tmp_path: Path, home: Path) -> Tiny:
    found = Tiny(tmp_path)
    found.lock(*(package(found, name) for name in NAMES))
    return found


def intact(registry: FakeRegistry, ran: Ran, name: str = "team/tiny", tag: str = "t") -> None:
    """The tag names what the run reported, and all below it is there."""
    assert registry.store.repository(name).tags[tag] == ran.digest
    assert registry.integrity() == []


def transfers(ran: Ran) -> list[tuple[int, int, int]]:
    """Blobs found, mounted and sent, for each registry reference."""
    rows = ran.document["transfers"]
    return [(row["found"], row["mounted"], row["sent"]) for row in rows]


# What comes when


def test_nothing_is_named_before_it_is_there(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    ran = pushed(tiny, fake_registry)
    intact(fake_registry, ran)
    put = [each for each in fake_registry.log if each.method == "PUT"]
    assert {each.status for each in put} == {201}
    blobs = [each for each in put if each.to_upload]
    assert put[:-2] == blobs
    assert ran.image["config_digest"].removeprefix("sha256:") in blobs[-1].query
    assert [each.path for each in put[-2:]] == [
        f"/v2/team/tiny/manifests/{ran.digest}",
        "/v2/team/tiny/manifests/t",
    ]


def test_layers_go_while_others_are_made(
    fake_registry: FakeRegistry, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second layer is not begun before the registry has the first one."""
    made: list[LayerRecipe] = []
    real = Builder._make_one

    def later(
        self: Builder, recipe: LayerRecipe, merged: Merge, compilers: Compilers
    ) -> KnownLayer:
        if made:
            wait_until(lambda: bool(fake_registry.store.blobs), "the registry has a layer")
        made.append(recipe)
        return real(self, recipe, merged, compilers)

    monkeypatch.setattr(Builder, "_make_one", later)
    intact(fake_registry, pushed(tiny, fake_registry, "--workers", "1"))
    assert len(made) == len(NAMES)


# What does not move


def test_a_second_push_only_looks(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    first = pushed(tiny, fake_registry)
    assert transfers(first) == [(0, 0, OURS)]
    fake_registry.log.clear()
    again = pushed(tiny, fake_registry)
    assert again.digest == first.digest
    assert {each.method for each in fake_registry.log} == {"HEAD"}
    assert transfers(again) == [(OURS, 0, 0)]
    assert again.document["transfers"][0]["bytes_sent"] == 0


def test_another_tag_costs_one_request(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    ran = pushed(tiny, fake_registry)
    fake_registry.log.clear()
    pushed(tiny, fake_registry, name="team/tiny:other")
    others = [each for each in fake_registry.log if each.method != "HEAD"]
    assert [(each.method, each.path) for each in others] == [
        ("PUT", "/v2/team/tiny/manifests/other")
    ]
    intact(fake_registry, ran, tag="other")


def test_a_tag_moves(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    """Only what is new is sent: the package's layer, the lock in the configuration, the config."""
    first = pushed(tiny, fake_registry)
    fake_registry.log.clear()
    tiny.lock(*(package(tiny, name, seed=int(name == "two")) for name in NAMES))
    second = pushed(tiny, fake_registry)
    assert second.digest != first.digest
    assert transfers(second) == [(2, 0, 3)]
    assert len(fake_registry.log.uploads()) == 3
    kept = {layer["digest"] for layer in first.image["layers"]}
    (layer,) = [row for row in second.image["layers"] if row["digest"] not in kept]
    assert layer["packages"] == ["two-1.0-h0000000_0.conda"]
    assert len(fake_registry.log.manifests_put()) == 2
    intact(fake_registry, second)


def test_layers_need_not_be_here(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    """Layers that the registry has are neither made again nor read, archives not fetched."""
    first = pushed(tiny, fake_registry)
    for folder in ("blobs", "archives"):
        for path in (tiny.cache / folder).iterdir():
            path.unlink()
    fake_registry.log.clear()
    again = pushed(tiny, fake_registry)
    assert again.digest == first.digest
    counters = again.document["counters"]
    names = ("packages_read", "archives_fetched", "layers_built")
    assert {name: counters[name] for name in names} == dict.fromkeys(names, 0)
    assert {each.method for each in fake_registry.log} == {"HEAD"}


def test_a_file_needs_the_layers(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    """Where an output is no registry, layers are made although a registry has them."""
    first = pushed(tiny, fake_registry)
    for path in (tiny.cache / "blobs").iterdir():
        path.unlink()
    both = pushed(tiny, fake_registry, "--to", f"oci:{tiny.output}:t")
    assert both.digest == first.digest
    assert both.document["counters"]["layers_built"] == len(NAMES)
    assert (tiny.output / "index.json").exists()


# The base's layers


def test_a_base_is_mounted(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    offer(fake_registry, tiny.base())
    ran = pushed(tiny, fake_registry, "--base", base_at(fake_registry))
    assert transfers(ran) == [(0, 2, OURS)]
    assert len(fake_registry.log.mounts()) == 2
    assert {each.query.rpartition("&")[2] for each in fake_registry.log.mounts()} == {
        "from=base%2Fos"
    }
    intact(fake_registry, ran)


def test_a_base_of_another_registry_is_sent_once(tiny: Tiny) -> None:
    with FakeRegistry() as far, FakeRegistry() as near:
        offer(far, tiny.base())
        first = pushed(tiny, near, "--base", base_at(far))
        assert transfers(first) == [(0, 0, OURS + 2)]
        read = far.log.blob_bytes_sent()
        received = near.log.blob_bytes_received()
        second = pushed(tiny, near, "--base", base_at(far), name="other/place:t")
        assert transfers(second) == [(0, OURS + 2, 0)]
        assert near.log.blob_bytes_received() == received
        assert far.log.blob_bytes_sent() == read
        intact(near, second, "other/place")


@pytest.mark.parametrize("mount", [True, False])
def test_places_of_one_registry_share_what_is_sent(tiny: Tiny, mount: bool) -> None:
    """Each byte goes to the registry once, if it mounts; else once to each repository."""
    with FakeRegistry(Behaviour(mount=mount)) as registry:
        to = [f"docker://{registry.address}/{name}" for name in ("a:1", "b:1", "a:2")]
        ran = ship(*tiny.words("--to", to[1], "--to", to[2], to=to[0]))
        want = [(0, 0, OURS), (0, OURS, 0) if mount else (0, 0, OURS), (OURS, 0, 0)]
        assert transfers(ran) == want
        for name, tag in (("a", "1"), ("b", "1"), ("a", "2")):
            intact(registry, ran, name, tag)


def test_several_registries_and_a_file(tiny: Tiny) -> None:
    with FakeRegistry() as one, FakeRegistry() as two:
        more = ["--to", f"docker://{two.address}/b:two", "--to", f"oci:{tiny.output}:t"]
        ran = ship(*tiny.words(*more, to=f"docker://{one.address}/a:one"))
        assert transfers(ran) == [(0, 0, OURS)] * 2
        assert [row["digest"] for row in ran.document["outputs"]] == [ran.digest] * 3
        intact(one, ran, "a", "one")
        intact(two, ran, "b", "two")
        layout = {f"sha256:{path.name}" for path in (tiny.output / "blobs/sha256").iterdir()}
        assert layout == {*one.store.blobs, ran.digest}


class Private(Everyone):
    """Who may do everything, but not read one repository any more."""

    closed = ""

    def refused(self, exchange: Exchange, wanted: Collection[Scope]) -> Answer | None:
        if any(each.repository == self.closed for each in wanted):
            return refusal(403, "DENIED", "requested access to the resource is denied")
        return None


def test_what_may_not_be_mounted_is_sent(tiny: Tiny) -> None:
    """The blobs were pushed to a repository once that is closed to us by now."""
    door = Private()
    with FakeRegistry(authorization=door) as registry:
        pushed(tiny, registry, name="secret/place:t")
        door.closed = "secret/place"
        ran = pushed(tiny, registry)
        assert transfers(ran) == [(0, 0, OURS)]
        assert len(registry.log.matching("POST", status=403)) == OURS
        intact(registry, ran)


# What registries do in more than one way


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(relative_location=True),
        Behaviour(mount=False, single_post=False, upload_status=False, ranges=False),
        Behaviour(redirect_blobs=True, page=1),
        Behaviour(chunk_min_length=1 << 20),
    ],
    ids=["relative", "poor", "redirects", "chunks"],
)
def test_behaviours(tiny: Tiny, behaviour: Behaviour) -> None:
    with FakeRegistry(behaviour) as registry:
        tiny.lock(package(tiny, "one"), package(tiny, "large", size=3_000_000))
        offer(registry, tiny.base())
        ran = pushed(tiny, registry, "--base", base_at(registry))
        intact(registry, ran)
        registry.log.clear()
        assert pushed(tiny, registry, "--base", base_at(registry)).digest == ran.digest
        assert registry.log.blob_bytes_received() == 0


# Connections and threads


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every connection that a server of these tests takes."""
    made: list[object] = []
    real = _Server.process_request

    def counted(server: _Server, request: object, address: object) -> None:
        made.append(address)
        real(server, request, address)

    monkeypatch.setattr(_Server, "process_request", counted)
    return made


def test_a_connection_is_used_again(
    fake_registry: FakeRegistry, tmp_path: Path, connections: list[object]
) -> None:
    """One after the other, every kind of request goes over the same connection."""
    session = Session(fake_registry.address, settings(parallel=1))
    blobs = [random_blob(size, size) for size in (10, 2_000, 1_500_000)]
    with Push(Repository(session, "a"), Cache(tmp_path), 1) as push:
        for blob in blobs:
            push.add(blob)
    repository = Repository(session, "a")
    for blob in blobs:
        size = blob.descriptor.size
        assert sum(map(len, repository.read_blob(blob.descriptor, 0, size))) == size
    session.close()
    assert len(fake_registry.log) == 3 * 4 + 1
    assert len(connections) == 1


class Slow:
    """A blob's bytes; after each block it waits for the end of all."""

    name = "a slow source"

    def __init__(self, begun: threading.Event, ended: threading.Event) -> None:
        self.begun, self.ended, self.blocks = begun, ended, 0

    def read(self, start: int, size: int) -> Iterator[bytes]:
        for _ in range(size >> 20):
            self.blocks += 1
            yield bytes(1 << 20)
            self.begun.set()
            self.ended.wait(30)


def test_an_error_ends_what_is_under_way(fake_registry: FakeRegistry, tmp_path: Path) -> None:
    """A large blob, of which the registry has the first block when the build fails."""
    made = settings()
    session = Session(fake_registry.address, made)
    source = Slow(threading.Event(), made.patience.stop)
    blob = Blob(Descriptor("x", random_blob(1).descriptor.digest, 64 << 20), source)

    def fail() -> None:
        with Push(Repository(session, "a"), Cache(tmp_path), 2) as push:
            push.add(blob)
            assert source.begun.wait(30)
            raise PixiShipError("elsewhere")

    with pytest.raises(PixiShipError, match="elsewhere"):
        fail()
    session.close()
    assert source.blocks <= 2
    assert fake_registry.store.repository("a").blobs == set()


def test_the_first_failure_is_told(tiny: Tiny) -> None:
    """A registry that takes no blob: one sentence with what it says, and no tag."""

    def handle(exchange: Exchange) -> None:
        if exchange.method == "HEAD":
            exchange.answer(Answer(404))
        else:
            exchange.answer(refusal(403, "DENIED", "the quota is used up\n\x1b[31m"))

    with LocalServer(handle) as server:
        ran = ship(*tiny.words(to=f"docker://{server.address}/a:t"))
        assert (ran.status, ran.out) == (1, "")
        first, hint, *rest = ran.err.splitlines()
        assert first.startswith("error: pushing blob sha256:")
        assert first.endswith(
            f"{server.address} does not allow it (DENIED the quota is used up[31m)"
        )
        assert hint == (
            f"  hint: log in first: podman login {server.address}, or docker login {server.address}"
        )
        assert rest == []
        assert not server.log.matching("PUT", "manifests")


def test_offline_pushes_nothing(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    tiny.works()
    (digest,) = [row["digest"] for row in tiny.build().image["layers"]][:1]
    ran = pushed(tiny, fake_registry, "--offline")
    failed(
        ran,
        f"error: looking for blob {digest} in docker://{fake_registry.address}/team/tiny: "
        f"--offline forbids to ask {fake_registry.address}",
        "  hint: run once without --offline; --base-lock keeps the digest of the base",
    )
    assert len(fake_registry.log) == 0


def test_a_digest_is_no_place(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    """Nobody can say beforehand what digest an image will have."""
    ran = pushed(tiny, fake_registry, name=f"team/tiny@sha256:{'0' * 64}")
    assert (ran.status, ran.out) == (2, ""), ran.err
    assert len(fake_registry.log) == 0


def test_docker_registry(docker_registry: DockerRegistry, tiny: Tiny) -> None:
    """The same economy with the registry that most others are made of."""
    push_layout(docker_registry, tiny.base())
    tiny.lock(package(tiny, "one"), package(tiny, "large", size=3_000_000))
    docker_registry.log.clear()
    first = pushed(tiny, docker_registry, "--base", base_at(docker_registry))
    assert transfers(first) == [(0, 2, 4)]
    docker_registry.log.clear()
    again = pushed(tiny, docker_registry, "--base", base_at(docker_registry))
    assert again.digest == first.digest
    assert {each.method for each in docker_registry.log} == {"GET", "HEAD"}
    assert docker_registry.log.blob_bytes_sent() == 0
    elsewhere = pushed(
        tiny, docker_registry, "--base", base_at(docker_registry), name="other/place:t"
    )
    assert transfers(elsewhere) == [(0, 6, 0)]
    assert docker_registry.log.blob_bytes_received() == 0
    assert docker_registry.integrity() == []
