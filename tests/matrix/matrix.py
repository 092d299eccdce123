"""The matrix: every runtime against every check, each started as seldom as can be."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import apptainer, plain, podman
from .expected import reason_for
from .probe import Check, Circumstance, Facts, facts_of
from .runtime import Missing, Runtime
from .stage import Stage

RUNTIMES = (*podman.ROWS, *plain.ROWS, *apptainer.ROWS)


class NotStarted(Exception):
    """A runtime is here and did not get as far as the probe."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One answer.

    holds: None where the machine lacks the runtime, which `why` then names. why: the reason that
    is on record for a "no", None where a "yes" is expected.
    """

    runtime: Runtime
    check: Check
    holds: bool | None
    why: str | None
    facts: Facts = field(default_factory=dict)

    @property
    def as_expected(self) -> bool:
        return self.holds is None or self.holds == (self.why is None)

    def __str__(self) -> str:
        found = "holds" if self.holds else "does not hold"
        expected = f"no, because {self.why}" if self.why else "yes"
        return f"{self.runtime.name}: {self.check.name!r} {found}, expected: {expected}"


@dataclass(slots=True)
class Matrix:
    """The answers, each found when it is asked for; a runtime starts once a circumstance."""

    stage: Stage
    _known: dict[tuple[str, Circumstance], Facts] = field(default_factory=dict)
    _missing: dict[str, str] = field(default_factory=dict)

    def cell(self, runtime: Runtime, check: Check) -> Cell:
        """One answer; raises NotStarted."""
        facts = self._facts(runtime, check.circumstance)
        if isinstance(facts, str):
            return Cell(runtime, check, None, facts)
        why = reason_for(runtime.name, check.name)
        return Cell(runtime, check, check.holds(facts), why, facts)

    def close(self) -> None:
        """Remove what runtimes keep outside of the stage's rights."""
        podman.forget(self.stage)

    def _facts(self, runtime: Runtime, circumstance: Circumstance) -> Facts | str:
        if runtime.name in self._missing:
            return self._missing[runtime.name]
        key = runtime.name, circumstance
        if key not in self._known:
            try:
                done = runtime.start(self.stage, circumstance)
            except Missing as reason:
                self._missing[runtime.name] = str(reason)
                return str(reason)
            facts = facts_of(done)
            # Else every "no" of a runtime that starts nothing would be as expected.
            if "path" not in facts:
                said = f"status {done.returncode}\n{done.stdout}{done.stderr}"
                raise NotStarted(f"{runtime.name}, {circumstance}: the probe did not run: {said}")
            self._known[key] = facts
        return self._known[key]
