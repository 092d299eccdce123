"""What was found out about one thing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a thing is: in order, to be minded, absent (which may be well), or broken."""

    GOOD = "good"
    NOTE = "note"
    ABSENT = "absent"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """A thing, how it is, in words; hint: the next step, where there is one."""

    subject: str
    state: State
    detail: str
    hint: str | None = None
