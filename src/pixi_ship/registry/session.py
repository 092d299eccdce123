"""One registry, spoken to over HTTP: login, retries, errors for people.

Every request of the tool goes through :meth:`Session.open`, so that the rules for secrets,
patience and sizes stand in one place. Rules: OCI distribution-spec 1.1, and the distribution
project's token specification for ``Bearer``.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin

import httpx

from pixi_ship.errors import NotInRegistry, RegistryError
from pixi_ship.oci.blob import MAX_DOCUMENT
from pixi_ship.redaction import redacted_text
from pixi_ship.registry.certificates import certificate_directories, tls_context
from pixi_ship.registry.credentials import CredentialStore, credential_store
from pixi_ship.registry.login import Login
from pixi_ship.registry.patience import (
    RETRIED,
    Cut,
    Patience,
    certificate_refused,
    cut_by,
    retry_after,
    speaks_no_tls,
)
from pixi_ship.version import __version__

T = TypeVar("T")

_MAX_ERROR_BODY = 64 << 10
_LAST_PORT = 65535
_LOOPBACK = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?\Z")
# Docker Hub answers under another name than the one in its references.
_SERVERS = {"docker.io": "registry-1.docker.io"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How registries are spoken to; nothing in it is secret.

    plain_http: None means "for loopback only". offline: say nothing to anybody. parallel:
    transfers at once. timeout: seconds without a byte after which a connection counts as cut.
    """

    credentials: CredentialStore
    user_agent: str
    plain_http: bool | None = None
    offline: bool = False
    certificate_directories: tuple[Path, ...] = ()
    ca_file: Path | None = None
    parallel: int = 6
    timeout: float = 60.0
    patience: Patience = field(default_factory=Patience)


