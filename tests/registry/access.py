"""What a server was asked: one record per request, whichever registry or proxy wrote it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

_UPLOADS = re.compile(r"/v2/.+/blobs/uploads/")
_MANIFESTS = re.compile(r"/v2/.+/manifests/[^/]+\Z")


@dataclass(frozen=True, slots=True)
class Access:
    """One request.

    ``path`` and ``query`` are as they were sent; ``status`` is 0 where the connection ended
    before an answer; ``received`` and ``sent`` count the bytes of the two bodies, None where the
    log does not tell; ``authorization`` is the scheme and never a secret.
    """

    method: str
    path: str
    query: str = ""
    status: int = 0
    received: int | None = 0
    sent: int | None = 0
    authorization: str | None = None

    @property
    def to_upload(self) -> bool:
        """Whether this is about an upload: begin, send, ask, close, give up."""
        return _UPLOADS.match(self.path) is not None


class AccessLog:
    """Records in the order in which requests were answered; safe to use from several threads."""

    def __init__(self, records: list[Access] | None = None) -> None:
        self._records = list(records or [])
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Access]:
        with self._lock:
            return iter(list(self._records))

    def __len__(self) -> int:
        with self._lock:
            return len(self._records)

    def add(self, record: Access) -> None:
        with self._lock:
            self._records.append(record)

    def amend(
        self, record: Access, *, sent: int | None = None, received: int | None = None
    ) -> None:
        """Correct a record's byte counts; nothing happens when the log was cleared since."""
        with self._lock:
            for place, each in enumerate(self._records):
                if each is record:
                    self._records[place] = replace(
                        record,
                        sent=record.sent if sent is None else sent,
                        received=record.received if received is None else received,
                    )

    def clear(self) -> None:
        with self._lock:
            self._records.clear()

    def matching(
        self, method: str | None = None, path: str = "", status: int | None = None
    ) -> list[Access]:
        """The records with this method and status whose path the regular expression finds."""
        return [
            each
            for each in self
            if method in (None, each.method)
            and status in (None, each.status)
            and re.search(path, each.path)
        ]

    def uploads(self) -> list[Access]:
        """The requests that began an upload, or brought a whole blob in one POST; no mounts."""
        return [
            each
            for each in self
            if each.method == "POST"
            and each.to_upload
            and (each.status == 202 or (each.status == 201 and "mount=" not in each.query))
        ]

    def mounts(self) -> list[Access]:
        """The requests that made a blob of one repository appear in another."""
        return [
            each
            for each in self
            if each.method == "POST"
            and each.to_upload
            and each.status == 201
            and "mount=" in each.query
        ]

    def manifests_put(self) -> list[Access]:
        """The manifests that were taken."""
        return [
            each
            for each in self
            if each.method == "PUT" and each.status == 201 and _MANIFESTS.match(each.path)
        ]

    def blob_bytes_received(self) -> int:
        """How many bytes of blobs clients sent, also in uploads that failed."""
        return sum(each.received or 0 for each in self if each.to_upload)

    def blob_bytes_sent(self) -> int:
        """How many bytes of blobs clients were sent."""
        blobs = (each for each in self if "/blobs/" in each.path and not each.to_upload)
        return sum(each.sent or 0 for each in blobs if each.status in (200, 206))

    def authorizations(self) -> set[str | None]:
        """The schemes of authorization that were seen; None for requests without."""
        return {each.authorization for each in self}
