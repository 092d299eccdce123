"""One blob into a registry: a cut costs as little as it can, and odd answers do no harm.

The registry's own log says how many bytes came, also of what was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pixi_ship.digest import Digest
from pixi_ship.errors import DigestMismatch, RegistryError
from pixi_ship.oci.blob import Blob, Stretch
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.registry.repository import Repository
from pixi_ship.registry.session import Session
from pixi_ship.registry.upload import push_blob

from .behaviour import AfterCut, Behaviour
from .distribution import DockerRegistry
from .fake import FakeRegistry
from .faults import Faults, FaultyProxy, Kind
from .proxy import Interference, Proxy
from .server import Answer, Exchange, LocalServer
from .shipping import LAYER, Registry, random_blob, settings

SMALL = random_blob(5_000)
LARGE = random_blob(3_000_000)
MIB = 1 << 20


@contextmanager
def repository(address: str, name: str = "a") -> Iterator[Repository]:
    session = Session(address, settings())
    try:
        yield Repository(session, name)
    finally:
        session.close()


def push(blob: Blob, address: str, *sources: str) -> str:
    with repository(address) as target:
        return push_blob(blob, target, sources)


def holds(registry: Registry, blob: Blob) -> bool:
    with repository(registry.address) as target:
        return b"".join(target.read_blob(blob.descriptor, 0, blob.descriptor.size)) == b"".join(
            blob.chunks()
        )


def received(registry: Registry) -> int:
    """Bytes of blobs that came; read it when no request is under way any more."""
    return registry.log.blob_bytes_received()


# As it should be


@pytest.mark.parametrize("blob", [SMALL, LARGE, random_blob(0), random_blob(1), random_blob(MIB)])
def test_a_blob_arrives(fake_registry: FakeRegistry, blob: Blob) -> None:
    reported: list[int] = []
    with repository(fake_registry.address) as target:
        assert push_blob(blob, target, (), reported.append) == "sent"
        assert push_blob(blob, target, ()) == "found"
    assert holds(fake_registry, blob)
    assert sum(reported) == received(fake_registry) == blob.descriptor.size


def test_a_mount_asks_at_most_until_an_upload_begins(fake_registry: FakeRegistry) -> None:
    """A registry that has it in neither place begins an upload, and that is gone on with."""
    assert push(SMALL, fake_registry.address, "no", "nowhere") == "sent"
    assert len(fake_registry.log.uploads()) == 1
    with repository(fake_registry.address, "b") as target:
        assert push_blob(SMALL, target, ("a",)) == "mounted"


# Large bodies


def sizes(registry: FakeRegistry) -> list[int | None]:
    """The bytes of every piece that was taken."""
    return [each.received for each in registry.log.matching("PATCH", status=202)]


def test_what_is_too_large_goes_in_pieces() -> None:
    blob = random_blob(13 * MIB)
    with FakeRegistry(Behaviour(body_limit=6 * MIB)) as registry:
        assert push(blob, registry.address) == "sent"
        assert sizes(registry) == [5 * MIB, 5 * MIB, 3 * MIB]
        assert len(registry.log.matching("PATCH", status=413)) == 1
        assert len(registry.log.uploads()) == 1
        assert holds(registry, blob)


def test_pieces_are_as_large_as_the_registry_wants() -> None:
    blob = random_blob(18 * MIB)
    with FakeRegistry(Behaviour(body_limit=9 * MIB, chunk_min_length=8 * MIB)) as registry:
        assert push(blob, registry.address) == "sent"
        assert sizes(registry) == [8 * MIB, 8 * MIB, 2 * MIB]
        assert holds(registry, blob)


@pytest.mark.parametrize("minimum", [None, 6 * MIB])
def test_what_stays_too_large_is_told(minimum: int | None) -> None:
    behaviour = Behaviour(body_limit=2 * MIB, chunk_min_length=minimum)
    with FakeRegistry(behaviour) as registry:
        with pytest.raises(RegistryError) as caught:
            push(random_blob(7 * MIB), registry.address)
        size = minimum or 5 * MIB
        assert str(caught.value).endswith(f"a body of {size} bytes is too large for it")
        assert caught.value.hint == "a proxy before the registry may limit bodies; ask who runs it"


# Cuts


def cuts(seed: int, budget: int) -> Faults:
    """So many connections end within the bytes of a blob, one after the other."""
    return Faults(seed, kinds=[Kind.CUT_REQUEST], rate=1.0, budget=budget, in_a_row=None)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("after", AfterCut)
def test_it_goes_on_after_a_cut(after: AfterCut, seed: int) -> None:
    """What the registry kept is not sent again: the bytes are the blob's and the lost ones."""
    with FakeRegistry(Behaviour(after_cut=after)) as registry:
        with FaultyProxy(registry.address, cuts(seed, 2)) as proxy:
            assert push(LARGE, proxy.address) == "sent"
        assert len(proxy.faults.injected) == 2
        lost = 0 if after is AfterCut.KEPT else sum(map(offset, proxy.faults.injected))
        assert received(registry) == LARGE.descriptor.size + lost
        assert holds(registry, LARGE)


