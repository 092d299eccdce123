"""The HTTP client that Pixi would use: its credentials, mirrors, proxies and certificates."""

from __future__ import annotations

from pathlib import Path

from rattler import Config
from rattler.networking import Client

from pixi_ship.errors import FetchError


def pixi_client(root: Path) -> Client:
    """A client set up by Pixi's configuration files: the machine's, the user's, the workspace's.

    root: the workspace's directory. Credentials are those that ``pixi auth login`` stored.
    Raises FetchError for a configuration that cannot be read.
    """
    own = root / ".pixi" / "config.toml"
    try:
        config = Config.load_from_default_locations("pixi")
        if own.is_file():
            config = config.merge(Config.load_from_files([own]))
        return Client.from_config(config)
    except Exception as error:  # py-rattler raises kinds of its own
        raise FetchError(
            f"reading Pixi's configuration: {' '.join(str(error).split())}",
            hint="'pixi config list' shows what it holds",
        ) from error
