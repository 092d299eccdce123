"""What a task is doing, in words that both schedulers share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """A task's state. ``LOST``: the scheduler knows nothing of it, and it left no exit code."""

    PENDING = "pending"
    RUNNING = "running"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        """Whether nothing will change by itself; somebody may release a held task."""
        return self not in (State.PENDING, State.RUNNING, State.HELD)


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a job. exit_code: the command's, 128 and the signal's number for a signal.

    index: None where the job is no array. reason: why it waits, is held, or ended so. node:
    where it ran, as far as it is known.
    """

    index: int | None
    state: State
    exit_code: int | None = None
    reason: str = ""
    node: str = ""


def ended(index: int | None, exit_code: int, node: str = "") -> Task:
    """A task whose command ended by itself."""
    state = State.FAILED if exit_code else State.DONE
    return Task(index, state, exit_code, node=node)


def exit_code_of(tasks: Iterable[Task]) -> int:
    """What a job ends with: the first code that is not 0; 1 for a task that has none."""
    for task in tasks:
        if task.state is not State.DONE:
            return task.exit_code or 1
    return 0
