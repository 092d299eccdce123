"""What the texts of the classic route are made from: names and paths, all checked."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from pixi_ship.platform import Platform
from pixi_ship.recipe.paths import APP

PIXI_IMAGE = "ghcr.io/prefix-dev/pixi:noble"
"""The image with Pixi in it that the published recipe names, twice."""

TEMPLATE_CUDA = "12.9"
TEMPLATE_ENVIRONMENT = "default"


@dataclass(frozen=True, slots=True)
class Copied:
    """Something of the project that goes along.

    source: relative to the workspace. dest: the place in the image, absolute.
    """

    source: str
    dest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An environment, and what Pixi needs to install it elsewhere.

    cuda: None where nothing wants a driver. pixi_platform: the name to be given to Pixi, where
    the machine alone does not decide; locked_platform: what the lock calls it. base: of the
    final stage; pixi_image: of the first, both as a registry names them. manifest: its file
    name. installed_from: what the installation reads besides manifest and lock. kept: places of
    the first stage that the environment needs where it runs. included: what the final stage
    takes from the project. as_template: CUDA version and environment are the user's. parents:
    the directories above the workspace that lead to it from the highest one it reads from.
    in_repository: the workspace's place in its repository, empty for the top. python: the
    environment's minor version.
    """

    workspace: str
    environment: str
    platform: Platform
    pixi_platform: str | None
    locked_platform: str
    cuda: str | None
    base: str
    pixi_image: str
    manifest: str
    installed_from: tuple[Copied, ...] = ()
    kept: tuple[str, ...] = ()
    included: tuple[Copied, ...] = ()
    as_template: bool = False
    parents: tuple[str, ...] = ()
    in_repository: str = ""
    python: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def context(self) -> str:
        """The directory that holds everything that is read, seen from the workspace."""
        return "/".join([".."] * len(self.parents)) or "."

    def in_context(self, source: str) -> str:
        """A path relative to the workspace as one relative to the context."""
        return posixpath.normpath(posixpath.join(*self.parents, source))

    @property
    def arguments(self) -> dict[str, str]:
        """What a person may give another value, by name."""
        cuda = {"CUDA_VERSION": self.cuda} if self.cuda is not None else {}
        return {**cuda, "ENVIRONMENT": self.environment}

    @property
    def brought(self) -> tuple[str, ...]:
        """The files of the first stage that go into the final one beside the environment."""
        fixed = (self.manifest, "pixi.lock", ".pixi/.gitignore", ".pixi/.condapackageignore")
        return (*(f"{APP}/{each}" for each in fixed), *self.kept)

    def install(self, environment: str) -> str:
        """Pixi's command that installs; environment: as the text's language says it."""
        platform = f" --platform {self.pixi_platform}" if self.pixi_platform else ""
        return f"pixi install --locked --environment {environment}{platform}"

    def shell_hook(self, environment: str) -> str:
        """Pixi's command that prints what activates, and changes neither lock nor environment."""
        return f"pixi shell-hook --environment {environment} --shell bash --frozen --no-install"
