"""Words on the command line come over the manifest's, and both are read alike."""

from __future__ import annotations

from collections.abc import Mapping

import click
import pytest
from click.testing import CliRunner

from pixi_ship.cli.project_options import ProjectOptions, includes_of, project_options, task_of
from pixi_ship.errors import UsageError, WorkspaceError
from pixi_ship.project.include import Include


@click.command()
@project_options
def verb(includes: tuple[str, ...], task: str | None) -> None:
    given = ProjectOptions(includes=includes, task=task)
    click.echo(f"{[str(each) for each in includes_of(given, {})]} {task_of(given, {})}")


def test_on_the_command_line() -> None:
    ran = CliRunner().invoke(verb, ["--include", "a", "--include", "b:c", "--task", "t 'x y'"])
    assert ran.output == "['a', 'b:/app/c'] ('t', 'x y')\n"
    assert CliRunner().invoke(verb, []).output == "[] ()\n"


def given(*includes: str, task: str | None = None) -> ProjectOptions:
    return ProjectOptions(includes=includes, task=task)


def test_manifest_and_command_line() -> None:
    defaults = {"include": ["src"], "task": "train"}
    assert includes_of(given("a"), defaults) == (Include("src", None), Include("a", None))
    assert task_of(given(), defaults) == ("train",)
    assert task_of(given(task="other 1"), defaults) == ("other", "1")
    assert task_of(given(task=""), defaults) == ()


@pytest.mark.parametrize("defaults", [{"include": "src"}, {"include": [1]}, {"task": 1}])
def test_manifests_that_say_something_else(defaults: Mapping[str, object]) -> None:
    with pytest.raises(WorkspaceError, match=r"reading \[tool.pixi-ship\]: (include|task) is"):
        (includes_of(given(), defaults), task_of(given(), defaults))


def test_a_quote_that_is_not_closed() -> None:
    with pytest.raises(UsageError, match="No closing quotation"):
        task_of(given(task="t 'x"), {})
