"""Options of the verbs that make images: packages that are built elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import click

from pixi_ship.cli.option_group import option_group


class InjectionOptions(TypedDict):
    """The values of :data:`injection_options`, by parameter name; paths are absolute."""

    inject: tuple[Path, ...]
    from_prefix: Path | None


def _absolute(
    context: click.Context, parameter: click.Parameter, given: Path | tuple[Path, ...] | None
) -> Path | tuple[Path, ...] | None:
    """Start from here; links stay, since a prefix may have been installed through one."""
    if isinstance(given, tuple):
        return tuple(each.absolute() for each in given)
    return None if given is None else given.absolute()


injection_options = option_group(
    click.option(
        "--inject",
        metavar="FILE",
        multiple=True,
        type=click.Path(path_type=Path),
        callback=_absolute,
        help="Package built elsewhere (.conda, .tar.bz2 or .whl) in place of the locked one of "
        "its name. May be repeated.",
    ),
    click.option(
        "--from-prefix",
        metavar="DIR",
        type=click.Path(path_type=Path),
        callback=_absolute,
        help="Environment that Pixi installed from this lock: what no archive of the lock gives "
        "is taken from there.",
    ),
)
