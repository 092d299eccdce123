"""Routes that the tests of the texts share: one for each thing that a workspace can be."""

from __future__ import annotations

from dataclasses import replace

from pixi_ship.classic.route import PIXI_IMAGE, TEMPLATE_CUDA, Copied, Route
from pixi_ship.platform import platform_of

PLAIN = Route(
    workspace="demo",
    environment="default",
    platform=platform_of("linux-64"),
    pixi_platform=None,
    locked_platform="linux-64",
    cuda=None,
    base=PIXI_IMAGE,
    pixi_image=PIXI_IMAGE,
    manifest="pixi.toml",
    python="3.12",
)
ROUTES: dict[str, Route] = {
    "plain": PLAIN,
    "gpu": replace(PLAIN, environment="gpu", cuda="12.9", base="docker.io/library/ubuntu:24.04"),
    "rich": replace(
        PLAIN, cuda="12", pixi_platform="linux-64-cuda", locked_platform="p1", in_repository="fit"
    ),
    "arm": replace(
        PLAIN,
        platform=platform_of("linux-aarch64"),
        locked_platform="linux-aarch64",
        python="3.10",
    ),
    "template": replace(PLAIN, cuda=TEMPLATE_CUDA, as_template=True),
    "pyproject": replace(
        PLAIN,
        workspace="Größe\nFROM scratch",
        manifest="pyproject.toml",
        installed_from=(
            Copied("libs/core", "/app/libs/core"),
            Copied("../shared wheels/a.whl", "/shared wheels/a.whl"),
            Copied("set up.sh", "/app/set up.sh"),
        ),
        kept=("/app/libs/core", "/app/set up.sh"),
        included=(Copied("my data", "/opt/my data"), Copied("train.py", "/app/src/train.py")),
        parents=("analysis",),
    ),
}
