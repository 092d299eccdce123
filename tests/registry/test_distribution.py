"""Debian's docker-registry runs for a test, tells what it was asked, and ends with the test.

Also proven: where it differs from the specification, for the clients that must live with it.
"""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import pytest

from .certificates import Certificate
from .client import OCTETS, Client, wait_until
from .distribution import DockerRegistry, parse_access_log
from .graph import digest_of
from .test_authorization import ANN, USERS, basic

DATA = bytes(range(256)) * 1024
DIGEST = digest_of(DATA)


def test_a_push_and_a_pull_are_counted(docker_registry: DockerRegistry) -> None:
    client = Client(docker_registry.address)
    client.push_image("some/thing", "one", DATA)
    assert client.ask("GET", f"/v2/some/thing/blobs/{DIGEST}").body == DATA
    log = docker_registry.log
    assert log.blob_bytes_received() == len(DATA) + len(b"{}")
    assert log.blob_bytes_sent() == len(DATA)
    assert (len(log.uploads()), len(log.mounts()), len(log.manifests_put())) == (2, 0, 1)
    mount = f"/v2/other/blobs/uploads/?mount={DIGEST}&from=some/thing"
    assert client.ask("POST", mount).status == 201
    assert len(log.mounts()) == 1
    assert docker_registry.integrity() == []


def test_its_own_log_says_the_same(docker_registry: DockerRegistry) -> None:
    """But for the bytes of requests, which it does not know."""
    Client(docker_registry.address).push_image("some/thing", "one", DATA)
    count = len(docker_registry.log)
    wait_until(lambda: len(docker_registry.own_log()) == count, "all is written")
    own = [(each.method, each.path, each.status, each.sent) for each in docker_registry.own_log()]
    log = [(each.method, each.path, each.status, each.sent) for each in docker_registry.log]
    assert own == log
    assert {each.received for each in docker_registry.own_log()} == {None}


def test_lines_of_the_log() -> None:
    text = (
        '127.0.0.1 - - [23/Nov/2026:13:43:28 +0000] "POST /v2/a/blobs/uploads/?mount=x&from=b'
        ' HTTP/1.1" 202 0 "" "skopeo/1.9"\n'
        '127.0.0.1 - ann [23/Nov/2026:13:43:29 +0000] "GET /v2/ HTTP/2.0" 200 2 "" ""\n'
        "something else\n"
    )
    first, second = parse_access_log(text)
    assert (first.path, first.query) == ("/v2/a/blobs/uploads/", "mount=x&from=b")
    assert (first.status, first.sent, first.authorization) == (202, 0, None)
    assert (second.method, second.status, second.sent) == ("GET", 200, 2)
    assert second.authorization == "Basic"


def test_users(tmp_path: Path) -> None:
    with DockerRegistry(tmp_path, users=USERS) as registry:
        stranger = Client(registry.address).ask("GET", "/v2/")
        assert stranger.status == 401
        assert stranger.headers["WWW-Authenticate"].startswith("Basic realm=")
        wrong = Client(registry.address, basic("ann", "wrong")).ask("GET", "/v2/")
        assert wrong.status == 401
        Client(registry.address, basic(*ANN)).push_image("a", "one", DATA)
        assert registry.integrity() == []
        assert registry.log.authorizations() == {None, "Basic"}


def test_tls(certificate: Certificate, tmp_path: Path) -> None:
    with DockerRegistry(tmp_path, tls=certificate) as registry:
        trust = ssl.create_default_context(cafile=certificate.authority)
        client = Client(registry.address, trust=trust)
        client.push_image("a", "one", DATA)
        begun = client.ask("POST", "/v2/a/blobs/uploads/")
        assert begun.headers["Location"].startswith(f"{registry.url}/v2/a/")
        assert registry.url.startswith("https://")
        assert len(registry.log.manifests_put()) == 1
        with pytest.raises(ssl.SSLCertVerificationError):
            Client(registry.address, trust=ssl.create_default_context()).ask("GET", "/v2/")


def test_integrity_sees_what_is_broken(docker_registry: DockerRegistry) -> None:
    digest = Client(docker_registry.address).push_image("a/b", "one", DATA)
    value = DIGEST.removeprefix("sha256:")
    [blob] = docker_registry.folder.rglob(f"{value}/data")
    blob.write_bytes(DATA[::-1])
    assert docker_registry.integrity() == [
        f"a/b:one: blob {DIGEST} has other bytes than its digest says"
    ]
    [link] = docker_registry.folder.rglob(f"_layers/sha256/{value}")
    shutil.rmtree(link)
    assert docker_registry.integrity() == [f"a/b:one: blob {DIGEST} is missing"]
    [manifest] = docker_registry.folder.rglob(f"revisions/sha256/{digest[7:]}")
    shutil.rmtree(manifest)
    assert docker_registry.integrity() == [f"a/b:one: manifest {digest} is missing"]


def test_it_ends_with_the_block(tmp_path: Path) -> None:
    with DockerRegistry(tmp_path) as registry:
        backend = registry.backend
        assert Client(backend).ask("GET", "/v2/").status == 200
    with pytest.raises(ConnectionRefusedError):
        Client(backend).ask("GET", "/v2/")


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "storage").write_text("in the way")
    broken = Certificate(*(tmp_path / name for name in ("none.crt", "none.crt", "none.key")))
    with pytest.raises(AssertionError, match=r"none\.crt"), DockerRegistry(tmp_path, tls=broken):
        pass


def test_no_variable_of_ours_changes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_HTTP_ADDR", "127.0.0.1:1")
    monkeypatch.setenv("REGISTRY_STORAGE_MAINTENANCE_READONLY", "{enabled: true}")
    with DockerRegistry(tmp_path) as registry:
        Client(registry.address).push_blob("a", DATA)


def test_it_appends_whatever_the_range_says(docker_registry: DockerRegistry) -> None:
    """Version 2.8 reads no Content-Range: a chunk at a wrong offset is found out by the digest."""
    client = Client(docker_registry.address)
    reply = client.ask("PATCH", client.begin("a"), DATA[:10], OCTETS)
    assert (reply.status, reply.headers["Range"]) == (202, "0-9")
    wrong = {**OCTETS, "Content-Range": f"5-{len(DATA) - 6}"}
    reply = client.ask("PATCH", reply.location, DATA[10:], wrong)
    assert (reply.status, reply.headers["Range"]) == (202, f"0-{len(DATA) - 1}")
    assert client.ask("PUT", f"{reply.location}&digest={DIGEST}").status == 201


def test_a_cut_patch_ends_the_upload(docker_registry: DockerRegistry) -> None:
    """The location from before the cut holds an offset that is no longer right."""
    client = Client(docker_registry.address)
    first = client.ask("PATCH", client.begin("a"), DATA[:1000], OCTETS)
    assert client.ask("GET", first.location).headers["Range"] == "0-999"
    client.cut_patch(first.location, DATA[1000:60_000], len(DATA) - 1000)
    gone = "the upload is gone"
    wait_until(lambda: client.ask("GET", first.location).status == 404, gone)
    assert client.ask("GET", first.location).error == "BLOB_UPLOAD_INVALID"


def test_without_the_program_it_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.contract.tools.PATH", str(tmp_path))
    monkeypatch.setattr("tests.contract.tools.IN_CI", False)
    with pytest.raises(pytest.skip.Exception, match="docker-registry"):
        DockerRegistry(tmp_path)
