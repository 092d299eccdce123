"""The fake registry asks for credentials as the token specification says, and gives no more.

Proven by walking each way of logging in by hand, and by what a client may then do.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import urlencode

import pytest

from .authorization import Authorization, Basic, Bearer, TokenRules
from .client import OCTETS, Client, Reply, image_manifest
from .fake import FakeRegistry
from .graph import digest_of

USERS = {"ann": "the secret", "rob": "reads:only"}
SERVICE = TokenRules().service
DATA = b"some layer"


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


def bearer(value: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


def challenge(reply: Reply) -> dict[str, str]:
    """The parts of a Bearer challenge."""
    assert reply.status == 401
    assert reply.error == "UNAUTHORIZED"
    scheme, _, rest = reply.headers["WWW-Authenticate"].partition(" ")
    assert scheme == "Bearer"
    return dict(re.findall(r'(\w+)="([^"]*)"', rest))


def asked(
    client: Client,
    *scopes: str,
    user: tuple[str, str] | None = None,
    service: str = SERVICE,
    **more: str,
) -> Reply:
    """A token by GET."""
    query = urlencode(
        [("service", service), *(("scope", scope) for scope in scopes), *more.items()]
    )
    return client.ask("GET", f"/token?{query}", headers=basic(*user) if user else {})


def posted(client: Client, **form: str) -> Reply:
    """A token by POST."""
    fields = {"service": SERVICE, "client_id": "a test", **form}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return client.ask("POST", "/token", urlencode(fields).encode(), kind)


ANN = ("ann", USERS["ann"])
ROB = ("rob", USERS["rob"])


def pull_and_push(address: str, headers: dict[str, str]) -> tuple[int, int]:
    """The statuses of a pull (of nothing) and of a push."""
    client = Client(address, headers)
    pulled = client.ask("HEAD", f"/v2/a/b/blobs/{digest_of(b'')}")
    pushed = client.ask("POST", f"/v2/a/b/blobs/uploads/?digest={digest_of(DATA)}", DATA, OCTETS)
    return pulled.status, pushed.status


@pytest.mark.parametrize(
    ("user", "open_", "statuses"),
    [
        (ANN, False, (404, 201)),
        (ROB, False, (404, 403)),
        (("ann", "wrong"), True, (401, 401)),
        (("", ""), True, (401, 401)),
        (None, False, (401, 401)),
        (None, True, (404, 401)),
    ],
)
def test_basic(user: tuple[str, str] | None, open_: bool, statuses: tuple[int, int]) -> None:
    authorization = Basic(USERS, readers=["rob"], anonymous_pull=open_)
    with FakeRegistry(authorization=authorization) as registry:
        headers = basic(*user) if user else {}
        assert pull_and_push(registry.address, headers) == statuses
        reply = Client(registry.address, headers).ask("GET", "/v2/")
        assert reply.status == (200 if user in (ANN, ROB) else 401)
        if reply.status == 401:
            assert reply.headers["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize(
    ("user", "open_", "statuses"),
    [
        (ANN, False, (404, 201)),
        (ROB, False, (404, 401)),
        (None, False, (401, 401)),
        (None, True, (404, 401)),
    ],
)
def test_bearer(user: tuple[str, str] | None, open_: bool, statuses: tuple[int, int]) -> None:
    """A token for less than was asked is no error; the registry then refuses."""
    authorization = Bearer(USERS, readers=["rob"], anonymous_pull=open_)
    with FakeRegistry(authorization=authorization) as registry:
        reply = asked(Client(registry.address), "repository:a/b:pull,push", user=user)
        assert reply.status == 200
        token = reply.document["token"]
        assert token == reply.document["access_token"]
        assert pull_and_push(registry.address, bearer(token)) == statuses
        assert Client(registry.address, bearer(token)).ask("GET", "/v2/").status == 200
        assert registry.log.authorizations() == {"Bearer", "Basic" if user else None}


def test_the_challenge_names_all_that_is_needed() -> None:
    with FakeRegistry(authorization=Bearer(USERS)) as registry:
        client = Client(registry.address)
        parts = challenge(client.ask("GET", "/v2/"))
        assert parts == {"realm": f"{registry.url}/token", "service": SERVICE}
        parts = challenge(client.ask("GET", "/v2/a/b/manifests/one"))
        assert parts["scope"] == "repository:a/b:pull"
        parts = challenge(client.ask("POST", "/v2/a/b/blobs/uploads/?mount=x&from=c/d"))
        assert parts["scope"] == "repository:a/b:pull,push repository:c/d:pull"
        parts = challenge(client.ask("DELETE", "/v2/a/b/manifests/one"))
        assert parts["scope"] == "repository:a/b:delete"
        assert "error" not in parts
        client = Client(registry.address, bearer("made up"))
        assert challenge(client.ask("GET", "/v2/"))["error"] == "invalid_token"


def test_a_token_is_good_for_its_scope_alone() -> None:
    with FakeRegistry(authorization=Bearer(USERS)) as registry:
        reply = asked(Client(registry.address), "repository:a/b:pull", user=ANN)
        assert reply.document["scope"] == "repository:a/b:pull"
        headers = bearer(reply.document["token"])
        assert pull_and_push(registry.address, headers) == (404, 401)
        client = Client(registry.address, headers)
        parts = challenge(client.ask("GET", "/v2/c/tags/list"))
        assert parts["error"] == "insufficient_scope"
        two = asked(client, "repository:a/b:pull", "repository:c:pull repository:c:push", user=ANN)
        client = Client(registry.address, bearer(two.document["token"]))
        assert client.ask("GET", "/v2/c/tags/list").status == 404
        assert client.ask("POST", "/v2/c/blobs/uploads/?from=a/b&mount=x").status == 202


def test_a_registry_may_forbid() -> None:
    with FakeRegistry(authorization=Bearer(USERS, TokenRules(forbids=True))) as registry:
        reply = asked(Client(registry.address), "repository:a/b:pull", user=ANN)
        assert pull_and_push(registry.address, bearer(reply.document["token"])) == (404, 403)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"user": ("ann", "wrong")}, 401),
        ({"user": ("nobody", "the secret")}, 401),
        ({"service": "another"}, 400),
    ],
)
def test_wrong_questions(query: dict[str, object], status: int) -> None:
    with FakeRegistry(authorization=Bearer(USERS)) as registry:
        client = Client(registry.address)
        assert asked(client, "repository:a:pull", **query).status == status  # type: ignore[arg-type]
        assert asked(client, "nonsense", user=ANN).status == 400


def test_tokens_end() -> None:
    authorization = Bearer(USERS, TokenRules(requests_per_token=3))
    with FakeRegistry(authorization=authorization) as registry:
        client = Client(registry.address)
        token = asked(client, "repository:a:pull", user=ANN).document["token"]
        other = asked(client, "repository:a:pull", user=ANN).document["token"]
        statuses = [
            client.ask("GET", "/v2/a/tags/list", headers=bearer(token)).status for _ in range(5)
        ]
        assert statuses == [404, 404, 404, 401, 401]
        assert client.ask("GET", "/v2/a/tags/list", headers=bearer(other)).status == 404
        authorization.expire_tokens()
        assert client.ask("GET", "/v2/a/tags/list", headers=bearer(other)).status == 401


@pytest.mark.parametrize("name", ["token", "access_token"])
def test_the_name_of_the_token(name: str) -> None:
    rules = TokenRules(fields=(name,), expires_in=None)
    with FakeRegistry(authorization=Bearer(USERS, rules)) as registry:
        reply = asked(Client(registry.address), user=ANN)
        assert set(reply.document) == {name, "scope"}


def test_refresh_tokens() -> None:
    authorization = Bearer(USERS, readers=["rob"])
    with FakeRegistry(authorization=authorization) as registry:
        client = Client(registry.address)
        identity = authorization.identity_token("rob")
        scope = "repository:a/b:pull,push"
        form = {"grant_type": "refresh_token", "scope": scope}
        reply = posted(client, refresh_token=identity, **form)
        assert reply.document["scope"] == "repository:a/b:pull"
        headers = bearer(reply.document["access_token"])
        assert pull_and_push(registry.address, headers) == (404, 401)
        assert posted(client, refresh_token="made up", **form).status == 401
        assert posted(client, refresh_token=identity, **form, service="another").status == 400
        assert posted(client, refresh_token=identity, **form, client_id="").status == 400
        assert posted(client, grant_type="another").status == 400


def test_passwords_for_refresh_tokens() -> None:
    with FakeRegistry(authorization=Bearer(USERS)) as registry:
        client = Client(registry.address)
        form = {"grant_type": "password", "username": "ann"}
        assert "refresh_token" not in posted(client, **form, password=USERS["ann"]).document
        reply = posted(client, **form, password=USERS["ann"], access_type="offline")
        got = asked(client, user=ANN, offline_token="true")
        for identity in (reply.document["refresh_token"], got.document["refresh_token"]):
            form_two = {"grant_type": "refresh_token", "refresh_token": str(identity)}
            assert posted(client, **form_two).status == 200
        assert posted(client, **form, password="wrong").status == 401
        assert "refresh_token" not in asked(client, offline_token="true").document


def test_a_token_server_may_know_get_alone() -> None:
    authorization = Bearer(USERS, TokenRules(oauth=False))
    with FakeRegistry(authorization=authorization) as registry:
        identity = authorization.identity_token("ann")
        client = Client(registry.address)
        assert posted(client, grant_type="refresh_token", refresh_token=identity).status == 404


@pytest.mark.parametrize("authorization", [Basic(USERS), Bearer(USERS)], ids=["basic", "bearer"])
def test_no_secret_is_in_the_log(authorization: Authorization) -> None:
    with FakeRegistry(authorization=authorization) as registry:
        client = Client(registry.address, basic(*ANN))
        client.ask("GET", "/v2/")
        token = asked(client, "repository:a:pull", user=ANN)
        secrets = [USERS["ann"], basic(*ANN)["Authorization"].split()[1]]
        if token.status == 200:
            secrets.append(str(token.document["token"]))
            Client(registry.address, bearer(secrets[-1])).ask("GET", "/v2/")
        written = repr(list(registry.log))
        assert "Basic" in written
        assert not [secret for secret in secrets if secret in written]


def test_a_big_body_without_a_token_is_refused_in_words() -> None:
    """The client is still sending when the answer comes, and gets to read it."""
    with FakeRegistry(authorization=Bearer(USERS)) as registry:
        client = Client(registry.address)
        reply = client.ask("PATCH", "/v2/a/blobs/uploads/00", b"x" * (8 << 20), OCTETS)
        assert challenge(reply)["scope"] == "repository:a:pull,push"
        small = client.push_manifest("a", "one", image_manifest())
        assert challenge(small)["scope"] == "repository:a:pull,push"
