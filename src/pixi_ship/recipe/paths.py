"""Where things are in an image; the paths of the published Dockerfile recipe."""

from __future__ import annotations

APP = "/app"
ENTRYPOINT = f"{APP}/entrypoint.sh"


def prefix_of(environment: str) -> str:
    """The prefix of an environment in the image."""
    return f"{APP}/.pixi/envs/{environment}"
