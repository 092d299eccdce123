"""A host that is reached over SSH, as the command line names it."""

from __future__ import annotations

import os
import sys
from typing import TypedDict

import click

from pixi_ship.cli.option_group import option_group
from pixi_ship.host.connection import Connection, socket_directory
from pixi_ship.host.host import Host
from pixi_ship.over_ssh import REMOTE_JOBS


class HostOptions(TypedDict):
    """The values of :data:`host_options`, by parameter name."""

    host: str | None
    remote_jobs: str


host_options = option_group(
    click.option(
        "--host",
        metavar="[USER@]HOST",
        help="Submit there over SSH; also a name of ~/.ssh/config.",
    ),
    click.option(
        "--remote-jobs",
        metavar="DIR",
        default=REMOTE_JOBS,
        show_default=True,
        help="Where the job gets its directory there; if not absolute, below the home directory.",
    ),
)


def reached(name: str) -> Host:
    """A host, to be connected to when it is first asked."""
    sockets = socket_directory(os.environ, os.getuid())
    return Host(Connection(name, os.environ, sockets, terminal=sys.stderr.isatty()))
