"""Who may do what: the ways in which registries ask for credentials.

Rules: RFC 7617 (Basic), RFC 6750 (Bearer), and the token specification of the distribution
project (``docs/content/spec/auth``: token, oauth, scope).
"""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs

from .server import Answer, Exchange, json_answer, refusal

TOKEN_PATH = "/token"
_FORM_LIMIT = 1 << 16


@dataclass(frozen=True, slots=True)
class Scope:
    """Actions on a repository: ``repository:a/b:pull,push``."""

    repository: str
    actions: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Scope | None:
        """One scope; None for a resource that is no repository; ValueError for nonsense."""
        kind, name, actions = text.split(":")
        return cls(name, frozenset(actions.split(","))) if kind == "repository" else None

    def __str__(self) -> str:
        return f"repository:{self.repository}:{','.join(sorted(self.actions))}"


class Authorization(Protocol):
    """How a registry decides about a request."""

    def refused(self, exchange: Exchange, wanted: Collection[Scope]) -> Answer | None:
        """The answer to a request that may not do what it wants; None for one that may."""


class Everyone:
    """No authorization at all."""

    def refused(self, exchange: Exchange, wanted: Collection[Scope]) -> Answer | None:
        return None


class _Users:
    """Names and passwords; ``readers`` may only pull, and so may strangers where it is said."""

    def __init__(
        self, users: Mapping[str, str], readers: Collection[str], anonymous_pull: bool
    ) -> None:
        self.users = dict(users)
        self.readers = frozenset(readers)
        self.anonymous_pull = anonymous_pull

    def named(self, exchange: Exchange) -> str | None:
        """Who a Basic header says it is, "" without one; None for wrong credentials."""
        scheme, rest = exchange.authorization
        if not scheme:
            return ""
        try:
            name, colon, password = base64.b64decode(rest, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return name if scheme == "basic" and colon and self.knows(name, password) else None

    def knows(self, name: str, password: str) -> bool:
        return bool(name) and self.users.get(name) == password

    def allowed(self, name: str) -> frozenset[str]:
        """What a user may do; "" is a stranger."""
        if name in self.users and name not in self.readers:
            return frozenset({"pull", "push", "delete"})
        return frozenset({"pull"} if name or self.anonymous_pull else ())


class Basic:
    """A name and a password with every request."""

    def __init__(
        self,
        users: Mapping[str, str],
        *,
        readers: Collection[str] = (),
        anonymous_pull: bool = False,
    ) -> None:
        self._users = _Users(users, readers, anonymous_pull)

    def refused(self, exchange: Exchange, wanted: Collection[Scope]) -> Answer | None:
        name = self._users.named(exchange)
        actions = frozenset[str]().union(*(scope.actions for scope in wanted))
        allowed = self._users.allowed(name or "")
        # Even where strangers may pull, /v2/ wants a name: clients learn there how to log in.
        if name is not None and (name or wanted) and actions <= allowed:
            return None
        if name:
            return refusal(403, "DENIED", "requested access to the resource is denied")
        challenge = {"WWW-Authenticate": 'Basic realm="fake registry"'}
        return refusal(401, "UNAUTHORIZED", "authentication required", challenge)


@dataclass(slots=True)
class _Token:
    granted: dict[str, frozenset[str]]
    left: int | None

    def covers(self, wanted: Iterable[Scope]) -> bool:
        return all(each.actions <= self.granted.get(each.repository, set()) for each in wanted)


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token server does; the defaults are the usual ones.

    A token is good for ``requests_per_token`` requests. It comes under the names in ``fields``.
    Without ``oauth`` the endpoint knows only GET. With ``forbids`` a token of too small a scope
    is answered with 403 instead of another challenge.
    """

    service: str = "fake.registry.test"
    requests_per_token: int | None = None
    expires_in: int | None = 300
    fields: tuple[str, ...] = ("token", "access_token")
    oauth: bool = True
    forbids: bool = False


@dataclass(slots=True)
class _Issued:
    """What the server has given out."""

    access: dict[str, _Token] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Bearer:
    """Tokens from a token server at ``/token`` of the same address."""

    def __init__(
        self,
        users: Mapping[str, str],
        rules: TokenRules | None = None,
        *,
        readers: Collection[str] = (),
        anonymous_pull: bool = False,
    ) -> None:
        self.rules = rules or TokenRules()
        self._users = _Users(users, readers, anonymous_pull)
        self._issued = _Issued()

    def identity_token(self, user: str) -> str:
        """A refresh token, as ``docker login`` keeps them instead of a password."""
        token = secrets.token_urlsafe(24)
        self._issued.refresh[token] = user
        return token

    def expire_tokens(self) -> None:
        """Let every access token be worth nothing from now on."""
        with self._issued.lock:
            self._issued.access.clear()

    def refused(self, exchange: Exchange, wanted: Collection[Scope]) -> Answer | None:
        scheme, value = exchange.authorization
        token = self._used(value) if scheme == "bearer" else None
        if token and token.covers(wanted):
            return None
        if token and self.rules.forbids:
            return refusal(403, "DENIED", "requested access to the resource is denied")
        reason = "insufficient_scope" if token else "invalid_token" if scheme else None
        return self._challenge(exchange, wanted, reason)

    def _used(self, value: str) -> _Token | None:
        """The token, if there is one and it is good for this request."""
        with self._issued.lock:
            token = self._issued.access.get(value)
            if token is None or token.left is None:
                return token
            if token.left == 0:
                del self._issued.access[value]
                return None
            token.left -= 1
            return token

    def _challenge(
        self, exchange: Exchange, wanted: Collection[Scope], reason: str | None
    ) -> Answer:
        parts = {"realm": exchange.base_url + TOKEN_PATH, "service": self.rules.service}
        if wanted:
            parts["scope"] = " ".join(map(str, wanted))
        if reason:
            parts["error"] = reason
        value = "Bearer " + ",".join(f'{name}="{each}"' for name, each in parts.items())
        return refusal(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": value})

    def token(self, exchange: Exchange) -> Answer:
        """Answer a request to the token endpoint."""
        if exchange.method == "GET":
            return self._by_get(exchange)
        if exchange.method == "POST" and self.rules.oauth:
            return self._by_post(exchange)
        return refusal(404, "UNSUPPORTED", "there is nothing here")

    def _by_get(self, exchange: Exchange) -> Answer:
        name = self._users.named(exchange)
        if name is None:
            return refusal(401, "UNAUTHORIZED", "incorrect username or password")
        if exchange.parameter("service") != self.rules.service:
            return refusal(400, "UNSUPPORTED", "the service is not this one")
        scopes = " ".join(exchange.parameters.get("scope", []))
        offline = bool(name) and exchange.parameter("offline_token") == "true"
        return self._granted(name, scopes, self.rules.fields, offline)

    def _by_post(self, exchange: Exchange) -> Answer:
        body = exchange.body.read(_FORM_LIMIT)
        form = {name: rows[0] for name, rows in parse_qs((body or b"").decode()).items()}
        if form.get("service") != self.rules.service or not form.get("client_id"):
            return json_answer(400, {"error": "invalid_request"})
        if form.get("grant_type") == "refresh_token":
            name = self._issued.refresh.get(form.get("refresh_token", ""), "")
        elif form.get("grant_type") == "password":
            name = form.get("username", "")
            name = name if self._users.knows(name, form.get("password", "")) else ""
        else:
            return json_answer(400, {"error": "unsupported_grant_type"})
        if not name:
            return json_answer(401, {"error": "invalid_grant"})
        offline = form.get("access_type") == "offline"
        return self._granted(name, form.get("scope", ""), ("access_token",), offline)

    def _granted(self, name: str, scopes: str, fields: tuple[str, ...], offline: bool) -> Answer:
        """A token for what was asked, as far as the user may: less than all is no error."""
        try:
            asked = [scope for text in scopes.split() if (scope := Scope.parse(text))]
        except ValueError:
            return refusal(400, "UNSUPPORTED", "a scope is malformed")
        allowed = self._users.allowed(name)
        granted: dict[str, frozenset[str]] = {}
        for scope in asked:
            before = granted.get(scope.repository, frozenset())
            granted[scope.repository] = before | (scope.actions & allowed)
        value = secrets.token_urlsafe(24)
        with self._issued.lock:
            self._issued.access[value] = _Token(granted, self.rules.requests_per_token)
        document: dict[str, object] = dict.fromkeys(fields, value)
        document["scope"] = " ".join(str(Scope(*each)) for each in granted.items())
        if self.rules.expires_in is not None:
            document["expires_in"] = self.rules.expires_in
        if offline:
            document["refresh_token"] = self.identity_token(name)
        return json_answer(200, document)
