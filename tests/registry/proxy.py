"""A proxy in front of a registry that counts the bytes of bodies, and lets faults interfere.

It keeps the client's ``Host``, so that a registry that builds its locations from it sends
clients back to the proxy; locations and token servers that still name the registry itself are
rewritten.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from types import TracebackType
from typing import Self

from .access import AccessLog
from .server import BLOCK, ClientGone, Exchange, LocalServer, refusal

_HOP = frozenset(
    {"connection", "keep-alive", "expect", "transfer-encoding", "content-length", "te", "upgrade"}
)
_NAMING = frozenset({"location", "www-authenticate", "link"})
_TIMEOUT = 60.0
_NOTICE = 5.0
_LIST_LIMIT = 16 << 20

Send = Callable[[bytes], None]


class Cut(Exception):
    """Raised by an interference: both connections end here."""


class Interference:
    """What may happen to an exchange on its way; this one lets everything pass.

    Headers of the request whose lower-case names are in ``without`` stay behind.
    """

    without: frozenset[str] = frozenset()

    def request_body(self, send: Send, length: int | None) -> Send:
        """What takes the request's body instead of ``send``; it has ``length`` bytes, if known."""
        return send

    def before_answer(self, status: int) -> None:
        """The registry has answered; the client does not know yet."""

    def answer_body(self, send: Send, length: int) -> Send:
        """What takes the answer's body instead of ``send``."""
        return send


class Proxy:
    """A proxy on 127.0.0.1 while the block lasts; ``address`` is where clients go."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self._server = LocalServer(self.handle)

    @property
    def address(self) -> str:
        return self._server.address

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def log(self) -> AccessLog:
        return self._server.log

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.__exit__(kind, error, trace)

    def handle(self, exchange: Exchange) -> None:
        """Answer one request; what to override."""
        self.forward(exchange, Interference())

    def forward(self, exchange: Exchange, interference: Interference) -> None:
        """Pass a request and its answer on."""
        with closing(http.client.HTTPConnection(self.upstream, timeout=_TIMEOUT)) as connection:
            try:
                self._pass_request(exchange, connection, interference)
                response = connection.getresponse()
            except ClientGone:
                raise  # the registry learns of it by the end of our connection to it
            except Cut:
                _end(connection)
                raise
            except (OSError, http.client.HTTPException) as error:
                exchange.answer(refusal(502, "UNKNOWN", f"the registry is gone: {error!r}"))
                return
            interference.before_answer(response.status)
            self._pass_answer(exchange, response, interference)

    def _pass_request(
        self,
        exchange: Exchange,
        connection: http.client.HTTPConnection,
        interference: Interference,
    ) -> None:
        connection.putrequest(
            exchange.method, exchange.target, skip_host=True, skip_accept_encoding=True
        )
        for name, value in exchange.headers.items():
            if name.lower() not in _HOP | interference.without:
                connection.putheader(name, value)
        chunked = exchange.body.length is None
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif exchange.body.length or exchange.method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(exchange.body.length))
        connection.endheaders()

        def send(data: bytes) -> None:
            connection.send(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)

        sink = interference.request_body(send, exchange.body.length)
        for piece in exchange.body.pieces():
            try:
                sink(piece)
            except (BrokenPipeError, ConnectionResetError):
                return  # the registry has answered before the end: its answer is what counts
        if chunked:
            connection.send(b"0\r\n\r\n")

    def _pass_answer(
        self,
        exchange: Exchange,
        response: http.client.HTTPResponse,
        interference: Interference,
    ) -> None:
        length = response.headers.get("Content-Length")
        body = b"" if length is not None else response.read(_LIST_LIMIT)
        size = int(length) if length is not None else len(body)
        exchange.begin(response.status, self._headers(exchange, response), size)
        if exchange.method == "HEAD":
            return
        left, send = size, interference.answer_body(exchange.write, size)
        while piece := body or response.read1(BLOCK):
            body = b""
            send(piece)
            left -= len(piece)
        if left:
            exchange.cut()  # the registry was cut off: let the client see that

    def _headers(
        self, exchange: Exchange, response: http.client.HTTPResponse
    ) -> list[tuple[str, str]]:
        own, here = f"//{self.upstream}", f"//{exchange.headers.get('Host', self.address)}"
        return [
            (name, value.replace(own, here) if name.lower() in _NAMING else value)
            for name, value in response.headers.items()
            if name.lower() not in _HOP
        ]


def _end(connection: http.client.HTTPConnection) -> None:
    """End a request in the middle, and wait until the registry has dealt with that.

    So a client that asks at once how far its upload is does not get to hear an older state.
    """
    with suppress(OSError):
        connection.sock.settimeout(_NOTICE)
        connection.sock.shutdown(socket.SHUT_WR)
        while connection.sock.recv(BLOCK):
            pass
