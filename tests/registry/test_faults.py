"""The fault injector does what its plan says, no more, and writes down all it does.

Proven against the fake registry, whose contents show what really arrived; and with a plain
client that tries again, which every trial with a budget lets finish.
"""

from __future__ import annotations

import email.utils
import http.client
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .authorization import Bearer
from .client import OCTETS, Client, Reply, image_manifest
from .distribution import DockerRegistry
from .fake import FakeRegistry
from .faults import Faults, FaultyProxy, Injected, Kind
from .graph import digest_of
from .proxy import Proxy
from .server import Answer, Exchange, LocalServer

DATA = bytes(range(256)) * 1024
BLOB = f"/v2/a/blobs/{digest_of(DATA)}"
BROKEN = (ConnectionError, http.client.HTTPException)


@contextmanager
def faulty(registry: FakeRegistry, faults: Faults) -> Iterator[Client]:
    with FaultyProxy(registry.address, faults) as proxy:
        yield Client(proxy.address)


def only(kind: Kind, seed: int = 0) -> Faults:
    return Faults(seed, kinds=[kind], rate=1.0, budget=1)


def test_a_proxy_alone_changes_nothing(fake_registry: FakeRegistry) -> None:
    """Locations lead to the proxy, and it counts what the registry counts."""
    with Proxy(fake_registry.address) as proxy:
        client = Client(proxy.address)
        begun = client.ask("POST", "/v2/a/blobs/uploads/")
        assert begun.headers["Location"].startswith(f"{proxy.url}/")
        client.ask("PATCH", begun.location, iter([DATA[:1000]]), OCTETS)
        client.ask("PATCH", begun.location, DATA[1000:], OCTETS)
        assert client.ask("PUT", f"{begun.location}&digest={digest_of(DATA)}").status == 201
        assert client.ask("GET", BLOB).body == DATA
        assert client.ask("GET", BLOB, headers={"Range": "bytes=-5"}).body == DATA[-5:]
        head = client.ask("HEAD", BLOB)
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(DATA)))
        assert client.ask("GET", "/v2/a/manifests/none").error == "MANIFEST_UNKNOWN"
        assert list(proxy.log) == list(fake_registry.log)
        assert proxy.log.blob_bytes_received() == len(DATA)
        assert proxy.log.blob_bytes_sent() == len(DATA) + 5


def test_a_proxy_without_a_registry() -> None:
    with FakeRegistry() as registry:
        gone = registry.address
    with Proxy(gone) as proxy:
        assert Client(proxy.address).ask("GET", "/v2/").status == 502


def test_a_registry_that_names_itself() -> None:
    """Clients stay with the proxy all the same, and the registry's own words stay theirs."""

    def handle(exchange: Exchange) -> None:
        realm = f'Bearer realm="{site.url}/token",service="here"'
        headers = {"Location": f"{site.url}/v2/a?x=y", "WWW-Authenticate": realm}
        exchange.answer(Answer(401, {**headers, "X-Other": site.url}, b"words"))

    with LocalServer(handle) as site, Proxy(site.address) as proxy:
        reply = Client(proxy.address).ask("GET", "/v2/")
        assert reply.headers["Location"] == f"{proxy.url}/v2/a?x=y"
        assert reply.headers["WWW-Authenticate"].startswith(f'Bearer realm="{proxy.url}/token"')
        assert (reply.headers["X-Other"], reply.body) == (site.url, b"words")


def test_a_cut_passes_a_proxy(fake_registry: FakeRegistry) -> None:
    """The client is not left waiting for the rest of a body."""
    Client(fake_registry.address).push_blob("a", DATA)
    cuts = Faults(5, kinds=[Kind.CUT_ANSWER], rate=1.0, budget=6, in_a_row=None)
    with FaultyProxy(fake_registry.address, cuts) as cutting, Proxy(cutting.address) as proxy:
        for _ in range(6):
            with pytest.raises(BROKEN):
                Client(proxy.address).ask("GET", BLOB)
        assert Client(proxy.address).ask("GET", BLOB).body == DATA


def test_a_cut_request(fake_registry: FakeRegistry) -> None:
    """What was sent before the cut is in the upload, and nothing else."""
    location = Client(fake_registry.address).begin("a")
    faults = only(Kind.CUT_REQUEST, seed=3)
    with faulty(fake_registry, faults) as client:
        with pytest.raises(BROKEN):
            client.ask("PATCH", location, DATA, OCTETS)
        [injected] = faults.injected
        cut = int(injected.detail.split()[1])
        status = client.ask("GET", location)
        assert (injected.kind, injected.method) == (Kind.CUT_REQUEST, "PATCH")
        assert 0 < cut < len(DATA)
        assert status.headers["Range"] == f"0-{cut - 1}"
        assert client.ask("PATCH", location, DATA[cut:], OCTETS).status == 202
        assert client.ask("PUT", f"{location}&digest={digest_of(DATA)}").status == 201


