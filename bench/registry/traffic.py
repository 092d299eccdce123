"""What went between a client and a registry, by the records of those that saw it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from tests.registry.access import Access, AccessLog

METHODS = ("HEAD", "GET", "POST", "PATCH", "PUT")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests by method, mounts among them, and bytes of bodies to (in) and from the registry.

    Only a proxy knows what came in: by the registry's own log those are 0.
    """

    requests: Mapping[str, int]
    mounts: int
    blob_bytes_in: int
    manifest_bytes_in: int
    blob_bytes_out: int
    other_bytes_out: int

    @classmethod
    def of(cls, records: Iterable[Access]) -> Traffic:
        """Count."""
        log = AccessLog(list(records))
        received = sum(each.received or 0 for each in log)
        sent = sum(each.sent or 0 for each in log)
        return cls(
            requests=dict(Counter(each.method for each in log)),
            mounts=len(log.mounts()),
            blob_bytes_in=log.blob_bytes_received(),
            manifest_bytes_in=received - log.blob_bytes_received(),
            blob_bytes_out=log.blob_bytes_sent(),
            other_bytes_out=sent - log.blob_bytes_sent(),
        )

    def to_json(self) -> dict[str, object]:
        """For the report on disk."""
        return asdict(self)
