"""The reference of the command line is the one that the commands give."""

from __future__ import annotations

import re
import runpy

import click

from pixi_ship.cli import cli
from pixi_ship.cli.options import DEFAULT_BASE, DEFAULT_PLATFORM
from pixi_ship.workspace import _TOOL_KEYS

from .pages import REPOSITORY

REFERENCE = REPOSITORY / "docs" / "reference"


def test_cli_reference_is_current() -> None:
    """``python docs/reference/generate.py`` writes it anew."""
    made = runpy.run_path(str(REFERENCE / "generate.py"))["reference"]()
    assert (REFERENCE / "cli.md").read_text(encoding="utf-8") == made


def test_cli_reference_has_every_option() -> None:
    """The generator forgets none."""
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    for name, command in runpy.run_path(str(REFERENCE / "generate.py"))["verbs_of"](cli):
        [_, after] = re.split(rf"^## `{name}(?: [A-Z]+)*`$", text, flags=re.MULTILINE)
        section = after.partition("\n## ")[0]
        for option in (each for each in command.params if isinstance(each, click.Option)):
            for word in (*option.opts, *option.secondary_opts):
                assert f"`{word}" in section, (name, word)


def test_configuration_lists_every_key() -> None:
    """``[tool.pixi-ship]`` has the keys of the page, and no others."""
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    table = text.partition("## `[tool.pixi-ship]`")[2].partition("\n## ")[0]
    rows = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(_TOOL_KEYS)
    assert DEFAULT_BASE in table
    assert DEFAULT_PLATFORM in table