def test_a_cut_beyond_the_end_does_not_count(fake_registry: FakeRegistry) -> None:
    """The length of a chunked body is not known when the offset is drawn."""
    faults = only(Kind.CUT_REQUEST)
    with faulty(fake_registry, faults) as client:
        location = client.begin("a")
        assert client.ask("PATCH", location, iter([b"xx"]), OCTETS).status == 202
        assert faults.injected == []
        with pytest.raises(BROKEN):
            client.ask("PATCH", location, DATA, OCTETS)
        assert len(faults.injected) == 1


def test_a_cut_answer(fake_registry: FakeRegistry) -> None:
    Client(fake_registry.address).push_blob("a", DATA)
    faults = only(Kind.CUT_ANSWER, seed=5)
    with faulty(fake_registry, faults) as client:
        with pytest.raises(BROKEN):
            client.ask("GET", BLOB)
        assert client.ask("GET", BLOB).body == DATA
        assert [each.kind for each in faults.injected] == [Kind.CUT_ANSWER]


def test_a_lost_answer(fake_registry: FakeRegistry) -> None:
    """The client does not know, and yet it is done."""
    Client(fake_registry.address).push_image("a", "one", DATA)
    faults = only(Kind.LOST_ANSWER)
    with faulty(fake_registry, faults) as client:
        with pytest.raises(BROKEN):
            client.push_manifest("a", "two", image_manifest(DATA))
        assert client.ask("HEAD", "/v2/a/manifests/two").status == 200
        path = "/v2/a/manifests/two"
        assert faults.injected == [Injected(Kind.LOST_ANSWER, "PUT", path, "the answer was 201")]


def test_wrong_bytes(fake_registry: FakeRegistry) -> None:
    """One byte differs, and every header says that all is well."""
    Client(fake_registry.address).push_blob("a", DATA)
    faults = only(Kind.WRONG_BYTES)
    with faulty(fake_registry, faults) as client:
        missing = client.ask("GET", BLOB.replace("/v2/a/", "/v2/b/"))
        assert (missing.status, faults.injected) == (404, [])
        reply = client.ask("GET", BLOB)
        assert (reply.status, len(reply.body)) == (200, len(DATA))
        differing = [place for place in range(len(DATA)) if reply.body[place] != DATA[place]]
        assert faults.injected[0].detail == f"byte {differing[0]}"
        assert len(differing) == 1
        assert client.ask("GET", BLOB).body == DATA


def test_too_many_requests(fake_registry: FakeRegistry) -> None:
    """All three ways of writing Retry-After occur."""
    said = set()
    for seed in range(30):
        with faulty(fake_registry, only(Kind.TOO_MANY, seed)) as client:
            reply = client.ask("PUT", "/v2/a/manifests/one", b"x" * 1000)
            assert (reply.status, reply.error) == (429, "TOOMANYREQUESTS")
            after = str(reply.headers["Retry-After"])
            if not after.isdecimal():
                assert email.utils.parsedate_to_datetime(after).tzinfo
            said.add(after if after.isdecimal() else "a date")
    assert said == {"0", "1", "a date"}
    assert len(fake_registry.log) == 0


def test_server_errors_come_in_bursts(fake_registry: FakeRegistry) -> None:
    lengths = set()
    for seed in range(30):
        faults = Faults(seed, kinds=[Kind.SERVER_ERROR], rate=0.5, budget=None, in_a_row=1)
        with faulty(fake_registry, faults) as client:
            statuses = [client.ask("GET", "/v2/").status for _ in range(8)]
        assert set(statuses) <= {200, 500, 502, 503}
        assert len(faults.injected) == sum(status != 200 for status in statuses)
        run = 0
        for status in [*statuses, 200]:
            if status == 200:
                lengths.add(run)
            run = 0 if status == 200 else run + 1
    assert max(lengths) == 3


def test_slowness_changes_nothing(fake_registry: FakeRegistry) -> None:
    faults = Faults(0, kinds=[Kind.SLOW], rate=1.0, budget=2)
    with faulty(fake_registry, faults) as client:
        client.push_blob("a", DATA)
        assert client.ask("GET", BLOB).body == DATA
        assert [each.method for each in faults.injected] == ["PUT", "GET"]


