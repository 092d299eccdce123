"""Options of every verb that speaks to registries, and what the surroundings say to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypedDict

import click

from pixi_ship.cli.option_group import option_group
from pixi_ship.registry.patience import Patience
from pixi_ship.registry.session import Settings, settings_of

registry_options = option_group(
    click.option(
        "--authfile",
        type=click.Path(path_type=Path),
        help="Logins to registries; also REGISTRY_AUTH_FILE.  [default: podman's and docker's]",
    ),
    click.option(
        "--plain-http/--no-plain-http",
        default=None,
        help="Speak HTTP without TLS to registries.  [default: to this machine only]",
    ),
    click.option(
        "--ca-file",
        type=click.Path(path_type=Path),
        help="Certificates of authorities to trust besides the system's.",
    ),
)


class RegistryOptions(TypedDict):
    """The values of :data:`registry_options`, by parameter name; None where not given."""

    authfile: Path | None
    plain_http: bool | None
    ca_file: Path | None


def registry_settings(
    given: RegistryOptions, *, offline: bool = False, patience: Patience | None = None
) -> Settings:
    """The settings, with what environment and home directory add."""
    return settings_of(
        *(os.environ, Path.home(), os.getuid()),
        authfile=given["authfile"],
        plain_http=given["plain_http"],
        ca_file=given["ca_file"],
        offline=offline,
        patience=patience,
    )
