"""A command line of a runtime, to be run or shown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from pixi_ship.runtime.spec import Variable


@dataclass(frozen=True, slots=True)
class Invocation:
    """A program with its arguments.

    variables: for the program's own environment; ``alone``: nothing else is in it.
    """

    words: tuple[str, ...]
    variables: tuple[Variable, ...] = ()
    alone: bool = False

    def environment(self, caller: Mapping[str, str]) -> dict[str, str]:
        """The whole environment of the program, for one who has ``caller``'s."""
        return {
            **({} if self.alone else caller),
            **{each.name: each.value for each in self.variables},
        }

    def __str__(self) -> str:
        """A line for a POSIX shell; what is inherited is named there, not shown."""
        shown = [_assignment(each) for each in self.variables]
        env = ["env", *(["-i"] if self.alone else []), *shown] if shown or self.alone else []
        return " ".join([*env, *map(shlex.quote, self.words)])


def _assignment(variable: Variable) -> str:
    if not variable.inherited:
        return f"{variable.name}={shlex.quote(variable.value)}"
    # The runtimes of SIFs want a prefix, the caller's variable has none.
    name = variable.name.removeprefix("APPTAINERENV_").removeprefix("SINGULARITYENV_")
    return f'{variable.name}="${name}"'
