"""Why a task cannot be a command that runs without Pixi."""

from __future__ import annotations

from enum import StrEnum


class Obstacle(StrEnum):
    """The kinds of reasons, as a table of them names them."""

    MISSING = "no such task"
    FORM = "not a task"
    EMPTY = "no command"
    CYCLE = "depends on itself"
    ENVIRONMENT = "another environment"
    ARGUMENT = "arguments"
    TEMPLATE = "template"
    DIRECTORY = "working directory"
    PIXI = "calls pixi"
    SHELL = "shell"


class Inexpressible(Exception):
    """A part of a task has no equal in a POSIX shell; ``reason`` ends the sentence for a person."""

    def __init__(self, obstacle: Obstacle, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.obstacle = obstacle
        self.reason = reason
        self.hint = hint
