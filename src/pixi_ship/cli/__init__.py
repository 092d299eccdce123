"""The command line: parse, call :mod:`pixi_ship.ship`, print. Nothing else."""

from __future__ import annotations

import errno
import os
import sys

import click

from pixi_ship.cli.build import build_command
from pixi_ship.cli.cache import cache_group
from pixi_ship.cli.convert import convert_command
from pixi_ship.cli.diff import diff_command
from pixi_ship.cli.doctor import doctor_command
from pixi_ship.cli.inspect import inspect_command
from pixi_ship.cli.jobs import (
    cancel_command,
    fetch_command,
    logs_command,
    status_command,
    wait_command,
)
from pixi_ship.cli.ls import ls_command
from pixi_ship.cli.plan import plan_command
from pixi_ship.cli.pull import pull_command
from pixi_ship.cli.render import render_command
from pixi_ship.cli.run import run_command
from pixi_ship.cli.submit import submit_command
from pixi_ship.cli.verify import verify_command
from pixi_ship.errors import PixiShipError
from pixi_ship.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pixi-ship")
def cli() -> None:
    """Take an environment of a locked Pixi workspace to batch jobs, as a container image."""


for _command in (
    *(plan_command, build_command, convert_command, pull_command, run_command),
    *(submit_command, status_command, wait_command, logs_command, fetch_command),
    *(cancel_command, render_command),
    *(verify_command, inspect_command, diff_command, ls_command),
    *(cache_group, doctor_command),
):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 the thing asked failed, 2 usage."""
    try:
        cli.main(arguments, prog_name="pixi-ship", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted; run the same again to go on", None)
        sys.exit(130)
    except PixiShipError as error:
        _complain(str(error), error.hint)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _complain(*_explained(error))
        sys.exit(1)


def _explained(error: OSError) -> tuple[str, str | None]:
    where = f"{error.filename}: " if error.filename else ""
    hint = None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space, or choose another place with --cache-dir or --to"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "choose a place you can write to"
    return f"{where}{error.strerror or error}", hint


def _complain(message: str, hint: str | None) -> None:
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"  hint: {hint}", err=True)
