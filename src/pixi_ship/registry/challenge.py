"""What a registry answers to a request without a login, and how a token is asked for.

Nothing here touches the network. Rules: RFC 9110 section 11 for ``WWW-Authenticate``; the
distribution project's token specification and its OAuth2 one for the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlencode, urlsplit, urlunsplit

from pixi_ship.errors import RegistryError
from pixi_ship.redaction import redacted
from pixi_ship.registry.credentials import Credentials

MAX_TOKEN_ANSWER = 1 << 20  # bytes; who reads the answer of a token server stops there
_DEFAULT_SECONDS = 60.0
_LONGEST_SECONDS = 86_400.0
_MAX_SHOWN = 200
_CLIENT = "pixi-ship"
_FORM = "application/x-www-form-urlencoded"
_HINT_OWNER = "this is the registry's doing: ask who runs it"

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, token
_SPACE = re.compile(r"[ \t]*")
# A bare value may be more than a token: some servers do not quote their realm.
_PARAMETER = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))[ \t]*(?=,|\Z)')
_CHALLENGE = re.compile(rf"({_WORD})(?:[ \t]+|(?=,)|\Z)")
_ESCAPED = re.compile(r"\\(.)")
_VISIBLE = re.compile(r"[\x21-\x7e]+\Z")


@dataclass(frozen=True, slots=True)
class Bearer:
    """The registry wants a token of the server at ``realm``.

    service: what the token server calls the registry. scope: the rights asked for, separated
    by spaces. error: why a token that was sent did not do (RFC 6750 section 3.1).
    """

    realm: str
    service: str = ""
    scope: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Basic:
    """The registry wants user and password; ``realm`` is a name for people (RFC 7617)."""

    realm: str = ""


Challenge = Bearer | Basic


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of ``WWW-Authenticate`` that we can answer, in the registry's order.

    header: its value, or several joined with commas. What is malformed is passed over, and so
    are schemes and parameters that we do not know.
    """
    challenges: list[Challenge] = []
    for scheme, parameters in _challenges(header):
        realm = parameters.get("realm", "")
        if scheme == "bearer":
            rest = (parameters.get(name, "") for name in ("service", "scope", "error"))
            challenges.append(Bearer(realm, *rest))
        elif scheme == "basic":
            challenges.append(Basic(realm))
    return challenges


def preferred(challenges: Sequence[Challenge]) -> Challenge | None:
    """The one to answer: a token is worth less to a thief than a password."""
    for kind in (Bearer, Basic):
        for challenge in challenges:
            if isinstance(challenge, kind):
                return challenge
    return None


