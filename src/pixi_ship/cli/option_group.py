"""Options that several verbs have in common, added together."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class OptionGroup(Protocol):
    """What adds options to a command: one of click's, or a group of them."""

    def __call__(self, command: Callable[P, R], /) -> Callable[P, R]:
        """The command with the options."""


def option_group(*options: OptionGroup) -> OptionGroup:
    """Join options; help shows them in this order."""

    def add(command: Callable[P, R], /) -> Callable[P, R]:
        for option in reversed(options):
            command = option(command)
        return command

    return add
