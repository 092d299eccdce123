"""A Pixi task as the command of an image, run without Pixi.

What Pixi does with a task is done beforehand: templates are filled in, the tasks it depends
on come first and once each, variables are set, the directory is entered. What has no equal
in an image is refused with the reason. Caching by ``inputs`` and ``outputs`` is not kept:
every task runs.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pixi_ship.errors import TaskError
from pixi_ship.project.needs import needed_files
from pixi_ship.project.obstacle import Inexpressible, Obstacle
from pixi_ship.project.posix import (
    assignment,
    check,
    command_line,
    ends_on_error,
    exec_words,
    posix,
    quoted,
    subshell,
)
from pixi_ship.project.shell import (
    Quoted,
    Script,
    Word,
    parse,
    parse_value,
    simple_commands,
)
from pixi_ship.project.task_table import Argument, Dependency, Task, read_task, task_tables
from pixi_ship.project.template import Context, render
from pixi_ship.workspace import Workspace

APP = "/app"  # where the workspace is in an image
MAX_TASKS = 200


@dataclass(frozen=True, slots=True)
class TaskCommand:
    """A command, the absolute ``directory`` it starts in, and what of the workspace it names.

    words: for exec; a shell's where there is more than one command. needs: paths relative to
    the workspace. notes: what a person should know, one sentence each.
    """

    words: tuple[str, ...]
    directory: str
    needs: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def from_anywhere(self) -> tuple[str, ...]:
        """The words that first go to the directory: Apptainer starts where the caller is."""
        go = f'cd {quoted(self.directory)} && exec "$@"'
        return ("/bin/sh", "-c", go, "sh", *self.words)


def task_command(
    workspace: Workspace,
    environment: str,
    targets: Sequence[str],
    platform: str,
    name: str,
    arguments: Sequence[str] = (),
) -> TaskCommand:
    """The command of a task; raises TaskError that says which part of it needs Pixi.

    targets: the selectors that hold on the platform, the narrowest first. platform: its name
    in the manifest. arguments: values for the task's ``args``, or more words for its command.
    """
    tables = task_tables(workspace, environment, targets)
    graph = _Graph(workspace, environment, platform, tables)
    try:
        graph.visit(Dependency(name, tuple(arguments), None), ())
        return _joined(workspace, graph.steps, graph.notes)
    except Inexpressible as obstacle:
        raise TaskError(
            name,
            obstacle.obstacle,
            obstacle.reason,
            hint=obstacle.hint or "write a task that needs no Pixi, or a script that does the same",
        ) from None


@dataclass(frozen=True, slots=True)
class _Step:
    """One task with a command of its own; ``directory`` is absolute and in the image."""

    name: str
    script: Script
    variables: tuple[tuple[str, Word], ...]
    directory: str


@dataclass(slots=True)
class _Graph:
    """Tasks in the order in which they run: depth first, each with its arguments once."""

    workspace: Workspace
    environment: str
    platform: str
    tables: Mapping[str, object]
    steps: list[_Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    done: set[tuple[str, tuple[str | tuple[str, str], ...]]] = field(default_factory=set)

    def visit(self, wanted: Dependency, above: tuple[str, ...]) -> None:
        """Add the steps of a task, after those of what it depends on."""
        key = (wanted.task, wanted.arguments)
        if wanted.task in above:
            raise Inexpressible(
                Obstacle.CYCLE, f"it depends on itself: {' → '.join((*above, wanted.task))}"
            )
        if key in self.done:
            return
        self.done.add(key)
        if len(self.done) > MAX_TASKS:
            raise Inexpressible(Obstacle.FORM, f"it depends on more than {MAX_TASKS} tasks")
        if wanted.environment not in (None, self.environment):
            raise _other_environment(wanted.task, str(wanted.environment), self.environment)
        task = self._task(wanted.task, above)
        values, extra = _values(wanted.task, task.arguments, wanted.arguments)
        context = Context(
            values, self.platform, self.environment, f"{APP}/{self.workspace.manifest.name}"
        )
        for dependency in task.depends_on:
            self.visit(_rendered(dependency, context), (*above, wanted.task))
        if task.command is not None:
            self.steps.append(_step(self.workspace, wanted.task, task, context, extra))
        if task.clean:
            self.notes.append(
                f"task {wanted.task!r} asks for a clean environment: the image's runtime decides "
                "which variables of the host it sees"
            )

    def _task(self, name: str, above: tuple[str, ...]) -> Task:
        if name not in self.tables:
            raise self._missing(name, above)
        task = read_task(self.tables[name])
        default = task.default_environment
        if not above and self.environment == "default" and default not in (None, "default"):
            raise _other_environment(name, str(default), self.environment)
        return task

    def _missing(self, name: str, above: tuple[str, ...]) -> Inexpressible:
        what = f"{above[-1]!r} depends on {name!r}, and environment" if above else "environment"
        elsewhere = [
            other
            for other in self.workspace.environments
            if name in task_tables(self.workspace, other, ())
        ]
        known = sorted(each for each in self.tables if not each.startswith("_"))
        hint = f"tasks of it: {', '.join(known)}" if known else "it has no tasks"
        if elsewhere:
            hint = f"it is a task of {', '.join(elsewhere)}: ship that with -e"
        return Inexpressible(
            Obstacle.MISSING, f"{what} {self.environment!r} has no such task", hint
        )


def _other_environment(task: str, wanted: str, shipped: str) -> Inexpressible:
    return Inexpressible(
        Obstacle.ENVIRONMENT,
        f"{task!r} runs in environment {wanted!r}, the image holds {shipped!r}",
        f"an image holds one environment: ship {wanted!r} with -e",
    )


def _rendered(dependency: Dependency, context: Context) -> Dependency:
    """A dependency with its arguments filled in by those of the task that names it."""
    arguments = tuple(
        render(each, context) if isinstance(each, str) else (each[0], render(each[1], context))
        for each in dependency.arguments
    )
    return Dependency(dependency.task, arguments, dependency.environment)


def _values(
    task: str, arguments: Sequence[Argument], given: Sequence[str | tuple[str, str]]
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The value of every argument, and the words that are none: more of the command."""
    if not arguments:
        return {}, tuple(each if isinstance(each, str) else "=".join(each) for each in given)
    named = dict(each for each in given if not isinstance(each, str))
    positional = [each for each in given if isinstance(each, str)]
    extra: tuple[str, ...] = ()
    if "--" in positional:
        place = positional.index("--")
        positional, extra = positional[:place], tuple(positional[place + 1 :])
    if len(positional) > len(arguments):
        raise _argument_failure(f"{task!r} takes {len(arguments)} arguments, got {len(positional)}")
    if unknown := named.keys() - {each.name for each in arguments}:
        raise _argument_failure(f"{task!r} has no argument {min(unknown)!r}")
    values = {}
    for place, argument in enumerate(arguments):
        value = positional[place] if place < len(positional) else argument.default
        value = named.get(argument.name, value)
        if value is None:
            raise _argument_failure(
                f"{task!r} wants a value for {argument.name!r}",
                "give it after the task's name, in the same quotes, or give it a default",
            )
        if argument.choices is not None and value not in argument.choices:
            raise _argument_failure(
                f"{argument.name!r} of {task!r} is {value!r}, want {', '.join(argument.choices)}"
            )
        values[argument.name] = value
    return values, extra


