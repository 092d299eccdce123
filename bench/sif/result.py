"""What was found of each maker of SIF files at each step, and of each start."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from bench.measure import Sample, Summary

COLD = "nothing there yet"
WARM = "nothing changed"
CHANGED = "one package changed"
FLOOR = "compression only, of files already unpacked"
STEPS = (COLD, WARM, CHANGED, FLOOR)


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the first table."""

    workspace: str
    step: str
    tool: str
    compression: str

    def __str__(self) -> str:
        return f"{self.workspace}, {self.step}: {self.tool}, {self.compression}"

    def to_json(self) -> dict[str, object]:
        """For the report on disk."""
        return asdict(self)


@dataclass(slots=True)
class Result:
    """All runs of a case; size: bytes of the file that it made."""

    size: int = 0
    samples: list[Sample] = field(default_factory=list)

    @property
    def summary(self) -> Summary:
        """Medians."""
        return Summary.of(self.samples)

    def to_json(self) -> dict[str, object]:
        """For the report on disk."""
        return {"size": self.size, "summary": self.summary.to_json()}


@dataclass(frozen=True, slots=True)
class Start:
    """A row of the second table. form: who made the SIF, and how; partitions: mounted ones."""

    image: str
    job: str
    form: str
    compression: str
    size: int
    partitions: int

    def __str__(self) -> str:
        return f"{self.image}, {self.job}: {self.form}, {self.compression}"

    def to_json(self) -> dict[str, object]:
        """For the report on disk."""
        return asdict(self)


@dataclass(slots=True)
class Starts:
    """Starts of one job by one user: seconds of wall and of processor time of each."""

    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)

    def add(self, wall: float, cpu: float) -> None:
        """Take one in."""
        self.walls.append(wall)
        self.cpus.append(cpu)

    @property
    def wall(self) -> float:
        """The median."""
        return statistics.median(self.walls)

    @property
    def cpu(self) -> float:
        """The median."""
        return statistics.median(self.cpus)

    def to_json(self) -> dict[str, object]:
        """For the report on disk."""
        return {"wall": self.wall, "walls": self.walls, "cpu": self.cpu}


def times(
    results: Mapping[Case, Result],
    slow: Case,
    fast: Case,
    of: Callable[[Sample], float] = lambda sample: sample.wall,
) -> float | None:
    """How many times as long ``slow`` took: the median of the rounds, each by itself."""
    if slow not in results or fast not in results:
        return None
    pairs = zip(results[slow].samples, results[fast].samples, strict=True)
    return statistics.median(of(one) / of(other) for one, other in pairs)
