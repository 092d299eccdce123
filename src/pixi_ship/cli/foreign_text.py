"""Text that others wrote, as it may reach a terminal.

A label, a tag or a package's name can hold escape sequences, line breaks, marks that turn the
direction of writing, and lone surrogates, which no encoding takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from pixi_ship.errors import PixiShipError

_LONGEST = 2000  # characters


def printable(text: str, most: int = _LONGEST) -> str:
    """One line of ``text`` without control characters, cut after ``most`` characters."""
    kept = "".join(_character(each) for each in text[:most])
    return f"{kept}…" if len(text) > most else kept


def _character(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else ""


def echo(line: str, *, err: bool = False) -> None:
    """Print a line that may hold foreign text."""
    click.echo(printable(line, 4 * _LONGEST), err=err)


def print_foreign_json(document: Mapping[str, object]) -> None:
    """The one document of ``--json``, in ASCII: foreign text is whole, and escaped."""
    click.echo(json.dumps(document, indent=2))


@contextmanager
def printable_errors() -> Iterator[None]:
    """Make the sentences of errors in the block fit to print: they may quote an image."""
    try:
        yield
    except PixiShipError as error:
        error.args = (printable(str(error)),)
        error.hint = printable(error.hint) if error.hint else None
        raise
