"""The fake registry keeps the distribution specification, in each way in which it can behave.

Proven request by request with a client that adds nothing: what a client of ours gets wrong, the
fake must not forgive.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from .behaviour import AfterCut, Behaviour
from .certificates import Certificate
from .client import OCTETS, Client, descriptor, image_manifest, wait_until
from .fake import FakeRegistry
from .graph import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, digest_of

DATA = bytes(range(256)) * 64
HALF = len(DATA) // 2
DIGEST = digest_of(DATA)
BLOB = f"/v2/some/thing/blobs/{DIGEST}"


@pytest.fixture
def client(fake_registry: FakeRegistry) -> Client:
    return Client(fake_registry.address)


def pieces(data: bytes, size: int = 1000) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def test_a_whole_blob_in_put(client: Client, fake_registry: FakeRegistry) -> None:
    client.push_blob("some/thing", DATA)
    head = client.ask("HEAD", BLOB)
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(DATA)))
    got = client.ask("GET", BLOB)
    assert (got.body, got.headers["Docker-Content-Digest"]) == (DATA, DIGEST)
    assert client.ask("GET", BLOB.replace("some/", "other/")).error == "BLOB_UNKNOWN"
    assert fake_registry.log.blob_bytes_received() == len(DATA)
    assert fake_registry.log.blob_bytes_sent() == len(DATA)
    assert len(fake_registry.log.uploads()) == 1


def test_a_whole_blob_in_post(client: Client) -> None:
    path = f"/v2/some/thing/blobs/uploads/?digest={DIGEST}"
    assert client.ask("POST", path, DATA[:-1], OCTETS).error == "DIGEST_INVALID"
    assert client.ask("POST", path, DATA, OCTETS).status == 201
    assert client.ask("GET", BLOB).body == DATA


def test_a_registry_may_not_take_a_blob_in_post() -> None:
    with FakeRegistry(Behaviour(single_post=False)) as registry:
        client = Client(registry.address)
        reply = client.ask("POST", f"/v2/some/thing/blobs/uploads/?digest={DIGEST}", DATA, OCTETS)
        assert reply.status == 202
        assert client.ask("HEAD", BLOB).status == 404
        put = client.ask("PUT", f"{reply.location}&digest={DIGEST}", DATA, OCTETS)
        assert put.status == 201


@pytest.mark.parametrize("ranges", [True, False])
def test_chunks(client: Client, fake_registry: FakeRegistry, ranges: bool) -> None:
    first = {**OCTETS, **({"Content-Range": f"0-{HALF - 1}"} if ranges else {})}
    reply = client.ask("PATCH", client.begin("some/thing"), DATA[:HALF], first)
    assert (reply.status, reply.headers["Range"]) == (202, f"0-{HALF - 1}")
    status = client.ask("GET", reply.location)
    assert (status.status, status.headers["Range"]) == (204, f"0-{HALF - 1}")
    # Without a length, as clients send that do not know it.
    reply = client.ask("PATCH", status.location, pieces(DATA[HALF:]), OCTETS)
    assert (reply.status, reply.headers["Range"]) == (202, f"0-{len(DATA) - 1}")
    assert client.ask("PUT", f"{reply.location}&digest={DIGEST}").status == 201
    assert client.ask("GET", BLOB).body == DATA
    assert [each.received for each in fake_registry.log.matching("PATCH")] == [HALF, HALF]


def test_a_chunk_at_the_wrong_place(client: Client) -> None:
    location = client.begin("some/thing")
    client.ask("PATCH", location, DATA[:10], OCTETS)
    wrong = client.ask("PATCH", location, DATA[:10], {**OCTETS, "Content-Range": "0-9"})
    assert (wrong.status, wrong.headers["Range"]) == (416, "0-9")
    rest = {**OCTETS, "Content-Range": f"9-{len(DATA) - 2}"}
    put = client.ask("PUT", f"{location}&digest={DIGEST}", DATA[10:], rest)
    assert put.status == 416
    short = client.ask("PATCH", location, DATA[10:], {**OCTETS, "Content-Range": "10-11"})
    assert short.error == "SIZE_INVALID"
    assert client.ask("PUT", f"{location}&digest={DIGEST}", DATA[10:], OCTETS).status == 201


def test_other_bytes_than_the_digest_says(client: Client) -> None:
    location = client.begin("some/thing")
    assert client.ask("PUT", location, DATA, OCTETS).error == "DIGEST_INVALID"
    reply = client.ask("PUT", f"{location}&digest={digest_of(b'')}", DATA, OCTETS)
    assert (reply.status, reply.error) == (400, "DIGEST_INVALID")
    assert client.ask("GET", location).error == "BLOB_UPLOAD_UNKNOWN"


def test_a_location_is_taken_as_it_was_given(client: Client) -> None:
    location = client.begin("some/thing")
    bare = location.partition("?")[0]
    assert client.ask("PATCH", bare, DATA, OCTETS).error == "BLOB_UPLOAD_INVALID"
    assert client.ask("DELETE", location).status == 204
    assert client.ask("PATCH", location, DATA, OCTETS).error == "BLOB_UPLOAD_UNKNOWN"


def test_relative_locations() -> None:
    with FakeRegistry(Behaviour(relative_location=True)) as registry:
        client = Client(registry.address)
        reply = client.ask("POST", "/v2/some/thing/blobs/uploads/")
        assert reply.headers["Location"].startswith("/v2/some/thing/blobs/uploads/")
    with FakeRegistry() as registry:
        reply = Client(registry.address).ask("POST", "/v2/some/thing/blobs/uploads/")
        assert reply.headers["Location"].startswith(f"{registry.url}/v2/some/thing/")


@pytest.mark.parametrize("after", AfterCut)
def test_a_cut_patch(after: AfterCut) -> None:
    """What is left, and that the upload can be ended from there."""
    with FakeRegistry(Behaviour(after_cut=after)) as registry:
        client = Client(registry.address)
        location = client.begin("some/thing")
        client.ask("PATCH", location, DATA[:100], OCTETS)
        client.cut_patch(location, DATA[100:3000], len(DATA) - 100)
        wait_until(lambda: len(registry.log) == 3, "the cut is noticed")
        status = client.ask("GET", location)
        if after is AfterCut.LOST:
            assert status.status == 404
            return
        kept = 3000 if after is AfterCut.KEPT else 100
        assert (status.status, status.headers["Range"]) == (204, f"0-{kept - 1}")
        rest = {**OCTETS, "Content-Range": f"{kept}-{len(DATA) - 1}"}
        reply = client.ask("PATCH", status.location, DATA[kept:], rest)
        assert client.ask("PUT", f"{reply.location}&digest={DIGEST}").status == 201
        cut = registry.log.matching("PATCH", status=0)
        assert [each.received for each in cut] == [2900]
        assert registry.log.blob_bytes_received() == 3000 + len(DATA) - kept


def test_a_registry_may_not_tell_how_far_an_upload_is() -> None:
    with FakeRegistry(Behaviour(upload_status=False)) as registry:
        client = Client(registry.address)
        assert client.ask("GET", client.begin("some/thing")).status == 405


def test_mounts(client: Client, fake_registry: FakeRegistry) -> None:
    client.push_blob("some/thing", DATA)
    fake_registry.log.clear()
    path = "/v2/other/blobs/uploads/?mount={}&from={}"
    assert client.ask("POST", path.format(DIGEST, "some/thing")).status == 201
    assert client.ask("GET", f"/v2/other/blobs/{DIGEST}").body == DATA
    assert client.ask("POST", path.format(DIGEST, "nowhere")).status == 202
    assert client.ask("POST", path.format(digest_of(b""), "some/thing")).status == 202
    log = fake_registry.log
    assert (len(log.mounts()), len(log.uploads()), log.blob_bytes_received()) == (1, 2, 0)


def test_a_registry_may_not_mount() -> None:
    with FakeRegistry(Behaviour(mount=False)) as registry:
        client = Client(registry.address)
        client.push_blob("some/thing", DATA)
        path = f"/v2/other/blobs/uploads/?mount={DIGEST}&from=some/thing"
        assert client.ask("POST", path).status == 202
        assert client.ask("HEAD", f"/v2/other/blobs/{DIGEST}").status == 404


def test_a_least_length_of_chunks() -> None:
    with FakeRegistry(Behaviour(chunk_min_length=1000)) as registry:
        client = Client(registry.address)
        begun = client.ask("POST", "/v2/some/thing/blobs/uploads/")
        assert begun.headers["OCI-Chunk-Min-Length"] == "1000"
        assert client.ask("PATCH", begun.location, DATA[:1000], OCTETS).status == 202
        assert client.ask("PATCH", begun.location, DATA[1000:1500], OCTETS).status == 202
        late = client.ask("PATCH", begun.location, DATA[1500:], OCTETS)
        assert (late.status, late.error) == (400, "SIZE_INVALID")
        small = digest_of(DATA[:1500])
        assert client.ask("PUT", f"{begun.location}&digest={small}").status == 201


@pytest.mark.parametrize("known", [True, False], ids=["length", "chunked"])
def test_a_limit_on_bodies(known: bool) -> None:
    """A client that is still sending much gets to read the answer."""
    with FakeRegistry(Behaviour(body_limit=HALF)) as registry:
        client = Client(registry.address)
        location = client.begin("some/thing")
        big = DATA * 256
        reply = client.ask("PATCH", location, big if known else pieces(big, 65_536), OCTETS)
        assert reply.status == 413
        assert client.ask("GET", location).headers["Range"] == "0-0"
        for half in (DATA[:HALF], DATA[HALF:]):
            assert client.ask("PATCH", location, half, OCTETS).status == 202
        assert client.ask("PUT", f"{location}&digest={DIGEST}").status == 201


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        ("bytes=0-9", 206, 0, 9),
        ("bytes=100-", 206, 100, len(DATA) - 1),
        ("bytes=-7", 206, len(DATA) - 7, len(DATA) - 1),
        (f"bytes={len(DATA) - 1}-{len(DATA) + 50}", 206, len(DATA) - 1, len(DATA) - 1),
        ("bytes=0-1,4-5", 200, 0, len(DATA) - 1),
    ],
)
def test_ranges(client: Client, asked: str, status: int, first: int, last: int) -> None:
    client.push_blob("some/thing", DATA)
    reply = client.ask("GET", BLOB, headers={"Range": asked})
    assert (reply.status, reply.body) == (status, DATA[first : last + 1])
    if status == 206:
        assert reply.headers["Content-Range"] == f"bytes {first}-{last}/{len(DATA)}"


def test_a_range_beyond_the_end(client: Client) -> None:
    client.push_blob("some/thing", DATA)
    reply = client.ask("GET", BLOB, headers={"Range": f"bytes={len(DATA)}-"})
    assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")


def test_a_registry_may_not_know_ranges() -> None:
    with FakeRegistry(Behaviour(ranges=False)) as registry:
        client = Client(registry.address)
        client.push_blob("some/thing", DATA)
        assert client.ask("GET", BLOB, headers={"Range": "bytes=5-"}).status == 200


def test_blobs_may_be_kept_elsewhere() -> None:
    with FakeRegistry(Behaviour(redirect_blobs=True)) as registry:
        client = Client(registry.address)
        client.push_blob("some/thing", DATA)
        reply = client.ask("GET", BLOB)
        where = reply.headers["Location"].removeprefix("http://").partition("/")[0]
        assert (reply.status, where == registry.address) == (307, False)
        elsewhere = Client(where)
        assert elsewhere.ask("GET", reply.location).body == DATA
        carried = {"Authorization": "Bearer for-the-registry"}
        assert elsewhere.ask("GET", reply.location, headers=carried).status == 400
        assert elsewhere.ask("GET", reply.location.partition("?")[0]).status == 403
        assert registry.storage_log.authorizations() == {None, "Bearer"}


def test_manifests(client: Client, fake_registry: FakeRegistry) -> None:
    digest = client.push_image("some/thing", "one", DATA)
    for reference in ("one", digest):
        path = f"/v2/some/thing/manifests/{reference}"
        got = client.ask("GET", path)
        assert digest_of(got.body) == digest == got.headers["Docker-Content-Digest"]
        assert got.headers["Content-Type"] == OCI_MANIFEST
        head = client.ask("HEAD", path, headers={"Accept": f"text/plain, {OCI_MANIFEST};q=0.5"})
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(got.body)))
        other = client.ask("GET", path, headers={"Accept": DOCKER_MANIFEST})
        assert other.error == "MANIFEST_UNKNOWN"
    assert len(fake_registry.log.manifests_put()) == 1
    assert fake_registry.integrity() == []


def test_a_manifest_needs_all_it_names(client: Client) -> None:
    manifest = image_manifest(DATA)
    assert client.push_manifest("a", "one", manifest).error == "MANIFEST_BLOB_UNKNOWN"
    client.push_blob("a", DATA)
    assert client.push_manifest("a", "one", manifest).error == "MANIFEST_BLOB_UNKNOWN"
    client.push_blob("a", b"{}")
    assert client.push_manifest("a", "one", manifest).status == 201
    # What another repository has does not count.
    assert client.push_manifest("b", "one", manifest).error == "MANIFEST_BLOB_UNKNOWN"
    child = descriptor(json.dumps(manifest).encode(), OCI_MANIFEST)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]}
    assert client.push_manifest("a", "all", index, OCI_INDEX).status == 201
    assert client.push_manifest("b", "all", index, OCI_INDEX).error == "MANIFEST_BLOB_UNKNOWN"
    # A subject may come later.
    child = descriptor(b"not there", OCI_MANIFEST)
    assert client.push_manifest("a", "two", image_manifest(subject=child)).status == 201


@pytest.mark.parametrize(
    ("reference", "document", "kind", "code"),
    [
        ("one", [], OCI_MANIFEST, "MANIFEST_INVALID"),
        ("one", {"layers": [1]}, OCI_MANIFEST, "MANIFEST_INVALID"),
        ("one", image_manifest(), DOCKER_MANIFEST, "MANIFEST_INVALID"),
        ("one", image_manifest(), "application/json", "MANIFEST_INVALID"),
        ("-one", image_manifest(), OCI_MANIFEST, "MANIFEST_INVALID"),
        (digest_of(b""), image_manifest(), OCI_MANIFEST, "DIGEST_INVALID"),
    ],
)
def test_bad_manifests(
    client: Client, reference: str, document: object, kind: str, code: str
) -> None:
    client.push_blob("a", b"{}")
    reply = client.push_manifest("a", reference, document, kind)
    assert (reply.status, reply.error) == (400, code)


def test_a_manifest_of_more_than_4_mib(client: Client) -> None:
    client.push_blob("a", b"{}")
    manifest = image_manifest(annotations={"a": "x" * (4 << 20)})
    assert client.push_manifest("a", "one", manifest).status == 413


@pytest.mark.parametrize("page", [None, 2])
def test_tags(page: int | None) -> None:
    with FakeRegistry(Behaviour(page=page)) as registry:
        client = Client(registry.address)
        assert client.ask("GET", "/v2/a/tags/list").error == "NAME_UNKNOWN"
        names = ["B", "a", "b", "c", "d"]
        for tag in reversed(names):
            client.push_image("a", tag)
        found: list[object] = []
        path, pages = "/v2/a/tags/list?n=3", 0
        while path:
            reply = client.ask("GET", path)
            tags = reply.document["tags"]
            assert isinstance(tags, list)
            found += tags
            link = str(reply.headers.get("Link") or "")
            assert not link or link.endswith('>; rel="next"')
            path, pages = link.partition(">")[0].removeprefix("<"), pages + 1
        assert (found, pages) == (names, 2 if page is None else 3)
        assert client.ask("GET", "/v2/a/tags/list?n=0").document["tags"] == []
        assert client.ask("GET", "/v2/a/tags/list?last=c").document["tags"] == ["d"]
        assert client.ask("GET", "/v2/a/tags/list?n=x").status == 400


def referrers(client: Client, query: str = "") -> tuple[list[object], str | None, str | None]:
    digest = client.push_image("a", "one")
    reply = client.ask("GET", f"/v2/a/referrers/{digest}{query}")
    assert (reply.status, reply.headers["Content-Type"]) == (200, OCI_INDEX)
    rows = reply.document["manifests"]
    assert isinstance(rows, list)
    kinds = [row["artifactType"] for row in rows]
    return kinds, reply.headers.get("OCI-Filters-Applied"), reply.headers.get("Link")


@pytest.mark.parametrize("page", [None, 1])
def test_referrers(page: int | None) -> None:
    with FakeRegistry(Behaviour(page=page)) as registry:
        client = Client(registry.address)
        assert referrers(client) == ([], None, None)
        subject = descriptor(json.dumps(image_manifest()).encode(), OCI_MANIFEST)
        for kind in ("text/one", "text/two"):
            manifest = image_manifest(subject=subject, artifactType=kind, annotations={"a": "b"})
            reply = client.push_manifest("a", digest_of(json.dumps(manifest).encode()), manifest)
            assert reply.headers["OCI-Subject"] == subject["digest"]
        kinds, applied, link = referrers(client)
        assert (kinds, applied) == (["text/one", "text/two"][:page], None)
        assert (link is None) == (page is None)
        if link:
            more = client.ask("GET", link.partition(">")[0].removeprefix("<"))
            assert b"text/two" in more.body
        assert referrers(client, "?artifactType=text/two") == (["text/two"], "artifactType", None)


def test_a_registry_without_referrers() -> None:
    with FakeRegistry(Behaviour(referrers=False)) as registry:
        client = Client(registry.address)
        digest = client.push_image("a", "one")
        assert client.ask("GET", f"/v2/a/referrers/{digest}").status == 404
        subject = descriptor(json.dumps(image_manifest()).encode(), OCI_MANIFEST)
        reply = client.push_manifest("a", "two", image_manifest(subject=subject))
        assert (reply.status, reply.headers["OCI-Subject"]) == (201, None)


def test_deleting(client: Client, fake_registry: FakeRegistry) -> None:
    digest = client.push_image("a", "one", DATA)
    client.push_image("a", "two", DATA)
    assert client.ask("DELETE", "/v2/a/manifests/one").status == 202
    assert client.ask("HEAD", f"/v2/a/manifests/{digest}").status == 200
    assert client.ask("DELETE", f"/v2/a/manifests/{digest}").status == 202
    assert client.ask("GET", "/v2/a/manifests/two").status == 404
    assert client.ask("DELETE", f"/v2/a/blobs/{DIGEST}").status == 202
    assert client.ask("DELETE", f"/v2/a/blobs/{DIGEST}").status == 404
    assert fake_registry.integrity() == []


def test_integrity_sees_what_is_broken(client: Client, fake_registry: FakeRegistry) -> None:
    digest = client.push_image("a", "one", DATA)
    manifest = client.ask("GET", f"/v2/a/manifests/{digest}").body
    index = {
        "schemaVersion": 2,
        "manifests": [{**descriptor(manifest, OCI_MANIFEST), "size": 1}],
    }
    assert client.push_manifest("a", "all", index, OCI_INDEX).status == 201
    size = f"a:all: manifest {digest} has {len(manifest)} bytes, its descriptor says 1"
    assert fake_registry.integrity() == [size]
    fake_registry.store.blobs[DIGEST] = b"other"
    wrong = f"blob {DIGEST} has other bytes than its digest says"
    short = f"blob {DIGEST} has 5 bytes, its descriptor says {len(DATA)}"
    both = [f"a:all: {wrong}", f"a:all: {short}"]
    assert fake_registry.integrity() == [size, *both, f"a:one: {wrong}", f"a:one: {short}"]
    fake_registry.store.repository("a").blobs.discard(DIGEST)
    del fake_registry.store.repository("a").tags["all"]
    assert fake_registry.integrity() == [f"a:one: blob {DIGEST} is missing"]
    fake_registry.store.repository("a").manifests.clear()
    assert fake_registry.integrity() == [f"a:one: manifest {digest} is missing"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/", 200),
        ("GET", "/", 404),
        ("GET", "/v2/UPPER/tags/list", 404),
        ("GET", "/v2/a/../b/tags/list", 404),
        ("PUT", "/v2/a/tags/list", 405),
        ("POST", "/token", 404),
    ],
)
def test_other_paths(client: Client, method: str, path: str, status: int) -> None:
    assert client.ask(method, path).status == status


def test_connections_are_kept(fake_registry: FakeRegistry) -> None:
    """Many requests on one connection, with bodies that nobody wanted among them."""
    with closing(http.client.HTTPConnection(fake_registry.address, timeout=30)) as connection:
        connection.connect()
        socket = connection.sock
        for _ in range(5):
            connection.request("PATCH", "/v2/a/blobs/uploads/00", b"x" * 100_000)
            assert connection.getresponse().read()
            assert connection.sock is socket


def test_a_fault_of_the_fake_is_told() -> None:
    """A test must not take the registry's own failure for the client's."""
    with ExitStack() as stack:
        broken = stack.enter_context(FakeRegistry())
        broken.store.repository("a").blobs = None  # type: ignore[assignment]
        assert Client(broken.address).ask("GET", f"/v2/a/blobs/{DIGEST}").status == 500
        with pytest.raises(AssertionError, match="test server had a fault"):
            stack.close()


def test_tls(certificate: Certificate) -> None:
    with FakeRegistry(tls=certificate) as registry:
        trusting = ssl.create_default_context(cafile=certificate.authority)
        client = Client(registry.address, trust=trusting)
        assert client.ask("GET", "/v2/").status == 200
        begun = client.ask("POST", "/v2/a/blobs/uploads/")
        assert begun.headers["Location"].startswith(f"https://{registry.address}/")
        with pytest.raises(ssl.SSLCertVerificationError):
            Client(registry.address, trust=ssl.create_default_context()).ask("GET", "/v2/")
        assert client.ask("GET", "/v2/").status == 200
