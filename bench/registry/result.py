"""What was found of each client at each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from bench.measure import Sample, Summary
from bench.registry.traffic import Traffic

FIRST = "first push"
AGAIN = "the same again"
CHANGED = "one package changed"
SECOND = "into a second repository"
PULL = "pull, one package changed"
STEPS = (FIRST, AGAIN, CHANGED, SECOND, PULL)


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table. image: ``layered`` or ``single layer``."""

    workspace: str
    step: str
    client: str
    image: str

    def __str__(self) -> str:
        return f"{self.workspace}, {self.step}: {self.client}, {self.image}"

    def to_json(self) -> dict[str, object]:
        """For the report on disk."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a case; traffic is None for what speaks to no registry."""

    case: Case
    sample: Sample
    traffic: Traffic | None


@dataclass(slots=True)
class Result:
    """All runs of a case. traffic: of the round that counted; seen: requests of the others."""

    samples: list[Sample] = field(default_factory=list)
    traffic: Traffic | None = None
    seen: list[Mapping[str, int]] = field(default_factory=list)

    def add(self, measured: Measured, *, counting: bool) -> None:
        """Take one run in; those that counted do not count for the times."""
        if counting:
            self.traffic = measured.traffic
            return
        self.samples.append(measured.sample)
        if measured.traffic:
            self.seen.append(measured.traffic.requests)

    @property
    def steady(self) -> bool:
        """Whether every round had the same requests."""
        return self.traffic is None or all(each == self.traffic.requests for each in self.seen)

    def to_json(self) -> dict[str, object]:
        """For the report on disk."""
        return {
            "summary": Summary.of(self.samples).to_json(),
            "traffic": self.traffic.to_json() if self.traffic else None,
            "requests_of_timed_rounds": self.seen,
        }
