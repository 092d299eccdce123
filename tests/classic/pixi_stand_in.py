"""A stand-in for Pixi where the real one is not to be had: `install` and `shell-hook`, on rattler.

It is a program of its own, which the images of the tests have as `pixi`; it knows nothing of
pixi-ship. Conda packages are linked by py-rattler, Pixi's own engine, and wheels are installed by
uv, which Pixi has built in. What it does not do: solve, build sources, hold the lock against the
manifest, read Pixi's configuration, run link scripts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import rattler
from rattler.lock import LockPlatform
from rattler.shell import ActivationVariables, Shell, activate

SUBDIR = f"linux-{ {'x86_64': '64'}.get(os.uname().machine, os.uname().machine) }"
IGNORE_FILES = {
    ".gitignore": "*\n!config.toml\n",
    ".condapackageignore": ".pixi\n!.pixi/config.toml\n",
}
DEFAULT_CACHE = "/root/.cache/rattler/cache"


class Workspace:
    """The workspace of the current directory."""

    def __init__(self) -> None:
        self.root = Path.cwd()
        self.manifest = next(
            path for name in ("pixi.toml", "pyproject.toml") if (path := self.root / name).is_file()
        )
        document = tomllib.loads(self.manifest.read_text())
        in_python = self.manifest.name == "pyproject.toml"
        self.table: Mapping[str, Any] = document["tool"]["pixi"] if in_python else document
        self.name = str(self.table["workspace"].get("name", self.root.name))

    @property
    def platforms(self) -> Iterator[tuple[str, str, str | None]]:
        """Name, subdir and CUDA version, in the order in which Pixi prefers them."""
        for row in self.table["workspace"]["platforms"]:
            if isinstance(row, str):
                yield row, row, None
            else:
                yield row.get("name", row["platform"]), row["platform"], row.get("cuda")

    def platform(self, wanted: str | None) -> tuple[str, str | None]:
        """Name and CUDA version of the one that was asked for, or the first that fits here."""
        cuda = os.environ.get("CONDA_OVERRIDE_CUDA")
        for name, subdir, needs in self.platforms:
            if wanted == name or (
                wanted is None
                and subdir == SUBDIR
                and (needs is None or (cuda and _version(cuda) >= _version(needs)))
            ):
                return name, needs
        raise SystemExit(f"pixi: no platform of the workspace fits: {wanted or SUBDIR}")

    def prefix(self, environment: str) -> Path:
        return self.root / ".pixi" / "envs" / environment


def _version(text: str) -> rattler.Version:
    return rattler.Version(text)


def _locked(environment: rattler.Environment, name: str, cuda: str | None) -> LockPlatform:
    """The lock's platform of that name, or the one with the same CUDA, which it calls p1, p2."""
    found: list[LockPlatform] = []
    for each in environment.platforms():
        if each.name == name:
            return each
        declared = [v for v in each.virtual_packages if v.startswith("__cuda=")]
        if cuda and declared and declared[0].split("=")[1] == cuda:
            found.append(each)
    return found[0]


def install(arguments: argparse.Namespace) -> None:
    workspace = Workspace()
    lock = rattler.LockFile.from_path(workspace.root / "pixi.lock")
    environment = dict(lock.environments()).get(arguments.environment)
    if environment is None:
        raise SystemExit(f"pixi: unknown environment '{arguments.environment}'")
    name, cuda = workspace.platform(arguments.platform)
    platform = _locked(environment, name, cuda)
    if arguments.platform is None:
        _check_machine(platform)
    prefix = workspace.prefix(arguments.environment)
    cache = Path(os.environ.get("PIXI_CACHE_DIR", DEFAULT_CACHE))
    records = environment.conda_repodata_records_for_platform(platform) or []
    asyncio.run(
        rattler.install(
            records,
            prefix,
            cache_dir=cache / "pkgs",
            platform=platform.subdir,
            execute_link_scripts=False,
            show_progress=False,
        )
    )
    pypi = environment.pypi_packages_for_platform(platform) or []
    wheels = [(workspace.root / each.location).resolve().as_uri() for each in pypi]
    if wheels:
        _install_wheels(prefix, wheels, cache)
    for file, text in IGNORE_FILES.items():
        (workspace.root / ".pixi" / file).write_text(text)


def _check_machine(platform: LockPlatform) -> None:
    """As Pixi does: a driver that the lock asks for must be there, or be claimed to be."""
    for each in platform.virtual_packages:
        words = each.split("=")
        have = os.environ.get("CONDA_OVERRIDE_CUDA")
        if words[0] == "__cuda" and not (have and _version(have) >= _version(words[1])):
            raise SystemExit(f"pixi: the machine does not meet __cuda >={words[1]}")


def _install_wheels(prefix: Path, wheels: list[str], cache: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    python = ("--python", str(prefix / "bin" / "python"))
    offline = ("--no-deps", "--offline", "--no-index", "--cache-dir", str(cache / "uv"))
    words = [str(uv), "pip", "install", "--quiet", *python, *offline, *wheels]
    done = subprocess.run(words, env={**os.environ, "UV_BREAK_SYSTEM_PACKAGES": "1"})
    if done.returncode:
        raise SystemExit("pixi: uv failed")


def shell_hook(arguments: argparse.Namespace) -> None:
    workspace = Workspace()
    prefix = workspace.prefix(arguments.environment)
    path = os.environ["PATH"].split(os.pathsep)
    result = activate(prefix, ActivationVariables(None, path), Shell.bash, rattler.Subdir(SUBDIR))
    default = arguments.environment == "default"
    variables = {
        "CONDA_DEFAULT_ENV": workspace.name
        if default
        else f"{workspace.name}:{arguments.environment}",
        "PIXI_ENVIRONMENT_NAME": arguments.environment,
        "PIXI_IN_SHELL": "1",
        "PIXI_PROJECT_MANIFEST": str(workspace.manifest),
        "PIXI_PROJECT_NAME": workspace.name,
        "PIXI_PROJECT_ROOT": str(workspace.root),
        **workspace.table.get("activation", {}).get("env", {}),
    }
    print(result.script.rstrip("\n"))
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(str(value))}")
    for script in workspace.table.get("activation", {}).get("scripts", ()):
        print(f". {shlex.quote(str(workspace.root / script))}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="pixi", description=__doc__)
    parser.add_argument("--version", action="version", version="pixi 0.0.0-stand-in")
    verbs = parser.add_subparsers(required=True)
    installing = verbs.add_parser("install")
    installing.add_argument("--locked", action="store_true", required=True)
    installing.add_argument("--environment", default="default")
    installing.add_argument("--platform")
    installing.set_defaults(run=install)
    hooking = verbs.add_parser("shell-hook")
    hooking.add_argument("--environment", default="default")
    hooking.add_argument("--shell", choices=["bash"], required=True)
    hooking.add_argument("--frozen", action="store_true")
    hooking.add_argument("--no-install", action="store_true")
    hooking.set_defaults(run=shell_hook)
    arguments = parser.parse_args()
    arguments.run(arguments)
    sys.stdout.flush()
    # Rattler's threads may still let go of Python's state while Python ends, which aborts it.
    os._exit(0)


if __name__ == "__main__":
    main()
