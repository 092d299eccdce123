"""One blob into a repository: found there, mounted, or sent; a cut costs as little as it can.

Spec: OCI distribution-spec 1.1, "Pushing blobs". A blob goes in one ``PATCH`` as docker sends
it, which every registry takes; after a cut the registry is asked how much it kept. Where a
body is too large for the registry, or a proxy before it, smaller pieces follow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

import httpx

from pixi_ship.errors import RegistryError
from pixi_ship.oci.blob import Blob
from pixi_ship.registry.patience import Cut
from pixi_ship.registry.repository import Repository
from pixi_ship.registry.session import Answer, Call

_SMALL = 1 << 20  # bytes; such a blob is sent with the closing request
_LEAST_PIECE = 5 << 20  # what object stores behind registries take at least
_FIRST_PIECE = 64 << 20
_OCTETS = "application/octet-stream"
_MOST_ASKED = 3  # times that the state of an upload is asked for in vain
_MOST_DIGITS = 19
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})\Z")
_BEGUN = frozenset({httpx.codes.CREATED, httpx.codes.ACCEPTED, httpx.codes.NO_CONTENT})

Report = Callable[[int], None]


def push_blob(
    blob: Blob, repository: Repository, sources: Sequence[str], report: Report = lambda size: None
) -> str:
    """Make sure that ``repository`` has ``blob``; returns ``found``, ``mounted`` or ``sent``.

    sources: repositories of the same registry that may have it. report: called with each
    number of bytes sent. Raises RegistryError; DigestMismatch where the blob here is damaged.
    """
    if repository.has_blob(blob.descriptor):
        return "found"
    return _Upload(blob, repository, report).run(sources)


@dataclass(slots=True)
class _Upload:
    """A blob on its way.

    location: the upload's address, None where it must begin anew. offset: bytes that the
    registry keeps of it. unsure: something was cut since it said so. closing: the last request
    was sent, and perhaps heard. least, piece: bytes of one request, at least and at most.
    """

    blob: Blob
    repository: Repository
    report: Report
    location: str | None = None
    offset: int = 0
    unsure: bool = False
    closing: bool = False
    least: int = 0
    piece: int | None = None
    asked_in_vain: int = 0

    @property
    def doing(self) -> str:
        return f"pushing blob {self.blob.descriptor.digest} to {self.repository}"

    def run(self, sources: Sequence[str]) -> str:
        for source in sources:
            if self.location is None and self._patiently(partial(self._mounted, source)):
                return "mounted"
        self._patiently(self._send_all)
        return "sent"

    def _patiently(self, step: Callable[[], bool]) -> bool:
        failures = reached = 0
        while True:
            try:
                return step()
            except Cut as cut:
                self.unsure = self.location is not None
                failures = cut.cost + (0 if self.offset > reached else failures)
                reached = max(reached, self.offset)
                self.repository.session.pause(self.doing, failures, cut)

    def _mounted(self, source: str) -> bool:
        """Whether the registry takes the blob from another of its repositories.

        Who may not read there can still send: the refusal ends nothing.
        """
        try:
            return self._begin(source)
        except RegistryError:
            return False

    def _begin(self, mount_from: str | None = None) -> bool:
        """Ask for an upload; returns whether the registry mounted the blob instead."""
        query, scopes = "", self.repository.push
        if mount_from is not None:
            words = {"mount": str(self.blob.descriptor.digest), "from": mount_from}
            query = f"?{urlencode(words)}"
            scopes = (*scopes, f"repository:{mount_from}:pull")
        answer = self._ask("POST", self.repository.path("blobs", "uploads/") + query, scopes)
        if mount_from is not None and answer.status == httpx.codes.CREATED:
            return True
        self._moved(answer)
        self.offset, self.unsure, self.closing = 0, False, False
        self.least = _number(answer.headers.get("oci-chunk-min-length", ""))
        return False

    def _send_all(self) -> bool:
        """Go on from where it is; returns when the registry has the blob."""
        if self.closing and self.repository.has_blob(self.blob.descriptor):
            return True  # it was only the answer that got lost
        if self.unsure:
            self._ask_where()
        if self.location is None:
            self._begin()
        if self.blob.descriptor.size > _SMALL:
            while self.offset < self.blob.descriptor.size:
                self._patch()
        self._close()
        return True

    def _patch(self) -> None:
        """Send from the offset on: all that is left, or a piece of it."""
        size = self.blob.descriptor.size - self.offset
        size = min(size, self.piece or size)
        headers = {"Content-Type": _OCTETS}
        if self.offset or self.piece:
            headers["Content-Range"] = f"{self.offset}-{self.offset + size - 1}"
        answer = self._send("PATCH", self.location or "", headers, size, {202, 204, 404, 413, 416})
        if answer.status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            self._smaller_pieces(size)
        elif answer.status in (httpx.codes.NOT_FOUND, httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE):
            raise Cut(f"the registry lost the upload (status {answer.status})")
        else:
            self._moved(answer)
            kept = _kept(answer.headers, self.offset + size)
            if kept is not None and kept <= self.offset:
                raise Cut("the registry kept nothing of what was sent")
            self.offset = kept or self.offset + size

    def _smaller_pieces(self, size: int) -> None:
        least = max(_LEAST_PIECE, self.least)
        if size <= least:
            raise RegistryError(
                f"{self.doing}: a body of {size} bytes is too large for it",
                hint="a proxy before the registry may limit bodies; ask who runs it",
            )
        self.piece = max(least, min(_FIRST_PIECE, size // 4))
        raise Cut("the body is too large for the registry")

    def _close(self) -> None:
        """Name the digest, with the bytes that are left; the registry checks it."""
        size = self.blob.descriptor.size - self.offset
        mark = "&" if "?" in (self.location or "") else "?"
        digest = urlencode({"digest": str(self.blob.descriptor.digest)})
        headers = {"Content-Type": _OCTETS} if size else {}
        self.closing = True
        url = f"{self.location}{mark}{digest}"
        status = self._send("PUT", url, headers, size, {200, 201, 204, 400, 404, 416}).status
        if status >= httpx.codes.BAD_REQUEST:
            # Either the upload is lost, or bytes changed: those here, then, or on the way.
            self.location = None
            self._check_own_bytes()
            raise Cut(
                f"the registry did not take the blob (status {status})",
                cost=4 if status == httpx.codes.BAD_REQUEST else 2,
            )

    def _body(self, size: int) -> Iterator[bytes]:
        for chunk in self.blob.source.read(self.offset, size):
            if self.repository.session.patience.stop.is_set():
                raise Cut("stopped")
            size -= len(chunk)
            self.report(len(chunk))
            yield chunk
        if size:
            self._check_own_bytes()

    def _check_own_bytes(self) -> None:
        """Raise DigestMismatch where it is the blob here that is damaged."""
        for _ in self.blob.chunks():
            pass

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], size: int, wanted: set[int]
    ) -> Answer:
        """Send ``size`` bytes from the offset on."""
        call = Call(
            method=method,
            path=url,
            doing=self.doing,
            scopes=self.repository.push,
            headers=headers,
            body=lambda: self._body(size),
            size=size,
            wanted=frozenset(wanted),
        )
        return self.repository.session.once(call)

    def _ask(self, method: str, path: str, scopes: tuple[str, ...]) -> Answer:
        call = Call(method=method, path=path, doing=self.doing, scopes=scopes, wanted=_BEGUN)
        return self.repository.session.once(call)

    def _moved(self, answer: Answer) -> None:
        location = answer.headers.get("location")
        if not location:
            raise RegistryError(f"{self.doing}: the registry does not say where to send it")
        self.location = self.repository.session.url(location, answer.url)

    def _ask_where(self) -> None:
        """After a cut: how much did the registry keep? Where it cannot say, begin anew."""
        kept = None
        if self.location is not None and self.blob.descriptor.size > _SMALL:
            try:
                answer = self._ask("GET", self.location, self.repository.push)
                self._moved(answer)
                kept = _kept(answer.headers, self.blob.descriptor.size)
            except Cut:
                self.asked_in_vain += 1
                if self.asked_in_vain < _MOST_ASKED:
                    raise
            except RegistryError:
                pass  # it knows nothing of the upload, or answers no such question
        self.unsure, self.asked_in_vain = False, 0
        if kept is None:
            self.location, self.offset = None, 0
        else:
            self.offset = kept


def _kept(headers: Mapping[str, str], most: int) -> int | None:
    """How many bytes the registry has of an upload; None where its ``Range`` makes no sense."""
    found = _RANGE.match(headers.get("range", ""))
    if found is None:
        return None
    # "0-0" is what docker-registry says of an upload that holds nothing.
    kept = int(found[1]) + bool(int(found[1]))
    return kept if kept <= most else None


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < _MOST_DIGITS else 0
