"""Whoever pushes is who the login file says, and nobody else learns the password.

Basic and Bearer, tokens that end in the middle, wrong logins and none; TLS with an authority of
one's own, and registries that do not speak it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixi_ship.registry.repository import Repository
from pixi_ship.registry.session import Session
from pixi_ship.registry.upload import push_blob

from ..tiny import Ran, Tiny, ship
from .authorization import Authorization, Basic, Bearer, TokenRules
from .behaviour import Behaviour
from .certificates import Certificate
from .distribution import DockerRegistry
from .fake import FakeRegistry
from .faults import Faults, FaultyProxy, Kind
from .server import Answer, Exchange, LocalServer, refusal
from .shipping import (
    base_at,
    home,
    hurry,
    logged_in,
    offer,
    package,
    pushed,
    random_blob,
    settings,
)

__all__ = ["home"]

PASSWORD = "hunter2-pa55"
USERS = {"ann": PASSWORD}


@pytest.fixture
def tiny(tmp_path: Path, home: Path) -> Tiny:
    found = Tiny(tmp_path)
    found.lock(package(found, "one"), package(found, "two"))
    return found


@pytest.fixture
def login(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that REGISTRY_AUTH_FILE names."""
    path = tmp_path / "auth.json"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(path))
    return path


def ship_to(tiny: Tiny, address: str) -> Ran:
    return ship(*tiny.words(to=f"docker://{address}/team/tiny:t"))


def silent(ran: Ran) -> None:
    """No secret in what is printed."""
    for secret in (PASSWORD, "YW5uO", "Bearer", "wr0ng"):
        assert secret not in ran.out + ran.err


