"""The commands that pages show are commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import tomli

from pixi_ship.attest.attestation import Attestation
from pixi_ship.base_lock import FILE_NAME, read_base_lock
from pixi_ship.cli import cli
from pixi_ship.oci.reference import parse_reference
from pixi_ship.workspace import _TOOL_KEYS

from .pages import PAGES, REPOSITORY, Command, blocks, commands, named

COMMANDS = tuple(commands())
OURS = [each for each in COMMANDS if each.words[:2] == ("pixi", "ship")]
PLACES = ("base", "reference", "repository", "old", "new")
MAKES = [each for each in COMMANDS if each.words[0] == "make"]
# Commands keep the help option of their first context: without this one, -h is lost to later tests.
ABOVE = click.Context(cli, info_name="pixi-ship", **cli.context_settings)


def test_pages_show_commands() -> None:
    """The ones that everybody starts with are there to be tested."""
    shown = {each.words for each in COMMANDS if each.page.name == "README.md"}
    assert {("make", "demo"), ("make", "test")} <= shown
    assert {each.words[2] for each in OURS} == set(cli.commands)


@pytest.mark.parametrize("command", OURS, ids=str)
def test_options_exist(command: Command) -> None:
    """A command of ours is parsed as it stands, and its references too."""
    verb, words = cli.commands[command.words[2]], list(command.words[3:])
    while isinstance(verb, click.Group):
        verb = verb.commands[words.pop(0)]
    with verb.make_context(verb.name, words, parent=ABOVE) as context:
        given = context.params
    for reference in filter(None, (given.get(name) for name in PLACES)):
        parse_reference(reference)
    for reference in (*given.get("to", ()), *given.get("cache_from", ())):
        parse_reference(reference)
    for document in (*given.get("sboms", ()), *given.get("provenances", ())):
        assert document.partition(":")[0] in set(Attestation)
    assert given.get("to") or verb.name != "build"


def test_a_wrong_option_would_be_found() -> None:
    """The test above is one."""
    with pytest.raises(click.NoSuchOption):
        cli.commands["plan"].make_context("plan", ["--no-such-option"], parent=ABOVE)


@pytest.mark.parametrize("command", MAKES, ids=str)
def test_make_targets_exist(command: Command) -> None:
    """A target that is shown is one that ``make`` lists."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    assert {word for word in command.words[1:] if "=" not in word} <= listed


def test_toml_is_toml() -> None:
    """Manifests can be copied; their ``[tool.pixi-ship]`` has keys that there are."""
    found = [(page, block) for page in PAGES for block in blocks(page, "toml")]
    assert found
    for page, block in found:
        document = tomli.loads(block)
        assert document, named(page)
        assert document.get("tool", {}).get("pixi-ship", {}).keys() <= _TOOL_KEYS, named(page)


def test_base_lock_is_read(tmp_path: Path) -> None:
    """The ``pixi-ship.lock`` that a page shows is one."""
    shown = [block for page in PAGES for block in blocks(page, "toml") if "[[base]]" in block]
    assert shown
    for block in shown:
        (tmp_path / FILE_NAME).write_text(block, encoding="utf-8")
        assert read_base_lock(tmp_path).digests


def test_console_blocks_hold_commands() -> None:
    """A line of a console block is a command."""
    for page in PAGES:
        for block in blocks(page, "console"):
            assert all(line.startswith("$ ") for line in block.splitlines()), named(page)
