"""The tasks of a manifest, as Pixi finds them for an environment and a platform.

Source: Pixi's ``docs/workspace/advanced_tasks.md`` and ``pixi_manifest/src/toml/task.rs``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pixi_ship.project.obstacle import Inexpressible, Obstacle
from pixi_ship.workspace import Workspace

_KEYS = frozenset(
    {
        *("args", "clean-env", "cmd", "cwd", "default-environment", "depends-on", "depends_on"),
        *("description", "env", "inputs", "outputs"),
    }
)


@dataclass(frozen=True, slots=True)
class Argument:
    """One of ``args``; it must be given where ``default`` is None."""

    name: str
    default: str | None
    choices: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Dependency:
    """One of ``depends-on``; an argument is a value, or a pair of name and value."""

    task: str
    arguments: tuple[str | tuple[str, str], ...]
    environment: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """A task as written; ``command`` is None where it only names others.

    command: the line for Pixi's shell, or the words of one.
    """

    command: str | tuple[str, ...] | None
    depends_on: tuple[Dependency, ...]
    directory: str | None
    variables: tuple[tuple[str, str], ...]
    arguments: tuple[Argument, ...]
    default_environment: str | None
    clean: bool


def task_tables(
    workspace: Workspace, environment: str, targets: Sequence[str]
) -> Mapping[str, object]:
    """Name → task as written; the first feature wins, and in it the narrowest target.

    targets: the selectors that hold on the platform, the narrowest first.
    """
    found: dict[str, object] = {}
    for feature in workspace.features(environment):
        by_target = _table(feature.get("target"))
        for table in (*(_table(by_target.get(each)) for each in targets), feature):
            for name, task in _table(table.get("tasks")).items():
                found.setdefault(name, task)
    return found


def read_task(written: object) -> Task:
    """Read a task in any of its forms; raises Inexpressible for what is none of them."""
    if isinstance(written, str):
        return Task(written, (), None, (), (), None, False)
    if isinstance(written, list):
        return Task(None, _dependencies(written), None, (), (), None, False)
    if not isinstance(written, Mapping):
        raise _failure("it is neither a text, a list nor a table")
    if unknown := sorted(written.keys() - _KEYS):
        raise _failure(f"it has a key {unknown[0]!r}, which pixi-ship does not know")
    depends_on = written.get("depends-on", written.get("depends_on", []))
    default_environment = written.get("default-environment")
    directory = written.get("cwd")
    return Task(
        _command(written.get("cmd")),
        _dependencies(depends_on if isinstance(depends_on, list) else [depends_on]),
        _text(directory, "cwd") if directory is not None else None,
        tuple((name, _text(value, name)) for name, value in _table(written.get("env")).items()),
        tuple(_argument(each) for each in _list(written.get("args", []), "args")),
        _text(default_environment, "default-environment") if default_environment else None,
        written.get("clean-env") is True,
    )


def _command(value: object) -> str | tuple[str, ...] | None:
    if value is None or isinstance(value, str):
        return value
    return tuple(_text(each, "cmd") for each in _list(value, "cmd"))


def _dependencies(values: Sequence[object]) -> tuple[Dependency, ...]:
    found = []
    for value in values:
        if isinstance(value, str):
            found.append(Dependency(value, (), None))
            continue
        table = _table(value)
        environment = table.get("environment")
        found.append(
            Dependency(
                _text(table.get("task"), "depends-on"),
                tuple(_given(each) for each in _list(table.get("args", []), "args")),
                _text(environment, "environment") if environment is not None else None,
            )
        )
    return tuple(found)


def _given(value: object) -> str | tuple[str, str]:
    if isinstance(value, Mapping) and len(value) == 1:
        name, text = next(iter(value.items()))
        return str(name), _text(text, "args")
    return _text(value, "args")


def _argument(value: object) -> Argument:
    if isinstance(value, str):
        return Argument(value, None, None)
    table = _table(value)
    default, choices = table.get("default"), table.get("choices")
    return Argument(
        _text(table.get("arg"), "args"),
        _text(default, "default") if default is not None else None,
        None
        if choices is None
        else tuple(_text(each, "choices") for each in _list(choices, "choices")),
    )


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object, key: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise _failure(f"its {key!r} is {value!r}, want a list")
    return value


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise _failure(f"its {key!r} is {value!r}, want a text")
    return value


def _failure(reason: str) -> Inexpressible:
    return Inexpressible(Obstacle.FORM, reason)