def offset(fault: object) -> int:
    """How many bytes of a body passed before the cut."""
    return int(fault.detail.split()[1])  # type: ignore[attr-defined]


def test_as_long_as_it_moves_nobody_gives_up(fake_registry: FakeRegistry) -> None:
    """More cuts than there are tries, but each brought some of the blob."""
    blob = random_blob(20 * MIB)
    faults = cuts(3, 12)
    with FaultyProxy(fake_registry.address, faults) as proxy:
        assert push(blob, proxy.address) == "sent"
    assert len(faults.injected) > settings().patience.attempts
    assert received(fake_registry) == blob.descriptor.size
    assert len(fake_registry.log.uploads()) == 1


def test_without_progress_it_gives_up(fake_registry: FakeRegistry) -> None:
    with FaultyProxy(fake_registry.address, Faults.endless(1, Kind.SERVER_ERROR)) as proxy:
        with pytest.raises(RegistryError) as caught:
            push(LARGE, proxy.address)
        want = f"looking for blob {LARGE.descriptor.digest} in docker://{proxy.address}/a: "
        assert str(caught.value).startswith(f"{want}the registry answers 50")
        assert caught.value.hint == (
            "is the registry up, and the network? Run the same again to go on"
        )
    assert len(proxy.faults.injected) == settings().patience.attempts


def test_where_the_state_cannot_be_asked_it_begins_anew() -> None:
    with FakeRegistry(Behaviour(upload_status=False)) as registry:
        with FaultyProxy(registry.address, cuts(1, 1)) as proxy:
            assert push(LARGE, proxy.address) == "sent"
        lost = offset(proxy.faults.injected[0])
        assert received(registry) == LARGE.descriptor.size + lost
        assert len(registry.log.uploads()) == 2


def test_docker_registry_after_cuts(docker_registry: DockerRegistry) -> None:
    """It forgets an upload that was cut."""
    with FaultyProxy(docker_registry.address, cuts(5, 2)) as proxy:
        assert push(LARGE, proxy.address) == "sent"
    assert holds(docker_registry, LARGE)


class _Lost(Exception):
    pass


class _LoseAnswer(Interference):
    def before_answer(self, status: int) -> None:
        raise _Lost


class ForgetfulProxy(Proxy):
    """A proxy that loses the answers to the first requests with a method."""

    def __init__(self, upstream: str, method: str, times: int = 1) -> None:
        super().__init__(upstream)
        self.method, self.times = method, times

    def handle(self, exchange: Exchange) -> None:
        if exchange.method != self.method or not self.times:
            super().handle(exchange)
            return
        self.times -= 1
        try:
            self.forward(exchange, _LoseAnswer())
        except _Lost:
            exchange.cut()


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "PUT"])
@pytest.mark.parametrize("blob", [SMALL, LARGE], ids=["small", "large"])
def test_a_lost_answer_costs_no_bytes(fake_registry: FakeRegistry, blob: Blob, method: str) -> None:
    """What the registry did before the connection ended is not asked for again."""
    with ForgetfulProxy(fake_registry.address, method) as proxy:
        assert push(blob, proxy.address) == "sent"
        assert proxy.times == (1 if method == "PATCH" and blob is SMALL else 0)
    assert received(fake_registry) == blob.descriptor.size
    assert holds(fake_registry, blob)


def test_a_busy_registry_may_be_asked_where_it_is_later(fake_registry: FakeRegistry) -> None:
    """A cut, and then 503 to the question how much there is: the bytes stay there."""

    class Busy(FaultyProxy):
        asked = 0

        def handle(self, exchange: Exchange) -> None:
            if exchange.method == "GET" and "/uploads/" in exchange.path:
                self.asked += 1
                if self.asked < 3:
                    exchange.answer(Answer(503))
                    return
            super().handle(exchange)

    with Busy(fake_registry.address, cuts(2, 1)) as proxy:
        assert push(LARGE, proxy.address) == "sent"
        assert proxy.asked == 3
    assert received(fake_registry) == LARGE.descriptor.size


# Damage and nonsense