def _argument_failure(reason: str, hint: str | None = None) -> Inexpressible:
    return Inexpressible(Obstacle.ARGUMENT, reason, hint)


def _step(
    workspace: Workspace, name: str, task: Task, context: Context, extra: Sequence[str]
) -> _Step:
    if isinstance(task.command, tuple):
        line = " ".join(_pixi_quoted(render(word, context)) for word in task.command)
    else:
        line = render(task.command or "", context)
    # As Pixi does, which quotes no quote.
    line += "".join(f" '{word}'" for word in extra)
    script = parse(line)
    for command in simple_commands(script):
        if command.words and command.words[0].literal in ("pixi", "pixi.exe"):
            raise Inexpressible(
                Obstacle.PIXI,
                f"{name!r} calls pixi itself",
                "name the command that pixi would run: the image is one environment, active",
            )
    check(script)
    variables = tuple((key, parse_value(render(value, context))) for key, value in task.variables)
    for key, word in variables:
        _check_variable(key, word)
    return _Step(name, script, variables, _directory(workspace, name, task.directory))


def _check_variable(name: str, word: Word) -> None:
    if not name.replace("_", "a").isalnum() or not name.isascii() or name[0].isdigit():
        raise Inexpressible(Obstacle.SHELL, f"{name!r} is no name of a variable")
    for part in word.parts:
        for each in part.parts if isinstance(part, Quoted) else ():
            script = getattr(each, "script", None)
            if isinstance(script, Script):
                check(script)


