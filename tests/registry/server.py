"""An HTTP/1.1 server on the loopback address that counts what it reads and writes.

The fake registry and the proxies are functions from an :class:`Exchange`; this module knows
connections, bodies and the access log, and nothing of registries.
"""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol, Self
from urllib.parse import parse_qs, urlsplit

from .access import Access, AccessLog
from .certificates import Certificate

BLOCK = 1 << 16
_SMALL = 1 << 18
"""A body that nobody wants is read to its end when it is no longer than this."""

_LINGER = 10.0
"""Seconds that a client has to notice an answer to a body it is still sending."""


class ClientGone(ConnectionError):
    """The client ended the connection in the middle of its request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; ``Content-Length`` is added."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def json_answer(status: int, document: object, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a JSON document, as ``application/json`` unless the headers name a type."""
    given = {"Content-Type": "application/json", **(headers or {})}
    return Answer(status, given, json.dumps(document).encode())


def refusal(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """An error as distribution-spec 1.1 writes it, section "Error Codes"."""
    return json_answer(status, {"errors": [{"code": code, "message": message}]}, headers)


class Readable(Protocol):
    """What a body is read from."""

    def read1(self, size: int, /) -> bytes: ...

    def readline(self, limit: int, /) -> bytes: ...


class Body:
    """The body of a request: read once, piece by piece as it comes. RFC 9112, section 6.

    ``length`` is None for a chunked body; ``received`` counts bytes without the framing.
    """

    def __init__(self, stream: Readable, headers: Message) -> None:
        self._stream = stream
        chunked = "chunked" in (headers.get("Transfer-Encoding") or "").lower()
        self.length = None if chunked else int(headers.get("Content-Length") or 0)
        self.received = 0
        self.complete = self.length == 0
        self._pieces = self._all()

    def pieces(self) -> Iterator[bytes]:
        """What is still to come; raises ClientGone when it does not come."""
        return self._pieces

    def _all(self) -> Iterator[bytes]:
        if self.length is not None:
            yield from self._exactly(self.length)
        else:
            while size := int(self._line().split(b";")[0], 16):
                yield from self._exactly(size)
                self._line()
            while self._line():
                pass
        self.complete = True

    def read(self, limit: int) -> bytes | None:
        """The whole body; None as soon as it is known to be longer than ``limit``."""
        if (self.length or 0) > limit:
            return None
        data = bytearray()
        for piece in self.pieces():
            data += piece
            if len(data) > limit:
                return None
        return bytes(data)

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            try:
                piece = self._stream.read1(min(size, BLOCK))
            except OSError as error:
                raise ClientGone(str(error)) from error
            if not piece:
                raise ClientGone("the body ended too early")
            size -= len(piece)
            self.received += len(piece)
            yield piece

    def _line(self) -> bytes:
        line = self._stream.readline(1024)
        if not line.endswith(b"\n"):
            raise ClientGone("the body ended too early")
        return line.strip()


class Exchange:
    """One request and the answer to it; writes one record into the log."""

    def __init__(self, handler: _Handler) -> None:
        target = urlsplit(handler.path)
        self.method: str = handler.command
        self.target: str = handler.path
        self.path = target.path
        self.query = target.query
        self.parameters = parse_qs(target.query, keep_blank_values=True)
        self.headers: Message = handler.headers
        self.body = Body(handler.rfile, handler.headers)
        self._handler = handler
        self._record: Access | None = None
        self._sent = 0

    @property
    def base_url(self) -> str:
        """Where the client believes to be, such as ``http://127.0.0.1:5000``."""
        return f"{self._handler.server.scheme}://{self.headers.get('Host', '')}"

    @property
    def authorization(self) -> tuple[str, str]:
        """The scheme in lower case and the credentials of the Authorization header."""
        scheme, _, rest = (self.headers.get("Authorization") or "").partition(" ")
        return scheme.lower(), rest.strip()

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return self.parameters.get(name, [None])[0]

    def answer(self, answer: Answer) -> None:
        """Answer at once and entirely."""
        headers = {"Date": formatdate(usegmt=True), **answer.headers}
        self.begin(answer.status, list(headers.items()), len(answer.body))
        for start in range(0, len(answer.body), BLOCK):
            self.write(answer.body[start : start + BLOCK])

    def begin(self, status: int, headers: list[tuple[str, str]], length: int) -> None:
        """Send the head of an answer whose body has ``length`` bytes."""
        if (self.body.length or 0) <= _SMALL and self.body.length is not None:
            for _ in self.body.pieces():
                pass
        bodiless = self.method == "HEAD" or status in (204, 304)
        # The record is there before the client can see the answer and look for it.
        self._note(status, 0 if bodiless else length)
        self._handler.send_response_only(status)
        for name, value in headers:
            self._handler.send_header(name, value)
        if status != 204:
            self._handler.send_header("Content-Length", str(length))
        if not self.body.complete:
            self._handler.send_header("Connection", "close")
        self._handler.end_headers()

    def write(self, data: bytes) -> None:
        """Send a piece of the answer's body."""
        if self.method != "HEAD":
            self._handler.wfile.write(data)
            self._sent += len(data)

    def finish(self) -> None:
        """Make the record say what really went over the wire, and free a client still sending."""
        if self._record is None:
            self._note(0, 0)
        elif not self.body.complete:
            self._linger()
        if self._record is not None:
            self._handler.server.log.amend(
                self._record, sent=self._sent, received=self.body.received
            )

    def cut(self, *, reset: bool = False) -> None:
        """End the connection here; with ``reset`` the client meets an error instead of an end."""
        connection = self._handler.connection
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._handler.close_connection = True
        self.body.complete = True  # nothing more will be read

    def _note(self, status: int, sent: int) -> None:
        scheme = self.authorization[0].title() or None
        self._record = Access(
            self.method, self.path, self.query, status, self.body.received, sent, scheme
        )
        self._handler.server.log.add(self._record)

    def _linger(self) -> None:
        """Read on for a while: closing now would reset the connection and destroy the answer."""
        connection = self._handler.connection
        self._handler.close_connection = True
        end = time.monotonic() + _LINGER
        with suppress(OSError, ValueError):
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(_LINGER)
            for _ in self.body.pieces():
                if time.monotonic() > end:
                    break


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _any(self) -> None:
        exchange = Exchange(self)
        try:
            self.server.handle_exchange(exchange)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            self.close_connection = True
            self.server.failures.append(error)
            with suppress(OSError):
                exchange.answer(refusal(500, "UNKNOWN", "the test server has a fault"))
        finally:
            exchange.finish()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, handle: Callable[[Exchange], None], log: AccessLog, tls: Certificate | None
    ) -> None:
        self.handle_exchange = handle
        self.log = log
        self.scheme = "https" if tls else "http"
        self.failures: list[Exception] = []
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)
        if tls:
            # The handshake is left to the connection's thread: a slow client blocks nobody.
            self.socket = tls.for_server().wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def server_bind(self) -> None:
        # Without HTTPServer's look-up of the host's name, which may ask a network.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def process_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: object) -> None:
        assert isinstance(request, socket.socket)
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that went away or does not trust us; other faults are in `failures`


class LocalServer:
    """A server on 127.0.0.1 at a free port while the block lasts.

    Raises AssertionError at the end of the block when the server itself had a fault: a test
    must not take that for the client's.
    """

    def __init__(
        self, handle: Callable[[Exchange], None], *, tls: Certificate | None = None
    ) -> None:
        self.log = AccessLog()
        self.tls = tls
        self._server = _Server(handle, self.log, tls)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    @property
    def address(self) -> str:
        """Host and port, as image references want them."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"{self._server.scheme}://{self.address}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in list(self._server.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if kind is None and self._server.failures:
            raise AssertionError("the test server had a fault") from self._server.failures[0]
