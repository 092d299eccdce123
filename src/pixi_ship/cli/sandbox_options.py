"""The options that say what packages may run while an image is made."""

from __future__ import annotations

from typing import TypedDict

import click

from pixi_ship.cli.option_group import option_group


class SandboxOptions(TypedDict):
    """The values of :data:`sandbox_options`."""

    no_sandbox: bool
    build_network: bool
    run_link_scripts: tuple[str, ...]


sandbox_options = option_group(
    click.option(
        "--no-sandbox",
        is_flag=True,
        help="Run no activation script of a package, and build sources with your own rights.",
    ),
    click.option(
        "--build-network",
        is_flag=True,
        help="Let builds of sources use the network; what they fetch is in no lock.",
    ),
    click.option(
        "--run-link-scripts",
        metavar="NAME",
        multiple=True,
        help="Package whose post-link script is run, in a sandbox; what it changes in the prefix "
        "is a layer. May be repeated.",
    ),
)