def _pixi_quoted(word: str) -> str:
    """A word of a command that is a list, as Pixi puts it into a line; spec: ``quote``, task.rs."""
    if not word:
        return '""'
    if set(word) & set("\t\r\n []"):
        return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return word


def _directory(workspace: Workspace, name: str, written: str | None) -> str:
    """Where a task runs, in the image."""
    if written is None:
        return APP
    path = PurePosixPath(written)
    if path.is_absolute():
        try:
            path = path.relative_to(workspace.root.resolve())
        except ValueError:
            raise _no_directory(name, written, "is outside the workspace") from None
    clean = posixpath.normpath(str(path))
    if clean == ".." or clean.startswith("../"):
        raise _no_directory(name, written, "is outside the workspace")
    if not (workspace.root / clean).is_dir():
        raise _no_directory(name, written, "is no directory of the workspace")
    return APP if clean == "." else f"{APP}/{clean}"


def _no_directory(name: str, written: str, what: str) -> Inexpressible:
    return Inexpressible(Obstacle.DIRECTORY, f"{name!r} runs in {written!r}, which {what}")


def _joined(workspace: Workspace, steps: Sequence[_Step], notes: Sequence[str]) -> TaskCommand:
    if not steps:
        raise Inexpressible(Obstacle.EMPTY, "neither it nor what it depends on has a command")
    for step in steps[:-1]:
        if ends_on_error(step.script):
            raise Inexpressible(
                Obstacle.SHELL,
                f"{step.name!r} says 'set -e', which sh does not heed before '&&'",
                "chain its commands with '&&'",
            )
    needs = dict.fromkeys(need for step in steps for need in _needs(workspace, step))
    last = steps[-1]
    if len(steps) == 1:
        words = exec_words(last.script) if not last.variables else None
        shown = words or ("/bin/sh", "-c", "; ".join(_lines(last)))
        return TaskCommand(shown, last.directory, tuple(needs), tuple(notes))
    line = " && ".join([*(_grouped(step, "") for step in steps[:-1]), _grouped(steps[-1], "exec ")])
    return TaskCommand(("/bin/sh", "-c", line), APP, tuple(needs), tuple(notes))


def _grouped(step: _Step, begin: str) -> str:
    """A step among others: in a shell of its own where it could change theirs.

    begin: what may stand before a program's name.
    """
    words = exec_words(step.script)
    if words and not step.variables and step.directory == APP:
        return begin + command_line(words)
    return subshell("; ".join((*_enter(step), *_lines(step))))


def _enter(step: _Step) -> Iterator[str]:
    if step.directory != APP:
        yield f"cd {quoted(step.directory)} || exit"


def _lines(step: _Step) -> Iterator[str]:
    for name, word in step.variables:
        yield f"export {assignment(name, word)}"
    words = exec_words(step.script)
    if words:
        # The shell then is the command, and gets the signals that are meant for it.
        yield f"exec {command_line(words)}"
    else:
        yield posix(step.script)


def _needs(workspace: Workspace, step: _Step) -> Iterator[str]:
    directory = posixpath.relpath(step.directory, APP)
    if directory != ".":
        yield directory
    yield from needed_files(workspace.root, directory, step.script)
