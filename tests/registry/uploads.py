"""The fake registry's uploads. Spec: distribution-spec 1.1, section "Pushing blobs"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from .behaviour import AfterCut, Behaviour
from .graph import matches
from .server import Answer, ClientGone, Exchange, refusal
from .store import Store, Upload

_RANGE = re.compile(r"([0-9]+)-([0-9]+)\Z")
_WAIT = 5.0
"""Seconds for which a request waits until an earlier one has let go of the upload."""

TOO_LARGE = Answer(413, {"Content-Type": "text/html"}, b"<h1>413 Request Entity Too Large</h1>")
"""As the web servers in front of registries say it: not in JSON."""


class Uploads:
    """Begin, send, ask, close and give up uploads."""

    def __init__(self, store: Store, behaviour: Behaviour) -> None:
        self._store = store
        self._behaviour = behaviour

    def begin(self, exchange: Exchange, name: str, _: str) -> Answer:
        """POST: a mount, a whole blob, or a new upload."""
        mount, source = exchange.parameter("mount"), exchange.parameter("from")
        if mount and source and self._behaviour.mount and self._store.mount(name, mount, source):
            return self._created(exchange, name, mount)
        digest = exchange.parameter("digest")
        if digest and self._behaviour.single_post:
            return self._whole(exchange, name, digest)
        upload = self._store.begin_upload(name)
        headers = self._progress(exchange, name, upload)
        if self._behaviour.chunk_min_length is not None:
            headers["OCI-Chunk-Min-Length"] = str(self._behaviour.chunk_min_length)
        return Answer(202, headers)

    def send(self, exchange: Exchange, name: str, identity: str) -> Answer:
        """PATCH: the next bytes."""
        with self._held(exchange, name, identity) as upload:
            if isinstance(upload, Answer):
                return upload
            problem = self._received(exchange, name, upload)
            return problem or Answer(202, self._progress(exchange, name, upload))

    def close(self, exchange: Exchange, name: str, identity: str) -> Answer:
        """PUT: perhaps the last bytes, and the digest of all."""
        digest = exchange.parameter("digest")
        if not digest:
            return refusal(400, "DIGEST_INVALID", "the digest is missing")
        with self._held(exchange, name, identity) as upload:
            if isinstance(upload, Answer):
                return upload
            if exchange.body.length != 0 and (problem := self._received(exchange, name, upload)):
                return problem
            self._store.end_upload(name, upload)
            return self._kept(exchange, name, digest, bytes(upload.data))

    def status(self, exchange: Exchange, name: str, identity: str) -> Answer:
        """GET: how far it is."""
        if not self._behaviour.upload_status:
            return refusal(405, "UNSUPPORTED", "the operation is unsupported")
        with self._held(exchange, name, identity) as upload:
            if isinstance(upload, Answer):
                return upload
            return Answer(204, self._progress(exchange, name, upload))

    def give_up(self, exchange: Exchange, name: str, identity: str) -> Answer:
        """DELETE."""
        with self._held(exchange, name, identity) as upload:
            if isinstance(upload, Answer):
                return upload
            self._store.end_upload(name, upload)
            return Answer(204)

    @contextmanager
    def _held(self, exchange: Exchange, name: str, identity: str) -> Iterator[Upload | Answer]:
        """The upload for one request alone, or why there is none."""
        upload = self._store.repository(name).uploads.get(identity)
        if upload is None:
            yield refusal(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        elif exchange.parameter("_state") != upload.state:
            yield refusal(404, "BLOB_UPLOAD_INVALID", "the location is not as it was given")
        elif not upload.lock.acquire(timeout=_WAIT):
            yield refusal(409, "BLOB_UPLOAD_INVALID", "another request is sending to this upload")
        else:
            try:
                yield upload
            finally:
                upload.lock.release()

    def _received(self, exchange: Exchange, name: str, upload: Upload) -> Answer | None:
        """Take a request's body into the upload; the answer if that cannot be."""
        length = exchange.body.length
        given = exchange.headers.get("Content-Range")
        if given is not None:
            match = _RANGE.match(given)
            if not match:
                return refusal(400, "BLOB_UPLOAD_INVALID", "Content-Range is malformed")
            first, last = int(match[1]), int(match[2])
            if length is not None and last - first + 1 != length:
                return refusal(400, "SIZE_INVALID", "Content-Range and Content-Length differ")
            if first != len(upload.data):
                headers = self._progress(exchange, name, upload)
                return refusal(416, "BLOB_UPLOAD_INVALID", "chunks come in order", headers)
        before = len(upload.data)
        problem = self._appended(exchange, name, upload)
        if problem is None:
            minimum = self._behaviour.chunk_min_length or 0
            upload.ended_short = len(upload.data) - before < minimum
        return problem

    def _appended(self, exchange: Exchange, name: str, upload: Upload) -> Answer | None:
        limit = self._behaviour.body_limit
        before = len(upload.data)
        if limit is not None and (exchange.body.length or 0) > limit:
            return TOO_LARGE
        try:
            for piece in exchange.body.pieces():
                if upload.ended_short:
                    return refusal(400, "SIZE_INVALID", "only the last chunk may be so small")
                upload.data += piece
                if limit is not None and len(upload.data) - before > limit:
                    del upload.data[before:]
                    return TOO_LARGE
        except ClientGone:
            if self._behaviour.after_cut is AfterCut.DISCARDED:
                del upload.data[before:]
            elif self._behaviour.after_cut is AfterCut.LOST and len(upload.data) > before:
                self._store.end_upload(name, upload)
            raise
        return None

    def _whole(self, exchange: Exchange, name: str, digest: str) -> Answer:
        data = exchange.body.read(self._behaviour.body_limit or 1 << 40)
        return TOO_LARGE if data is None else self._kept(exchange, name, digest, data)

    def _kept(self, exchange: Exchange, name: str, digest: str, data: bytes) -> Answer:
        if not matches(data, digest):
            return refusal(400, "DIGEST_INVALID", "the digest is not that of the bytes sent")
        self._store.add_blob(name, digest, data)
        return self._created(exchange, name, digest)

    def _created(self, exchange: Exchange, name: str, digest: str) -> Answer:
        location = self._location(exchange, f"/v2/{name}/blobs/{digest}")
        return Answer(201, {"Location": location, "Docker-Content-Digest": digest})

    def _progress(self, exchange: Exchange, name: str, upload: Upload) -> dict[str, str]:
        """Where to go on, and from which byte; nothing and one byte both read ``0-0``."""
        path = f"/v2/{name}/blobs/uploads/{upload.identity}?_state={upload.state}"
        return {
            "Location": self._location(exchange, path),
            "Range": f"0-{max(len(upload.data) - 1, 0)}",
            "Docker-Upload-UUID": upload.identity,
        }

    def _location(self, exchange: Exchange, path: str) -> str:
        return path if self._behaviour.relative_location else exchange.base_url + path