def test_an_expired_token() -> None:
    """The challenge is the registry's own, and leads to the token server through the proxy."""
    authorization = Bearer({}, anonymous_pull=True)
    with FakeRegistry(authorization=authorization) as registry:
        faults = only(Kind.EXPIRED)
        with faulty(registry, faults) as client:
            service = authorization.rules.service
            reply = client.ask("GET", f"/token?service={service}&scope=repository:a:pull")
            headers = {"Authorization": f"Bearer {reply.document['token']}"}
            refused = client.ask("GET", BLOB, headers=headers)
            assert refused.status == 401
            challenge = refused.headers["WWW-Authenticate"]
            assert f'realm="http://{client.address}/token"' in challenge
            assert 'scope="repository:a:pull"' in challenge
            assert client.ask("GET", BLOB, headers=headers).status == 404
            assert [each.kind for each in faults.injected] == [Kind.EXPIRED]


def test_without_a_limit_a_client_must_give_up(fake_registry: FakeRegistry) -> None:
    faults = Faults.endless(1, Kind.TOO_MANY, Kind.SERVER_ERROR)
    with faulty(fake_registry, faults) as client:
        assert all(client.ask("GET", "/v2/").status >= 429 for _ in range(25))
    assert len(faults.injected) == 25
    assert len(fake_registry.log) == 0


def test_at_most_so_many_in_a_row(fake_registry: FakeRegistry) -> None:
    faults = Faults(1, kinds=[Kind.TOO_MANY], rate=1.0, budget=None, in_a_row=2)
    with faulty(fake_registry, faults) as client:
        statuses = [client.ask("GET", "/v2/").status for _ in range(9)]
    assert statuses == [429, 429, 200] * 3


def until_done(client: Client, method: str, path: str, body: bytes | None = None) -> Reply:
    """Try again, patiently and without waiting, whatever happens."""
    for _ in range(12):
        try:
            reply = client.ask(method, path, body, OCTETS if body else None)
        except BROKEN:
            continue
        if reply.status not in (429, 500, 502, 503):
            return reply
    pytest.fail(f"{method} {path}: all tries failed")


LAYERS = [DATA, DATA[::-1]]


def push(client: Client) -> None:
    """As plain as can be: a blob whose upload fails in any way starts over."""
    for data in [b"{}", *LAYERS]:
        for _ in range(12):
            begun = until_done(client, "POST", "/v2/a/blobs/uploads/")
            put = until_done(client, "PUT", f"{begun.location}&digest={digest_of(data)}", data)
            have = until_done(client, "HEAD", f"/v2/a/blobs/{digest_of(data)}")
            if put.status == 201 or have.status == 200:
                break
    for _ in range(12):
        try:
            if client.push_manifest("a", "one", image_manifest(*LAYERS)).status == 201:
                return
        except BROKEN:
            continue


def pull(client: Client) -> None:
    for data in LAYERS:
        path = f"/v2/a/blobs/{digest_of(data)}"
        assert any(until_done(client, "GET", path).body == data for _ in range(12))


def trial(address: str, seed: int) -> list[Injected]:
    """Push and pull, each past at most four faults; what happened."""
    found: list[Injected] = []
    for step in (push, pull):
        faults = Faults(seed, rate=0.5, budget=4)
        with FaultyProxy(address, faults) as proxy:
            step(Client(proxy.address))
        assert len(faults.injected) <= 4
        found += faults.injected
    return found


def test_a_patient_client_finishes_every_trial() -> None:
    """And the same seed brings the same faults again."""
    kinds = set()
    for seed in range(10):
        seen = []
        for _ in range(2):
            with FakeRegistry() as registry:
                injected = trial(registry.address, seed)
                assert registry.integrity() == []
                assert registry.store.repository("a").tags.keys() == {"one"}
            seen.append([(each.kind, each.method, each.detail[:5]) for each in injected])
        assert seen[0] == seen[1]
        kinds |= {kind for kind, *_ in seen[0]}
    # Nobody is asked for a token here.
    assert kinds == set(Kind) - {Kind.EXPIRED}


def test_faults_before_docker_registry(docker_registry: DockerRegistry) -> None:
    for seed in range(3):
        assert trial(docker_registry.address, seed)
    assert docker_registry.integrity() == []
    assert Client(docker_registry.address).ask("GET", "/v2/a/tags/list").document["tags"] == ["one"]
