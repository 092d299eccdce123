"""What was found of each way, for the first version and after one package changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

FIRST = "first"
CHANGED = "one package changed"
STEPS = (FIRST, CHANGED)


@dataclass(frozen=True, slots=True)
class Task:
    """A task that has ended well; moment: when its result was there, in seconds since 1970."""

    moment: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A row of the table. Bytes and seconds.

    received: over the link of each node. kept: on the disk of each node afterwards. peak: most
    disk that was in use above what was before, of all nodes together. first, last: from the
    submission to the first result and to the last.
    """

    way: str
    step: str
    received: Mapping[str, int]
    kept: Mapping[str, int]
    peak: int
    first: float
    last: float

    def to_json(self) -> dict[str, object]:
        """For the report on disk."""
        return asdict(self)
