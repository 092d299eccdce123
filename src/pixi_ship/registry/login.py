"""The login to one registry: which ``Authorization`` a request carries, and where it is from."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime

import httpx

from pixi_ship.errors import RegistryError
from pixi_ship.registry.challenge import (
    MAX_TOKEN_ANSWER,
    Basic,
    Bearer,
    Challenge,
    parse_challenges,
    parse_token,
    preferred,
    token_request,
)
from pixi_ship.registry.credentials import Credentials, CredentialStore
from pixi_ship.registry.patience import RETRIED, Cut, certificate_refused, reason, retry_after

_SPARE = 0.8  # of a token's life is used; clocks and long requests take the rest


@dataclass(frozen=True, slots=True)
class _Held:
    """A header, and the moment (``time.monotonic``) from which it is not used any more."""

    header: str = field(repr=False)
    until: float


@dataclass(slots=True)
class Login:
    """What a registry asked for so far, and the tokens it took; threads may share it.

    host: as in references. root: the registry's URL.
    """

    host: str
    root: str
    store: CredentialStore
    client: httpx.Client
    who: str = ""
    _challenge: Challenge | None = None
    _held: dict[tuple[str, ...], _Held] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def authorization(self, scopes: tuple[str, ...], doing: str) -> str | None:
        """The header for a request with these rights; None while the registry asked for none.

        Raises RegistryError where the login is refused, Cut where the token server cannot
        answer now.
        """
        with self._lock:
            held = self._held.get(scopes)
            if held is not None and time.monotonic() < held.until:
                return held.header
            if self._challenge is None:
                return None
            self._held[scopes] = self._obtained(self._challenge, scopes, doing)
            return self._held[scopes].header

    def challenged(
        self, headers: Mapping[str, str], used: str | None, scopes: tuple[str, ...]
    ) -> bool:
        """The registry refused a request that carried ``used``.

        Returns whether another header is worth a try.
        """
        found = preferred(parse_challenges(headers.get("www-authenticate", "")))
        with self._lock:
            if found is None:
                return False
            if isinstance(found, Bearer):
                found = replace(found, scope="")  # the next request wants another
            held = self._held.get(scopes)
            if held is not None and held.header != used:
                return True  # another thread was faster
            self._held.pop(scopes, None)
            again = isinstance(found, Basic) and used is not None
            self._challenge = found
            return not again

    def _obtained(self, challenge: Challenge, scopes: tuple[str, ...], doing: str) -> _Held:
        repository = scopes[0].split(":")[1] if scopes else ""
        credentials = self.store.find(self.host, repository)
        self.who = _name(credentials)
        if isinstance(challenge, Basic):
            if credentials is None or not credentials.username:
                raise self._needed(doing)
            return _Held(credentials.basic(), float("inf"))
        request = token_request(challenge, self.root, credentials, scopes)
        try:
            with self.client.stream(
                request.method, request.url, headers=dict(request.headers), content=request.body
            ) as response:
                if response.status_code != httpx.codes.OK:
                    raise self._refused(response, credentials, doing)
                body = b""
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MAX_TOKEN_ANSWER:
                        break
        except httpx.HTTPError as error:
            if certificate_refused(error):
                raise RegistryError(
                    f"{doing}: the certificate of the token server of {self.host} is not trusted",
                    hint="name its authority with --ca-file",
                ) from None
            raise Cut(f"asking its token server: {reason(error)}") from None
        except (httpx.InvalidURL, UnicodeError, OverflowError):
            raise RegistryError(
                f"{doing}: {self.host} names a token server that cannot be",
                hint="this is the registry's doing: ask who runs it",
            ) from None
        token = parse_token(body, challenge.realm)
        left = token.expires_in
        # By the server's own clock, if it tells it.
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            left = token.seconds_left(parsedate_to_datetime(response.headers["date"]))
        return _Held(f"Bearer {token.value}", time.monotonic() + _SPARE * left)

    def _refused(
        self, response: httpx.Response, credentials: Credentials | None, doing: str
    ) -> Exception:
        status = response.status_code
        if status in RETRIED:
            return Cut(f"its token server answers {status}", retry_after(response.headers))
        return self._needed(doing) if credentials is None else self.wrong(doing, status)

    @property
    def by_password(self) -> bool:
        """Whether it is user and password that the registry itself looks at."""
        return isinstance(self._challenge, Basic) and bool(self.who)

    def wrong(self, doing: str, status: int) -> RegistryError:
        """The error for a login that is there and not taken."""
        return RegistryError(
            f"{doing}: {self.host} refuses the login of {self.who} (status {status})",
            hint=f"log in again: podman login {self.host}, or docker login {self.host}",
        )

    def _needed(self, doing: str) -> RegistryError:
        return RegistryError(
            f"{doing}: {self.host} wants a login, and there is none for it",
            hint=f"log in first: podman login {self.host}, or docker login {self.host}",
        )


def _name(credentials: Credentials | None) -> str:
    if credentials is None:
        return ""
    return credentials.username or "the identity token"
