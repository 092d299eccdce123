"""The templates in tasks: what can be filled in before an image is made.

Pixi renders commands, values of variables and arguments of dependencies with MiniJinja,
undefined names being errors (``docs/workspace/advanced_tasks.md``). Names, ``pixi.…`` and
the filters that only change letters are filled in here; statements and other expressions
are left to Pixi.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pixi_ship.project.obstacle import Inexpressible, Obstacle

_TAG = re.compile(r"\{\{(.*?)\}\}|\{%|\{#.*?#\}", re.DOTALL)
_EXPRESSION = re.compile(
    r"\s*(?:'([^'\\]*)'|\"([^\"\\]*)\"|([A-Za-z_][\w.]*))\s*((?:\|\s*\w+\s*)*)\Z"
)
_FILTERS: Mapping[str, Callable[[str], str]] = {
    "lower": str.lower,
    "trim": str.strip,
    "upper": str.upper,
}
_UNKNOWN = {
    "pixi.version": "the version of Pixi",
    "pixi.init_cwd": "where 'pixi run' was called",
}


@dataclass(frozen=True, slots=True)
class Context:
    """What names stand for: ``arguments`` of the task, and what Pixi knows of the workspace."""

    arguments: Mapping[str, str]
    platform: str
    environment: str
    manifest: str

    def value(self, name: str) -> str | bool:
        """What a name stands for; raises Inexpressible for one that an image cannot know."""
        if name in self.arguments:
            return self.arguments[name]
        known: dict[str, str | bool] = {
            "pixi.platform": self.platform,
            "pixi.environment.name": self.environment,
            "pixi.manifest_path": self.manifest,
            "pixi.is_win": False,
            "pixi.is_unix": True,
            "pixi.is_linux": True,
            "pixi.is_osx": False,
        }
        if name in known:
            return known[name]
        if name in _UNKNOWN:
            raise _failure(f"it uses {{{{ {name} }}}}, {_UNKNOWN[name]}")
        raise _failure(f"its template names {name!r}, which is no argument of it")


def render(text: str, context: Context) -> str:
    """Fill a template in; raises Inexpressible for statements and for unknown names."""
    pieces = []
    end = 0
    for found in _TAG.finditer(text):
        pieces.append(text[end : found.start()])
        if found[0] == "{%":
            raise _failure(
                "its template holds a statement, {% … %}", "write one task for each case"
            )
        if found[1] is not None:
            pieces.append(_evaluate(found[1], context))
        end = found.end()
    rest = text[end:]
    if "{{" in rest or "{#" in rest:
        raise _failure("its template is not closed")
    # The engine drops one newline at the end of a template.
    pieces.append(rest.removesuffix("\n"))
    return "".join(pieces)


def _evaluate(expression: str, context: Context) -> str:
    found = _EXPRESSION.match(expression)
    if found is None:
        raise _failure(f"its template holds more than a name: {expression.strip()!r}")
    filters = [word.strip() for word in found[4].split("|") if word.strip()]
    if unknown := [word for word in filters if word not in _FILTERS]:
        raise _failure(f"its template uses the filter {unknown[0]!r}")
    value: str | bool
    if found[3] is not None:
        value = context.value(found[3])
    else:
        value = found[1] if found[1] is not None else found[2]
    if isinstance(value, bool):
        # Versions of Pixi write these as "true" and as "True".
        if not {"lower", "upper"} & set(filters):
            raise _failure(f"versions of Pixi write {found[3]} differently", "add '| lower'")
        value = str(value)
    for word in filters:
        value = _FILTERS[word](value)
    return value


def _failure(reason: str, hint: str | None = None) -> Inexpressible:
    return Inexpressible(Obstacle.TEMPLATE, reason, hint)