WAYS: dict[str, Authorization] = {
    "basic": Basic(USERS),
    "bearer": Bearer(USERS),
    "bearer, ten requests each": Bearer(USERS, TokenRules(requests_per_token=10)),
    "bearer, access_token": Bearer(USERS, TokenRules(fields=("access_token",), expires_in=None)),
    "bearer, forbids": Bearer(USERS, TokenRules(forbids=True)),
    "bearer, anybody reads": Bearer(USERS, anonymous_pull=True),
    "basic, anybody reads": Basic(USERS, anonymous_pull=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_login(tiny: Tiny, login: Path, way: str) -> None:
    with FakeRegistry(Behaviour(redirect_blobs=True), authorization=WAYS[way]) as registry:
        logged_in(login, registry.address, "ann", PASSWORD)
        offer(registry, tiny.base())
        ran = pushed(tiny, registry, "--base", base_at(registry))
        assert registry.store.repository("team/tiny").tags == {"t": ran.digest}
        assert registry.integrity() == []
        silent(ran)
        assert pushed(tiny, registry, "--base", base_at(registry)).digest == ran.digest
        # Storage behind the registry refuses whoever shows it a login.
        assert {each.status for each in registry.storage_log} == {200}
        assert {each.authorization for each in registry.storage_log} == {None}


def test_an_identity_token(tiny: Tiny, login: Path) -> None:
    authorization = Bearer(USERS)
    with FakeRegistry(authorization=authorization) as registry:
        token = authorization.identity_token("ann")
        entry = {"auth": "", "identitytoken": token}
        login.write_text(json.dumps({"auths": {registry.address: entry}}))
        ran = pushed(tiny, registry)
        assert registry.store.repository("team/tiny").tags == {"t": ran.digest}
        assert token not in ran.out + ran.err


def test_authfile_stands_before_all_others(tiny: Tiny, login: Path, tmp_path: Path) -> None:
    with FakeRegistry(authorization=Basic(USERS)) as registry:
        logged_in(login, registry.address, "ann", "wr0ng")
        mine = logged_in(tmp_path / "mine.json", registry.address, "ann", PASSWORD)
        assert pushed(tiny, registry, "--authfile", mine).status == 0


def test_home_is_looked_into(tiny: Tiny, home: Path) -> None:
    with FakeRegistry(authorization=Basic(USERS)) as registry:
        folder = home / ".docker"
        folder.mkdir()
        logged_in(folder / "config.json", registry.address, "ann", PASSWORD)
        assert pushed(tiny, registry).status == 0


def test_docker_registry_with_a_login(tiny: Tiny, login: Path, tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "registry", users=USERS) as registry:
        logged_in(login, registry.address, "ann", PASSWORD)
        silent(pushed(tiny, registry))
        assert registry.integrity() == []
        logged_in(login, registry.address, "ann", "wr0ng")
        ran = pushed(tiny, registry)
        assert ran.status == 1
        assert f"{registry.address} refuses the login of ann (status 401)\n" in ran.err
        silent(ran)


# Tokens that end


def test_a_token_ends_in_the_middle(tiny: Tiny, tmp_path: Path) -> None:
    """Every second request finds that its token is worth nothing any more."""
    authorization = Bearer(USERS)
    with FakeRegistry(authorization=authorization) as registry:
        file = logged_in(tmp_path / "auth.json", registry.address, "ann", PASSWORD)
        session = Session(registry.address, settings(file, parallel=1))
        for number in range(4):
            blob = random_blob(1_500_000, number)
            assert push_blob(blob, Repository(session, "a"), ()) == "sent"
            authorization.expire_tokens()
        session.close()
        assert registry.log.blob_bytes_received() <= 2 * 4 * 1_500_000
        assert len(registry.log.matching("GET", "/token")) >= 4
        assert len(registry.store.blobs) == 4


def test_a_token_is_asked_for_once(tiny: Tiny, login: Path) -> None:
    """One for reading and one for writing serve all requests, those of all threads."""
    with FakeRegistry(authorization=Bearer(USERS)) as registry:
        logged_in(login, registry.address, "ann", PASSWORD)
        pushed(tiny, registry)
        asked = registry.log.matching("GET", "/token")
        assert sorted(each.query.rpartition(":")[2] for each in asked) == ["pull", "pull,push"]


def test_expired_for_ever(tiny: Tiny, login: Path, tmp_path: Path) -> None:
    """A registry that takes no token, whatever its token server says."""
    with FakeRegistry(authorization=Bearer(USERS)) as registry:
        with FaultyProxy(registry.address, Faults.endless(1, Kind.EXPIRED)) as proxy:
            logged_in(login, proxy.address, "ann", PASSWORD)
            ran = ship_to(tiny, proxy.address)
        assert ran.status == 1
        assert f": {proxy.address} does not allow it to ann\n" in ran.err
        silent(ran)
        assert len(registry.log.matching("GET", "/token")) <= 3 * 6, "a few tries of each thread"


# Refusals


WANTS = "  hint: log in first: podman login {0}, or docker login {0}"
AGAIN = "  hint: log in again: podman login {0}, or docker login {0}"
RIGHTS = "  hint: has this login the right, and is the name spelled right?"


@pytest.mark.parametrize(
    ("authorization", "password", "want", "hint"),
    [
        (Basic(USERS), None, "{0} wants a login, and there is none for it", WANTS),
        (Bearer(USERS), None, "{0} does not allow it", WANTS),
        (Basic(USERS), "wr0ng", "{0} refuses the login of ann (status 401)", AGAIN),
        (Bearer(USERS), "wr0ng", "{0} refuses the login of ann (status 401)", AGAIN),
        (
            Bearer(USERS, TokenRules(forbids=True), readers=["ann"]),
            PASSWORD,
            "{0} does not allow it to ann (DENIED requested access to the resource is denied)",
            RIGHTS,
        ),
        (
            Basic(USERS, readers=["ann"]),
            PASSWORD,
            "{0} does not allow it to ann (DENIED requested access to the resource is denied)",
            RIGHTS,
        ),
    ],
    ids=["basic none", "bearer none", "basic wrong", "bearer wrong", "bearer reader", "reader"],
)
def test_refusals(
    tiny: Tiny,
    login: Path,
    authorization: Authorization,
    password: str | None,
    want: str,
    hint: str,
) -> None:
    with FakeRegistry(authorization=authorization) as registry:
        if password is None:
            login.write_text("{}")
        else:
            logged_in(login, registry.address, "ann", password)
        ran = pushed(tiny, registry)
        silent(ran)
        assert (ran.status, ran.out) == (1, "")
        lines = ran.err.splitlines()
        assert lines[0].startswith(("error: looking for blob sha256:", "error: pushing blob"))
        assert lines[0].endswith(f"/team/tiny: {want.format(registry.address)}")
        assert lines[1:] == [hint.format(registry.address)]
        assert registry.store.blobs == {}


def test_a_missing_login_file_is_told(tiny: Tiny, login: Path) -> None:
    """Somebody named it, so it is meant; where no registry asks for a login nobody looks."""
    with FakeRegistry(authorization=Basic(USERS)) as registry:
        ran = pushed(tiny, registry)
        assert (ran.status, ran.out) == (1, "")
        assert str(login) in ran.err.splitlines()[0]
    with FakeRegistry() as registry:
        assert pushed(tiny, registry).status == 0


@pytest.mark.parametrize(
    ("realm", "want"),
    [
        ("", "the token server '' is no http address with a host"),
        ("file:///etc/passwd", "is no http address with a host"),
        ("http://a..b/token", "names a token server that cannot be"),
        ("http://[v1.x]/token", "names a token server that cannot be"),
        ("http://127.0.0.1:1/token", "asking its token server: no connection"),
        (f"http://ann:{PASSWORD}@127.0.0.1:1/token", "has a login in its address"),
    ],
)
def test_odd_token_servers(
    tiny: Tiny, login: Path, monkeypatch: pytest.MonkeyPatch, realm: str, want: str
) -> None:
    hurry(monkeypatch)

    def handle(exchange: Exchange) -> None:
        challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'}
        exchange.answer(refusal(401, "UNAUTHORIZED", "authentication required", challenge))

    with LocalServer(handle) as server:
        logged_in(login, server.address, "ann", PASSWORD)
        ran = ship_to(tiny, server.address)
    silent(ran)
    assert (ran.status, ran.out) == (1, "")
    first, *rest = ran.err.splitlines()
    assert first.startswith("error: ")
    assert want in first
    assert len(rest) == 1, "one sentence and a hint"


def test_a_redirect_leads_to_no_other_login(tiny: Tiny, login: Path) -> None:
    """Storage that a registry redirects to may not ask for the registry's password."""
    seen: list[str | None] = []

    def thief(exchange: Exchange) -> None:
        seen.append(exchange.headers.get("Authorization"))
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{server.address}/token"'}
        exchange.answer(Answer(401, challenge))

    with LocalServer(thief) as server:

        def handle(exchange: Exchange) -> None:
            if exchange.authorization[0] != "basic":
                exchange.answer(Answer(401, {"WWW-Authenticate": 'Basic realm="x"'}))
            else:
                exchange.answer(Answer(307, {"Location": f"{server.url}/blob"}))

        with LocalServer(handle) as registry:
            logged_in(login, registry.address, "ann", PASSWORD)
            ran = ship_to(tiny, registry.address)
    assert ran.status == 1
    assert seen
    assert set(seen) == {None}
    assert not server.log.matching(path="/token")
    silent(ran)


# TLS


@pytest.fixture
def encrypted(certificate: Certificate) -> Iterator[FakeRegistry]:
    with FakeRegistry(tls=certificate) as registry:
        yield registry


def test_an_unknown_authority(tiny: Tiny, encrypted: FakeRegistry) -> None:
    ran = pushed(tiny, encrypted, "--no-plain-http")
    lines = ran.err.splitlines()
    assert (ran.status, ran.out) == (1, "")
    assert lines[0].startswith("error: looking for blob sha256:")
    assert lines[0].endswith(f": the certificate of {encrypted.address} is not trusted")
    assert lines[1:] == [
        "  hint: name its authority with --ca-file, or put it into "
        f"/etc/containers/certs.d/{encrypted.address}/ca.crt"
    ]
    assert len(encrypted.log) == 0


def test_an_authority_of_ones_own(
    tiny: Tiny, encrypted: FakeRegistry, certificate: Certificate
) -> None:
    ran = pushed(tiny, encrypted, "--no-plain-http", "--ca-file", certificate.authority)
    assert encrypted.store.repository("team/tiny").tags == {"t": ran.digest}


def test_an_authority_at_home(
    tiny: Tiny, encrypted: FakeRegistry, certificate: Certificate, home: Path
) -> None:
    folder = home / ".config" / "containers" / "certs.d" / encrypted.address
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(certificate.authority.read_bytes())
    ran = pushed(tiny, encrypted, "--no-plain-http")
    assert encrypted.store.repository("team/tiny").tags == {"t": ran.digest}


def test_docker_registry_with_tls(tiny: Tiny, certificate: Certificate, tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "registry", tls=certificate) as registry:
        ran = pushed(tiny, registry, "--no-plain-http", "--ca-file", certificate.authority)
        assert ran.status == 0, ran.err
        assert registry.integrity() == []


def test_a_registry_without_tls(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    ran = pushed(tiny, fake_registry, "--no-plain-http")
    lines = ran.err.splitlines()
    assert (ran.status, ran.out) == (1, "")
    assert lines[0].endswith(f": {fake_registry.address} does not speak TLS")
    assert lines[1:] == ["  hint: if it is meant to be without encryption, give --plain-http"]
