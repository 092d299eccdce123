"""``pixi ship render``: what it can write, each a verb of its own."""

from __future__ import annotations

import click

from pixi_ship.cli.render_classic import apptainer_command, ci_command, dockerfile_command
from pixi_ship.cli.render_job import job_commands


@click.group("render")
def render_command() -> None:
    """Write a job or a build as text for something else, to be started by hand."""


for _command in (dockerfile_command, apptainer_command, ci_command, *job_commands()):
    render_command.add_command(_command)
