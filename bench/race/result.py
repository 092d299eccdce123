"""What was seen: every run of every case, kept on disk from one call to the next."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table. node: how a node gets it; nothing for the machine that builds."""

    environment: str
    step: str
    contender: str
    node: str = ""

    def __str__(self) -> str:
        node = f", {self.node}" if self.node else ""
        return f"{self.environment}, {self.step}: {self.contender}{node}"


@dataclass(frozen=True, slots=True)
class Seen:
    """One run. Seconds; bytes. size: of the image; moved: to the depot, or from it to a node."""

    wall: float
    cpu: float
    memory: int
    disk: int
    moved: int
    size: int


@dataclass(slots=True)
class Results:
    """All runs by case, in the order in which they were first seen.

    packages: by environment, the digest of the archives that its lock names.
    """

    runs: dict[Case, list[Seen]] = field(default_factory=dict)
    surroundings: list[Mapping[str, object]] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Results:
        """What earlier calls saw; nothing where there is no file."""
        if not file.exists():
            return cls()
        document: Any = json.loads(file.read_text())
        runs = {
            Case(**row["case"]): [Seen(**each) for each in row["runs"]] for row in document["rows"]
        }
        packages = document.get("packages", {})
        return cls(runs, document["surroundings"], document["facts"], packages)

    def write(self, file: Path) -> None:
        """Replace the file."""
        rows = [
            {"case": asdict(case), "runs": [asdict(each) for each in runs]}
            for case, runs in self.runs.items()
        ]
        document = {
            "facts": self.facts,
            "packages": self.packages,
            "surroundings": self.surroundings,
            "rows": rows,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".tmp")
        unfinished.write_text(json.dumps(document, indent=1) + "\n")
        unfinished.replace(file)

    def learn(self, facts: Mapping[str, str]) -> None:
        """Take in what is said of the machine now, beside what was said of it before."""
        for name, value in facts.items():
            known = self.facts.get(name, "").split(" · ")
            self.facts[name] = " · ".join(filter(None, dict.fromkeys([*known, value])))

    def hold_to(self, environment: str, packages: str) -> None:
        """Forget the runs of an environment if they were of other packages."""
        if self.packages.setdefault(environment, packages) != packages:
            self.packages[environment] = packages
            self.runs = {
                case: runs for case, runs in self.runs.items() if case.environment != environment
            }

    def add(self, seen: Iterable[tuple[Case, Seen]]) -> None:
        """Take a round in."""
        for case, each in seen:
            self.runs.setdefault(case, []).append(each)

    def rounds(self, environment: str, contender: str) -> int:
        """How often a contender has gone through an environment."""
        found = [
            len(runs)
            for case, runs in self.runs.items()
            if (case.environment, case.contender) == (environment, contender)
        ]
        return min(found, default=0)

    def median(self, case: Case, name: str) -> float | None:
        """The middle of what a case's runs have as ``name``; None where it was not run."""
        runs: Sequence[Seen] = self.runs.get(case, ())
        return statistics.median(float(getattr(each, name)) for each in runs) if runs else None
