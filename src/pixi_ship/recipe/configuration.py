"""The last layer and the config of an image: everything that is not a package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pixi_ship.platform import Platform
from pixi_ship.recipe.activation import Activation, Script
from pixi_ship.recipe.environment import activation_base, image_env
from pixi_ship.recipe.paths import APP, ENTRYPOINT
from pixi_ship.recipe.scripts import (
    LOGIN,
    PLAIN,
    Shell,
    charliecloud_environment,
    entrypoint,
    hook,
)
from pixi_ship.tree import Directory, Entry, File

# As Pixi writes them beside an environment (.pixi/.gitignore, .pixi/.condapackageignore).
_GITIGNORE = b"*\n!config.toml\n"
_CONDAPACKAGEIGNORE = b".pixi\n!.pixi/config.toml\n"
# Runtimes mount over these, and a root without them cannot be started read-only.
_MOUNT_POINTS = ("dev", "etc", "home", "mnt", "proc", "root", "srv", "sys", "tmp", "var/tmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything the last layer and the config are made from.

    scripts: those of the manifest, which are shipped. command: what runs where a job names
    nothing; a shell where it is empty.
    """

    workspace: str
    environment: str
    prefix: str
    manifest_name: str
    manifest: bytes
    lock: bytes
    activation: Activation
    base_config: Mapping[str, object]
    wants_gpu: bool
    has_ca: bool
    on_scratch: bool
    has_bash: bool
    scripts: tuple[Script, ...] = ()
    command: tuple[str, ...] = ()

    @property
    def shell(self) -> Shell:
        """What sources scripts of activation."""
        return Shell("/bin/bash" if self.has_bash else "/bin/sh")

    @property
    def variables(self) -> dict[str, str]:
        """What activation sets, PATH left out."""
        base = activation_base(self.prefix, self.environment, self.workspace)
        base["PIXI_PROJECT_MANIFEST"] = f"{APP}/{self.manifest_name}"
        return {**base, **self.activation.variables}

    def env(self) -> list[str]:
        """The rows of ``config.Env``."""
        inner = self.base_config.get("config")
        rows = inner.get("Env") if isinstance(inner, Mapping) else None
        return image_env(
            [str(row) for row in rows or ()],
            self.prefix,
            self.activation.path,
            self.variables,
            unset=self.activation.unset,
            wants_gpu=self.wants_gpu,
            has_ca=self.has_ca,
        )


@dataclass(frozen=True, slots=True)
class ConfigurationTree:
    """The last layer: manifest, lock, entrypoint and hooks."""

    recipe: Recipe

    def entries(self) -> Iterator[Entry]:
        """The files, by path."""
        recipe = self.recipe
        script = (recipe.prefix, recipe.activation, recipe.variables, recipe.shell)
        files = {
            f"app/{recipe.manifest_name}": recipe.manifest,
            "app/pixi.lock": recipe.lock,
            "app/.pixi/.gitignore": _GITIGNORE,
            "app/.pixi/.condapackageignore": _CONDAPACKAGEIGNORE,
            ENTRYPOINT[1:]: entrypoint(*script),
            "etc/profile.d/zz-pixi-ship.sh": hook(*script, LOGIN),
            ".singularity.d/env/91-pixi-ship.sh": hook(*script, PLAIN),
            "ch/environment": charliecloud_environment(recipe.env()),
            f"{recipe.prefix[1:]}/conda-meta/history": b"",
        }
        for each in recipe.scripts:
            files[each.path[1:]] = each.text.encode("utf-8", "surrogateescape")
        for path in sorted(files):
            mode = 0o755 if path == ENTRYPOINT[1:] else 0o644
            yield File(path, mode, len(files[path]), (files[path],))
        if recipe.on_scratch:
            for path in _MOUNT_POINTS:
                yield Directory(path)


def image_config(
    recipe: Recipe,
    platform: Platform,
    history: Sequence[Mapping[str, object]],
    labels: Mapping[str, str],
    created: str,
) -> dict[str, object]:
    """The image config, ``rootfs`` left out. Spec: OCI image-spec 1.1, ``config.md``."""
    inner = recipe.base_config.get("config")
    config = dict(inner) if isinstance(inner, Mapping) else {}
    base_labels = config.get("Labels")
    config["Env"] = recipe.env()
    config["Entrypoint"] = [ENTRYPOINT]
    config["Cmd"] = list(recipe.command) or [recipe.shell.path]
    config["Labels"] = {**(base_labels if isinstance(base_labels, Mapping) else {}), **labels}
    # A health check or an entrypoint's arguments of the base would speak of another program.
    for name in ("Healthcheck", "ArgsEscaped"):
        config.pop(name, None)
    past = recipe.base_config.get("history")
    document: dict[str, object] = {
        "created": created,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": config,
        "history": [*(past if isinstance(past, list) else ()), *history],
    }
    if platform.variant:
        document["variant"] = platform.variant
    return document
