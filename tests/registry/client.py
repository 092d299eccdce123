"""A small HTTP client that does one request at a time and hides nothing."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from urllib.parse import urlsplit

from .graph import OCI_MANIFEST, digest_of

OCTETS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Message
    body: bytes

    @property
    def location(self) -> str:
        """Path and query of the Location header, which a request can be sent to."""
        parts = urlsplit(self.headers["Location"])
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    @property
    def document(self) -> dict[str, object]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def error(self) -> str | None:
        """The code of the first error in the body."""
        rows = self.document.get("errors")
        return rows[0]["code"] if isinstance(rows, list) else None


@dataclass(frozen=True, slots=True)
class Client:
    """Talks to one address with the same headers every time."""

    address: str
    headers: Mapping[str, str] | None = None
    trust: ssl.SSLContext | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request on a connection of its own; an iterable body is sent chunked."""
        made: http.client.HTTPConnection
        if self.trust:
            made = http.client.HTTPSConnection(self.address, timeout=30, context=self.trust)
        else:
            made = http.client.HTTPConnection(self.address, timeout=30)
        with closing(made) as connection:
            connection.request(method, path, body, {**(self.headers or {}), **(headers or {})})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())

    def begin(self, name: str) -> str:
        """Begin an upload; where to send to."""
        reply = self.ask("POST", f"/v2/{name}/blobs/uploads/")
        assert reply.status == 202, reply
        return reply.location

    def push_blob(self, name: str, data: bytes) -> str:
        """POST and PUT; the digest."""
        digest = digest_of(data)
        reply = self.ask("PUT", f"{self.begin(name)}&digest={digest}", data, OCTETS)
        assert reply.status == 201, reply
        return digest

    def push_manifest(
        self, name: str, reference: str, document: object, kind: str = OCI_MANIFEST
    ) -> Reply:
        data = json.dumps(document).encode()
        path = f"/v2/{name}/manifests/{reference}"
        return self.ask("PUT", path, data, {"Content-Type": kind})

    def push_image(self, name: str, tag: str, *layers: bytes) -> str:
        """An image of these layers; the digest of its manifest."""
        for data in (b"{}", *layers):
            self.push_blob(name, data)
        reply = self.push_manifest(name, tag, image_manifest(*layers))
        assert reply.status == 201, reply
        return str(reply.headers["Docker-Content-Digest"])

    def cut_patch(self, path: str, data: bytes, length: int) -> None:
        """Announce ``length`` bytes, send fewer, and hang up."""
        host, _, port = self.address.partition(":")
        head = f"PATCH {path} HTTP/1.1\r\nHost: {self.address}\r\nContent-Length: {length}\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head.encode() + data)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that a server does after its client has gone on."""
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError(f"it did not come to this: {what}")


def descriptor(data: bytes, kind: str) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}


def image_manifest(*layers: bytes, **more: object) -> dict[str, object]:
    """A manifest with the config ``{}``."""
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(b"{}", "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor(data, "application/vnd.oci.image.layer.v1.tar") for data in layers],
        **more,
    }
