"""Workspaces with activation scripts, built on the real base, and the shell in their images."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..channel.conda_package import CondaPackage, Entry, File
from ..conftest import REPOSITORY
from ..tiny import Ran, Tiny, lacking, ship, ship_apart

BASE = REPOSITORY / ".test-data" / "base"
PREFIX = "/app/.pixi/envs/default"


def activate_script(name: str, text: str) -> File:
    return File(f"etc/conda/activate.d/{name}.sh", text.encode())


@dataclass
class Activating(Tiny):
    """A tiny workspace whose images stand on the real base; its cache is kept for the others."""

    kept: Path = Path()

    @property
    def cache(self) -> Path:
        return self.kept

    def package(
        self, name: str, *entries: Entry, depends: Sequence[str] = (), version: str = "1.0"
    ) -> Path:
        return CondaPackage(name, version, list(entries), depends=list(depends)).write(self.channel)

    def depend(self, rows: Mapping[str, Sequence[str]]) -> None:
        """Write into the lock what packages depend on, by name."""
        path = self.work / "pixi.lock"
        document = json.loads(path.read_text())
        for row in document["packages"]:
            row["depends"] = list(rows.get(row["name"], ()))
        path.write_text(json.dumps(document))

    def script(self, text: str, name: str = "thing", *entries: Entry) -> Path:
        """Lock an environment of one package with one script."""
        archive = self.package(name, activate_script(name, text), *entries)
        self.lock(archive)
        return archive

    def words(self, *more: str | Path, to: str | None = None) -> list[str | Path]:
        found = super().words(*more, to=to)
        found[found.index("scratch")] = f"oci:{BASE}:bookworm"
        return found

    def made(self, *more: str | Path) -> Made:
        ran = ship(*self.words(*more))
        assert ran.status == 0, ran.err
        return Made(ran, self.output)

    def made_apart(
        self, *more: str | Path, env: Mapping[str, str], cwd: Path, prefix: Sequence[str] = ()
    ) -> Made:
        ran = ship_apart(*self.words(*more), env=env, cwd=cwd, prefix=prefix)
        assert ran.status == 0, ran.err
        return Made(ran, self.output)


@dataclass(frozen=True)
class Made:
    """A build, and what its image says."""

    ran: Ran
    layout: Path

    @property
    def warnings(self) -> list[str]:
        return [str(each) for each in self.ran.document["warnings"]]

    def document(self, digest: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.blob(digest))
        return found

    def blob(self, digest: str) -> bytes:
        return self.layout.joinpath("blobs", *digest.split(":")).read_bytes()

    @property
    def config(self) -> dict[str, Any]:
        manifest = self.document(str(self.ran.document["digest"]))
        return self.document(manifest["config"]["digest"])

    def last_layer(self) -> dict[str, str]:
        """The files of the image's last layer, by path."""
        manifest = self.document(str(self.ran.document["digest"]))
        found = {}
        with tarfile.open(fileobj=io.BytesIO(self.blob(manifest["layers"][-1]["digest"]))) as tar:
            for member in tar:
                if (file := tar.extractfile(member)) is not None:
                    found[member.name] = file.read().decode()
        return found

    @property
    def env(self) -> dict[str, str]:
        return dict(row.split("=", 1) for row in self.config["config"]["Env"])


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has the base unpacked after its first use."""
    return tmp_path_factory.mktemp("activation-cache") / "cache"


@pytest.fixture
def work(tmp_path: Path, kept: Path) -> Activating:
    can_sandbox()
    return Activating(tmp_path, kept=kept)


def can_sandbox() -> None:
    """Skip, by name, what this machine lacks."""
    if not (BASE / "index.json").exists():
        lacking("not made yet: .test-data/base (make setup makes it)")
    if shutil.which("bwrap") is None:
        lacking("not on this machine: bwrap (make setup installs it)")
    probe = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    if (done := subprocess.run(probe, capture_output=True, text=True)).returncode:
        lacking(f"bubblewrap makes no namespaces here: {done.stderr.strip()}")


class Shell:
    """The image in a root filesystem of its own, and commands in it under bubblewrap."""

    def __init__(self, made: Made, cache: Path) -> None:
        self._words = ["run", "--runtime", "bubblewrap", "--cache-dir", cache]
        self._image = f"oci:{made.layout}:t"

    def __call__(self, script: str, *options: str, stdin: str = "") -> str:
        words = [*self._words, *options, self._image, "--", "sh", "-c", script]
        done = subprocess.run(
            [sys.executable, "-m", "pixi_ship", *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            env=dict(os.environ),
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