def test_own_damage_is_told_apart(fake_registry: FakeRegistry, tmp_path: Path) -> None:
    """Bytes that rotted here: the registry refuses them, and the error names the file."""
    data = b"".join(LARGE.chunks())
    path = tmp_path / "blob"
    for damaged in (data[:-1] + b"x", data[:-1000]):
        path.write_bytes(damaged)
        with pytest.raises(DigestMismatch, match="its manifest says") as caught:
            push(Blob(LARGE.descriptor, Stretch(path)), fake_registry.address)
        assert str(path) in str(caught.value)
    assert not fake_registry.store.blobs
    path.write_bytes(data)
    assert push(Blob(LARGE.descriptor, Stretch(path)), fake_registry.address) == "sent"


HUGE = "9" * 5000
Handle = Callable[[Exchange], Answer]


BROKEN = Answer(500)


def begins(headers: dict[str, str], then: Answer = BROKEN) -> Handle:
    """A registry that lacks every blob and begins uploads with these headers."""

    def handle(exchange: Exchange) -> Answer:
        if exchange.method == "HEAD":
            return Answer(404)
        if exchange.method == "POST":
            return Answer(202, headers)
        return then

    return handle


UPLOAD = {"Location": "/v2/a/blobs/uploads/1"}
DENIED = b'{"errors":[{"code":"DENIED","message":"no"}]}'
NONSENSE = {
    "no location": (begins({}), "does not say where to send it"),
    "no address": (begins({"Location": "http://[::1"}), "the address is malformed"),
    "another scheme": (begins({"Location": "ftp://host/x"}), "the address is malformed"),
    "odd host": (begins({"Location": "http://a..b/x"}), "there can be no such server"),
    "odd port": (begins({"Location": "http://127.0.0.1:99999/x"}), "the address is malformed"),
    "odd least": (begins({**UPLOAD, "OCI-Chunk-Min-Length": "\u00b2"}), "answers 500"),
    "huge least": (begins({**UPLOAD, "OCI-Chunk-Min-Length": HUGE}), "answers 500"),
    "huge range": (
        begins(UPLOAD, Answer(202, {**UPLOAD, "Range": f"0-{HUGE}"})),
        "got status 202",
    ),
    "more than was sent": (
        begins(UPLOAD, Answer(202, {**UPLOAD, "Range": "0-99999999"})),
        "got status 202",
    ),
    "nothing kept": (
        begins(UPLOAD, Answer(202, {**UPLOAD, "Range": "0-0"})),
        "the registry kept nothing of what was sent",
    ),
    "never again": (begins(UPLOAD, Answer(503, {"Retry-After": HUGE})), "answers 503"),
    "odd wait": (begins(UPLOAD, Answer(503, {"Retry-After": "\u00b2"})), "answers 503"),
    "deep error": (begins(UPLOAD, Answer(418, body=b"[" * 60_000)), "got status 418"),
    "long error": (begins(UPLOAD, Answer(418, body=b'"' + b"x" * 200_000)), "got status 418"),
    "odd error": (begins(UPLOAD, Answer(418, body=b'{"errors":[7]}')), "got status 418"),
    "told error": (begins(UPLOAD, Answer(403, body=DENIED)), "does not allow it (DENIED no)"),
    "a forgetful one": (begins(UPLOAD, Answer(404)), "the registry lost the upload (status 404)"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_ends_in_one_sentence(name: str) -> None:
    handle, want = NONSENSE[name]
    with LocalServer(lambda exchange: exchange.answer(handle(exchange))) as server:
        with pytest.raises(RegistryError) as caught:
            push(LARGE, server.address)
        text = str(caught.value)
        assert want in text
        assert text.isprintable()
        assert len(text) < 500


@pytest.mark.parametrize(
    ("host", "want"),
    [
        ("127.0.0.1:99999", "asking 127.0.0.1:99999: the address is malformed"),
        ("a..b:1", "docker://a..b:1/a: there can be no such server"),
        (f"{'a' * 70}.b:1", "there can be no such server"),
    ],
)
def test_a_host_that_cannot_be(host: str, want: str) -> None:
    with pytest.raises(RegistryError) as caught:
        push(SMALL, host)
    assert str(caught.value).endswith(want)


def test_the_digest_is_checked_by_the_registry(fake_registry: FakeRegistry) -> None:
    """Bytes that others have another name for."""
    wrong = Descriptor(LAYER, Digest.of(b"x"), SMALL.descriptor.size)
    with pytest.raises(DigestMismatch):
        push(Blob(wrong, SMALL.source), fake_registry.address)
    assert not fake_registry.store.blobs
