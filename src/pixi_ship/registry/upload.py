"""One blob into a repository: found there, mounted, or sent; a cut costs as little as it can.

Spec: OCI distribution-spec 1.1, "Pushing blobs". A blob goes in one ``PATCH`` as docker sends
it, which every registry takes; after a cut the registry is asked how much it kept. Where a
body is too large for the registry, or a proxy before it, smaller pieces follow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)\Z")
_BEGUN = frozenset({httpx.codes.CREATED, httpx.codes.ACCEPTED})

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
    """A blob on its way. location: the upload's address, None where it must begin anew."""

    blob: Blob
    repository: Repository
    report: Report
    location: str | None = None
    offset: int = 0
    piece: int | None = None
    failures: int = field(default=0)

    @property
    def doing(self) -> str:
        return f"pushing blob {self.blob.descriptor.digest} to {self.repository}"

    def run(self, sources: Sequence[str]) -> str:
        for source in sources:
            if self._patiently(lambda name=source: self._begin(name)):  # type: ignore[misc]
                return "mounted"
            if self.location:
                break  # it began an upload instead
        self._patiently(self._send_all)
        return "sent"

    def _patiently(self, step: Callable[[], bool]) -> bool:
        while True:
            reached = self.offset
            try:
                return step()
            except Cut as cut:
                self.failures = cut.cost + (0 if self.offset > reached else self.failures)
                self.repository.session.pause(self.doing, self.failures, cut)
                self._ask_where()

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
        self.offset = 0
        least = answer.headers.get("oci-chunk-min-length", "")
        if least.isdigit() and self.piece is not None:
            self.piece = max(self.piece, int(least))
        return False

    def _send_all(self) -> bool:
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
        call = Call(
            method="PATCH",
            path=self.location or "",
            doing=self.doing,
            scopes=self.repository.push,
            headers=headers,
            body=lambda: self._body(size),
            size=size,
            wanted=frozenset({202, 204, 404, 413, 416}),
        )
        with self.repository.session.open(call) as response:
            status, answered = response.status_code, response.headers
            where = str(response.url)
        if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            self._smaller_pieces(size)
        elif status in (httpx.codes.NOT_FOUND, httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE):
            raise Cut(f"the registry lost the upload (status {status})")
        else:
            self._moved(Answer(status, answered, b"", where))
            kept = _kept(answered, self.offset + size)
            if kept <= self.offset:
                raise Cut("the registry kept nothing of what was sent")
            self.offset = kept

    def _smaller_pieces(self, size: int) -> None:
        if size <= _LEAST_PIECE:
            raise RegistryError(
                f"{self.doing}: a body of {size} bytes is too large for it",
                hint="a proxy before the registry may limit bodies; ask who runs it",
            )
        self.piece = max(_LEAST_PIECE, min(_FIRST_PIECE, size // 4))
        raise Cut("the body is too large for the registry")

    def _close(self) -> None:
        """Name the digest, with the bytes that are left; the registry checks it."""
        size = self.blob.descriptor.size - self.offset
        mark = "&" if "?" in (self.location or "") else "?"
        digest = urlencode({"digest": str(self.blob.descriptor.digest)})
        call = Call(
            method="PUT",
            path=f"{self.location}{mark}{digest}",
            doing=self.doing,
            scopes=self.repository.push,
            headers={"Content-Type": _OCTETS} if size else {},
            body=lambda: self._body(size),
            size=size,
            wanted=frozenset({200, 201, 204, 400, 404, 416}),
        )
        with self.repository.session.open(call) as response:
            status = response.status_code
        if status >= httpx.codes.BAD_REQUEST:
            # Either the upload is lost, or bytes changed: those here, then, or on the way.
            self.location = None
            self._check_own_bytes()
            raise Cut(f"the registry did not take the blob (status {status})")

    def _body(self, size: int) -> Iterator[bytes]:
        for chunk in self.blob.source.read(self.offset, size):
            size -= len(chunk)
            self.report(len(chunk))
            yield chunk
        if size:
            self._check_own_bytes()

    def _check_own_bytes(self) -> None:
        """Raise DigestMismatch where it is the blob here that is damaged."""
        for _ in self.blob.chunks():
            pass

    def _ask(self, method: str, path: str, scopes: tuple[str, ...]) -> Answer:
        call = Call(method=method, path=path, doing=self.doing, scopes=scopes, wanted=_BEGUN)
        with self.repository.session.open(call) as response:
            return Answer(response.status_code, response.headers, b"", str(response.url))

    def _moved(self, answer: Answer) -> None:
        location = answer.headers.get("location")
        if not location:
            raise RegistryError(f"{self.doing}: the registry does not say where to send it")
        self.location = self.repository.session.url(location, answer.url)

    def _ask_where(self) -> None:
        """After a cut: how much did the registry keep? Where it cannot say, begin anew."""
        if self.location is None or self.blob.descriptor.size <= _SMALL:
            self.location, self.offset = None, 0
            return
        call = Call(
            method="GET",
            path=self.location,
            doing=self.doing,
            scopes=self.repository.pull,
            wanted=frozenset({202, 204}),
        )
        try:
            with self.repository.session.open(call) as response:
                answer = Answer(response.status_code, response.headers, b"", str(response.url))
            self._moved(answer)
            self.offset = _kept(answer.headers, 0)
        except (Cut, RegistryError):
            self.location, self.offset = None, 0


def _kept(headers: Mapping[str, str], otherwise: int) -> int:
    """How many bytes the registry has of an upload, by its ``Range``."""
    found = _RANGE.match(headers.get("range", ""))
    # "0-0" is what docker-registry says of an upload that holds nothing.
    return int(found[1]) + bool(int(found[1])) if found else otherwise