def settings_of(
    environment: Mapping[str, str],
    home: Path,
    uid: int,
    *,
    authfile: Path | None,
    plain_http: bool | None,
    ca_file: Path | None,
    offline: bool = False,
    patience: Patience | None = None,
) -> Settings:
    """The settings of a person: what is asked for, with what variables and home directory add."""
    return Settings(
        credentials=credential_store(environment, home, uid, authfile),
        user_agent=f"pixi-ship/{__version__}",
        plain_http=plain_http,
        offline=offline,
        certificate_directories=tuple(certificate_directories(home)),
        ca_file=ca_file,
        patience=patience or Patience(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request: ``path`` is a URL, or starts at the server's root.

    doing: what a person is told was tried. scopes: what the token must allow. body: gives the
    bytes anew for every try; ``size`` of them. wanted: statuses that are answers.
    """

    method: str
    path: str
    doing: str
    scopes: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Iterator[bytes]] | None = None
    size: int = 0
    wanted: frozenset[int] = frozenset({200})


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Session:
    """Connections to one registry and the login there; threads may share it."""

    def __init__(self, host: str, settings: Settings) -> None:
        self.host = host
        self.patience = settings.patience
        self._offline = settings.offline
        loopback = bool(_LOOPBACK.match(host))
        plain = loopback if settings.plain_http is None else settings.plain_http
        self.root = f"{'http' if plain else 'https'}://{_SERVERS.get(host, host)}"
        verify: ssl.SSLContext | bool = False
        if not plain:
            verify = tls_context(host, settings.certificate_directories, settings.ca_file)
        self._client = httpx.Client(
            verify=verify,
            # Digests and sizes are those of the bytes as they are stored.
            headers={"User-Agent": settings.user_agent, "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(settings.timeout, connect=min(15.0, settings.timeout)),
            limits=httpx.Limits(max_connections=settings.parallel * 2),
            # A proxy for this machine's own loopback would be somebody else's.
            trust_env=not loopback,
        )
        self._login = Login(host, self.root, settings.credentials, self._client)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def url(self, path: str, base: str | None = None) -> str:
        """An absolute URL; ``Location`` headers may be relative to what was asked.

        Raises RegistryError where the registry names what is no address.
        """
        try:
            url = urljoin(base or self.root, path)
            parts = httpx.URL(url)
            if parts.scheme in ("http", "https") and (parts.port or 0) <= _LAST_PORT:
                return url
        except (ValueError, httpx.InvalidURL):
            pass
        raise RegistryError(f"asking {self.host}: the address is malformed")

    def patiently(self, doing: str, attempt: Callable[[], T]) -> T:
        """Try until it is no Cut; raises RegistryError when patience is at its end."""
        failures = 0
        while True:
            try:
                return attempt()
            except Cut as cut:
                failures += cut.cost
                self.pause(doing, failures, cut)

    def pause(self, doing: str, failures: int, cut: Cut) -> None:
        """Wait before another try; raises RegistryError where there shall be none."""
        if not self.patience.pause(failures, cut.asked):
            raise RegistryError(
                f"{doing}: {cut.reason}",
                hint="is the registry up, and the network? Run the same again to go on",
            ) from None

    def answer(self, call: Call, check: Callable[[Answer], None] = lambda answer: None) -> Answer:
        """Send, and read a whole small body; ``check`` may raise Cut to have it tried again.

        Raises RegistryError for a refusal, NotInRegistry for 404 where that is not wanted.
        """

        def attempt() -> Answer:
            answer = self.once(call)
            check(answer)
            return answer

        return self.patiently(call.doing, attempt)

    def once(self, call: Call) -> Answer:
        """Send once, and read a whole small body: only then is the connection used again.

        Raises as :meth:`open` does.
        """
        with self.open(call) as response:
            body = b"".join(_bounded(response, call.doing))
            return Answer(response.status_code, response.headers, body, str(response.url))

    @contextmanager
    def open(self, call: Call) -> Iterator[httpx.Response]:
        """Send once, and give the response with its body still to be read.

        Raises Cut for what another try may cure, RegistryError and NotInRegistry as
        :meth:`answer` does.
        """
        response = self._send(call)
        try:
            if response.status_code not in call.wanted:
                raise self._refusal(call, response)
            yield response
        except httpx.HTTPError as error:
            raise cut_by(error) from None
        finally:
            response.close()

    def _send(self, call: Call) -> httpx.Response:
        if self._offline:
            cached = "it is not in the cache, and " if call.method == "GET" else ""
            raise RegistryError(
                f"{call.doing}: {cached}--offline forbids to ask {self.host}",
                hint="run once without --offline; --base-lock keeps the digest of the base",
            )
        url = self.url(call.path)
        home = self._is_own(url)
        # A fresh token can be worth nothing too: many requests at once may have used it up.
        for last in (False, False, True):
            headers = dict(call.headers)
            used = self._login.authorization(call.scopes, call.doing) if home else None
            if used:
                headers["Authorization"] = used
            response = self._send_once(call, url, headers)
            if response.status_code != httpx.codes.UNAUTHORIZED or last:
                break
            # Another server, which a blob was redirected to, gets no login and asks for none.
            if not self._is_own(str(response.url)):
                break
            if not self._login.challenged(response.headers, used, call.scopes):
                break
            response.close()
        return _now_or_later(response)

    def _is_own(self, url: str) -> bool:
        """Whether an address is the registry's own; its default port may be said or not."""
        own, other = httpx.URL(self.root), httpx.URL(url)
        return (own.scheme, own.host, own.port) == (other.scheme, other.host, other.port)

    def _send_once(self, call: Call, url: str, headers: dict[str, str]) -> httpx.Response:
        content = call.body() if call.body else None
        if content is not None or call.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(call.size)
        request = self._client.build_request(call.method, url, headers=headers, content=content)
        try:
            return self._client.send(
                request, stream=True, follow_redirects=call.method in ("GET", "HEAD")
            )
        except httpx.HTTPError as error:
            if certificate_refused(error):
                raise RegistryError(
                    f"{call.doing}: the certificate of {self.host} is not trusted",
                    hint="name its authority with --ca-file, or put it into "
                    f"/etc/containers/certs.d/{self.host}/ca.crt",
                ) from None
            if speaks_no_tls(error):
                raise RegistryError(
                    f"{call.doing}: {self.host} does not speak TLS",
                    hint="if it is meant to be without encryption, give --plain-http",
                ) from None
            raise cut_by(error) from None
        except (UnicodeError, OverflowError):  # of the resolver, for an odd name or port
            raise RegistryError(f"{call.doing}: there can be no such server") from None

    def _refusal(self, call: Call, response: httpx.Response) -> RegistryError:
        status = response.status_code
        said = _said(response)
        if status == httpx.codes.UNAUTHORIZED and self._login.by_password:
            return self._login.wrong(call.doing, status)
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            who = self._login.who
            return RegistryError(
                f"{call.doing}: {self.host} does not allow it{f' to {who}' if who else ''}{said}",
                hint=f"log in first: podman login {self.host}, or docker login {self.host}"
                if not who
                else "has this login the right, and is the name spelled right?",
            )
        kind = NotInRegistry if status == httpx.codes.NOT_FOUND else RegistryError
        what = "there is none" if status == httpx.codes.NOT_FOUND else f"got status {status}"
        return kind(f"{call.doing}: {what}{said}")


def _now_or_later(response: httpx.Response) -> httpx.Response:
    """The response, unless it says to come back: that is a Cut."""
    if response.status_code not in RETRIED:
        return response
    response.close()
    words = f"the registry answers {response.status_code} {response.reason_phrase}"
    raise Cut(words.strip(), retry_after(response.headers))


def _bounded(response: httpx.Response, doing: str) -> Iterator[bytes]:
    size = 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > MAX_DOCUMENT:
            raise RegistryError(f"{doing}: the answer is larger than {MAX_DOCUMENT} bytes")
        yield chunk


def _said(response: httpx.Response) -> str:
    """What the registry says of its refusal, cut and cleaned (distribution-spec, error codes)."""
    body = b""
    try:
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _MAX_ERROR_BODY:
                return ""
        rows = json.loads(body)["errors"]
        words = "; ".join(f"{row.get('code', '')} {row.get('message', '')}".strip() for row in rows)
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    clean = redacted_text("".join(c for c in words if c.isprintable()))[:200]
    return f" ({clean})" if clean else ""