def _challenges(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Schemes and their parameters, names in lower case; of a repeated one the first counts."""
    scheme: str | None = None
    parameters: dict[str, str] = {}
    at = 0
    while at < len(header):
        at = _SPACE.match(header, at).end()  # type: ignore[union-attr]
        parameter = _PARAMETER.match(header, at)
        if parameter is None and (found := _CHALLENGE.match(header, at)):
            if scheme is not None:
                yield scheme, parameters
            scheme, parameters, at = found[1].lower(), {}, found.end()
            parameter = _PARAMETER.match(header, at)  # or there is a token68, or nothing
        if parameter is not None:
            parameters.setdefault(parameter[1].lower(), _unquoted(parameter))
            at = parameter.end()
        comma = header.find(",", at)
        at = comma + 1 if comma >= 0 else len(header)
    if scheme is not None:
        yield scheme, parameters


def _unquoted(found: re.Match[str]) -> str:
    quoted, bare = found[2], found[3]
    return bare if quoted is None else _ESCAPED.sub(r"\1", quoted)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request for a token; it goes to the address as it is, and follows no redirect.

    body: a form, for ``POST``. headers and body hold secrets.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


def token_request(
    challenge: Bearer,
    registry: str,
    credentials: Credentials | None,
    scopes: Sequence[str],
) -> TokenRequest:
    """How to ask for a token with at least ``scopes``; anonymously without credentials.

    registry: the URL of the registry that gave the challenge. An identity token goes into a
    form (OAuth2), a password into a header. Raises RegistryError for a realm that secrets may
    not go to. Rules: the token specification, "Requesting a Token".
    """
    realm = _checked_realm(challenge.realm, registry)
    wanted = merged_scopes([*scopes, *challenge.scope.split()])
    words = [("service", challenge.service)] if challenge.service else []
    words.append(("client_id", _CLIENT))
    headers = {"Accept": "application/json"}
    if credentials is not None and credentials.identity_token:
        words += [("grant_type", "refresh_token"), ("refresh_token", credentials.identity_token)]
        words += [("scope", " ".join(wanted))] if wanted else []
        headers["Content-Type"] = _FORM
        return TokenRequest("POST", urlunsplit(realm), headers, urlencode(words).encode())
    if credentials is not None:
        words += [("account", credentials.username)] if credentials.username else []
        headers["Authorization"] = credentials.basic()
    words += [("scope", scope) for scope in wanted]
    query = "&".join(part for part in (realm.query, urlencode(words, safe=":/,")) if part)
    return TokenRequest("GET", urlunsplit(realm._replace(query=query)), headers)


def _checked_realm(realm: str, registry: str) -> SplitResult:
    """The address of a token server; one that is not as it must be gets no secret."""
    try:
        parts = urlsplit(realm)
        reachable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        reachable = False
    if not reachable or not _VISIBLE.match(realm):
        problem = "is no http address with a host"
    elif parts.scheme == "http" and urlsplit(registry).scheme != "http":
        problem = "is not encrypted, so that anybody on the way could read the login"
    elif "@" in parts.netloc:
        problem = "has a login in its address"
    else:
        return parts._replace(fragment="")
    raise RegistryError(
        f"logging in to {_shown(registry)}: the token server {_shown(realm)!r} {problem}",
        hint=_HINT_OWNER,
    )


def _shown(url: str) -> str:
    """A URL for an error: nothing secret, and not without end."""
    try:
        text = redacted(url)
    except ValueError:  # not a URL at all
        text = url.partition("://")[0]
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def merged_scopes(scopes: Sequence[str]) -> list[str]:
    """Each resource once, with all actions asked for (the token specification, "scope")."""
    merged: dict[str, list[str]] = {}
    for scope in scopes:
        resource, colon, actions = scope.rpartition(":")
        known = merged.setdefault(f"{resource}{colon}", [])
        known += [action for action in actions.split(",") if action not in known]
    return [f"{resource}{','.join(actions)}" for resource, actions in merged.items()]


@dataclass(frozen=True, slots=True)
class Token:
    """A token and how long it holds: ``expires_in`` seconds from ``issued_at`` on."""

    value: str = field(repr=False)
    expires_in: float = _DEFAULT_SECONDS
    issued_at: datetime | None = None

    def seconds_left(self, now: datetime) -> float:
        """How long it still holds, by the clock that gave ``now``; at most ``expires_in``."""
        if self.issued_at is None:
            return self.expires_in
        age = (now - self.issued_at).total_seconds()
        return self.expires_in - max(0.0, age)


def parse_token(body: bytes, realm: str) -> Token:
    """Read the answer of a token server; raises RegistryError that shows nothing of it.

    ``expires_in`` is 60 seconds where the server does not say, and at most a day here. Rules:
    the token specification, "Token Response Fields".
    """
    doing = f"reading the answer of the token server {_shown(realm)}"
    if len(body) > MAX_TOKEN_ANSWER:
        raise RegistryError(f"{doing}: it has more than {MAX_TOKEN_ANSWER} bytes", hint=_HINT_OWNER)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # not chained: the error holds the answer
        document = None
    if not isinstance(document, dict):
        raise RegistryError(f"{doing}: it is not a JSON object", hint=_HINT_OWNER)
    value = document.get("token") or document.get("access_token")
    if not isinstance(value, str) or not _VISIBLE.match(value):
        raise RegistryError(f"{doing}: there is no token in it", hint=_HINT_OWNER)
    return Token(value, _seconds(document.get("expires_in")), _moment(document.get("issued_at")))


def _seconds(value: object) -> float:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)  # some servers quote it
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return _DEFAULT_SECONDS
    return float(min(value, _LONGEST_SECONDS))


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if moment is not None and moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment
