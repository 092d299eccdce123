"""Write ``docs/reference/cli.md`` from the commands themselves.

    python docs/reference/generate.py

The text is made from the options' own words rather than from ``--help``, whose line breaks
differ with the version of click and the width of the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from pixi_ship.cli import cli

TARGET = Path(__file__).with_name("cli.md")

_HEAD = """\
# Command line

<!-- Written by generate.py in this directory; do not edit. -->

`pixi-ship VERB …`, or `pixi ship VERB …` where it is installed as an extension of Pixi.
"""
_TAIL = """\
See also [configuration](configuration.md), [JSON documents](json.md) and
[exit codes](exit-codes.md).
"""


def reference() -> str:
    """The whole page."""
    verbs = [_verb(name, command) for name, command in verbs_of(cli)]
    return "\n".join([_HEAD, _options(cli, own=True), *verbs, _TAIL])


def verbs_of(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every verb by its words, those of a group after one another."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from verbs_of(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def _verb(name: str, command: click.Command) -> str:
    words = [
        each.metavar or str(each.name).upper()
        for each in command.params
        if isinstance(each, click.Argument)
    ]
    title = " ".join((name, *words))
    return f"## `{title}`\n\n{_flowed(command.help)}\n\n{_options(command)}"


def _options(command: click.Command, *, own: bool = False) -> str:
    rows = [_row(each) for each in command.params if isinstance(each, click.Option)]
    if own:
        rows.append("| `-h`, `--help` | Show help, of `pixi-ship` or of a verb, and exit. |")
    return "| option | what |\n|---|---|\n" + "\n".join(rows) + "\n"


def _row(option: click.Option) -> str:
    value = _value(option)
    names = [*option.opts, *option.secondary_opts]
    words = ", ".join(f"`{name}{value if name.startswith('--') else ''}`" for name in names)
    return f"| {words} | {_flowed(option.help)}{_range(option)} |"


def _value(option: click.Option) -> str:
    if option.is_flag or option.count:
        return ""
    if option.metavar:
        return f" {option.metavar}"
    if isinstance(option.type, click.Choice):
        return " " + r"\|".join(str(choice) for choice in option.type.choices)
    return f" {_KINDS.get(option.type.name, option.type.name.upper())}"


_KINDS = {"integer range": "N", "integer": "N", "text": "NAME"}


def _range(option: click.Option) -> str:
    if not isinstance(option.type, click.IntRange):
        return ""
    if option.type.max is None:
        return f" At least {option.type.min}."
    return f" From {option.type.min} to {option.type.max}."


def _flowed(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", r"\|")


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
