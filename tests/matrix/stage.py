"""One image in every form that runtimes take, and a host that must not show in it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..contract.tools import need, output
from .probe import LEAK, NESTED, Circumstance

REPOSITORY = Path(__file__).parents[2]
BASE = f"oci:{REPOSITORY / '.test-data' / 'base'}:bookworm"
TAG = "numpy"
ABSENT_HOME = "/home/of/somebody"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Stage:
    """A folder that any user may enter, in which the image is made as it is asked for."""

    folder: Path
    workspace: Path

    @cached_property
    def layout(self) -> Path:
        """The image as an OCI layout."""
        return self._built("layout", f"oci:{{}}:{TAG}")

    @cached_property
    def archive(self) -> Path:
        """The same as a docker archive."""
        return self._built("image.tar", f"docker-archive:{{}}:example/{TAG}:1")

    @cached_property
    def sif(self) -> Path:
        """The same as a SIF."""
        return self._built("image.sif", "sif:{}")

    def _built(self, name: str, target: str) -> Path:
        """Another form costs little: the layers are in the cache."""
        path = self.folder / name
        output(
            *(sys.executable, "-m", "pixi_ship", "build", "--quiet", "--base", BASE),
            *("--workspace", self.workspace, "--cache-dir", self.folder / "cache"),
            *("--to", target.format(path)),
        )
        return path

    @cached_property
    def config(self) -> dict[str, Any]:
        """The `config` of the image's config."""
        found: dict[str, Any] = json.loads(self._blob(self._manifest["config"]["digest"]))
        inner: dict[str, Any] = found["config"]
        return inner

    @property
    def rows(self) -> list[str]:
        """`config.Env`."""
        return [str(row) for row in self.config["Env"]]

    @property
    def variables(self) -> dict[str, str]:
        return dict(row.partition("=")[::2] for row in self.rows)

    @cached_property
    def bundle(self) -> Path:
        """A runtime bundle, as umoci unpacks the image to one."""
        need("umoci", root=True)
        bundle = self.folder / "bundle"
        output("umoci", "unpack", "--image", f"{self.layout}:{TAG}", bundle)
        bundle.chmod(0o755)
        return bundle

    @property
    def root(self) -> Path:
        return self.bundle / "rootfs"

    @cached_property
    def home(self) -> Path:
        """A home on the host, with a numpy in it that nobody wants."""
        home = self.folder / "home"
        spoil(home)
        return home

    def host(self, circumstance: Circumstance) -> dict[str, str]:
        """The variables of the shell that the runtime is started from."""
        return {
            "PATH": f"{LEAK}/bin:{_PATH}",
            "HOME": ABSENT_HOME if circumstance is Circumstance.STRANGER else str(self.home),
            "USER": "root" if os.geteuid() == 0 else "me",
            "LC_ALL": "C.UTF-8",
            **misleading(circumstance),
        }

    @property
    def _manifest(self) -> dict[str, Any]:
        index = json.loads((self.layout / "index.json").read_text())
        found: dict[str, Any] = json.loads(self._blob(index["manifests"][0]["digest"]))
        return found

    def _blob(self, digest: str) -> str:
        return (self.layout / "blobs" / digest.replace(":", "/")).read_text()


def misleading(circumstance: Circumstance) -> dict[str, str]:
    """What a host sets that would break the environment if it got in."""
    return {
        "PYTHONPATH": f"{LEAK}/modules",
        "PYTHONHOME": f"{LEAK}/python",
        "CONDA_PREFIX": f"{LEAK}/conda",
        "DEMO_MODE": LEAK,
        **(NESTED if circumstance is Circumstance.NESTED else {}),
    }


def spoil(home: Path) -> None:
    """Put a numpy that cannot be imported where Python looks for a user's packages."""
    package = home / ".local/lib/python3.11/site-packages/numpy"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("raise ImportError('the numpy of the host')\n")
