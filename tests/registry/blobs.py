"""The fake registry's blobs. Spec: distribution-spec 1.1 "Pulling blobs"; RFC 9110, section 14."""

from __future__ import annotations

import re
from collections.abc import Callable

from .behaviour import Behaviour
from .server import Answer, Exchange, refusal
from .store import Store

_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


class Blobs:
    """Blobs by digest; ``elsewhere`` gives the URL where one is really kept."""

    def __init__(
        self, store: Store, behaviour: Behaviour, elsewhere: Callable[[str, str], str]
    ) -> None:
        self._store = store
        self._behaviour = behaviour
        self._elsewhere = elsewhere

    def read(self, exchange: Exchange, name: str, digest: str) -> Answer:
        """GET and HEAD."""
        data = self._store.blob(name, digest)
        if data is None:
            return refusal(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if self._behaviour.redirect_blobs and exchange.method == "GET":
            return Answer(307, {"Location": self._elsewhere(name, digest)})
        return served(exchange, data, digest, ranges=self._behaviour.ranges)

    def delete(self, exchange: Exchange, name: str, digest: str) -> Answer:
        """DELETE."""
        with self._store.lock:
            blobs = self._store.repository(name).blobs
            if digest not in blobs:
                return refusal(404, "BLOB_UNKNOWN", "blob unknown to registry")
            blobs.discard(digest)
        return Answer(202)


def served(exchange: Exchange, data: bytes, digest: str, *, ranges: bool) -> Answer:
    """All the bytes, or the one range that was asked for."""
    headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
    if not ranges:
        return Answer(200, headers, data)
    headers["Accept-Ranges"] = "bytes"
    match = _RANGE.match(exchange.headers.get("Range") or "")
    if not match or not (match[1] or match[2]):
        return Answer(200, headers, data)
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or len(data)), len(data) - 1)
    else:
        first, last = max(len(data) - int(match[2]), 0), len(data) - 1
    if first > last:
        return Answer(416, {"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Answer(206, headers, data[first : last + 1])
