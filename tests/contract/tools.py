"""The outside programs that judge our bytes, and how this machine can run them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

FETCHED = Path(__file__).parents[2] / ".test-data" / "tools" / "bin"
"""Programs of newer Debian suites that `make setup` fetches; what is installed comes first."""

PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), str(FETCHED)])


def need(*tools: str, root: bool = False) -> None:
    """Skip a test that this machine cannot run, by name; where CI runs, that is a failure."""
    missing = [tool for tool in tools if shutil.which(tool, path=PATH) is None]
    if root and os.geteuid() != 0:
        missing.append("root")
    if not missing:
        return
    message = f"not on this machine: {', '.join(missing)} (make setup installs the programs)"
    if IN_CI:
        pytest.fail(message)
    pytest.skip(message)


def need_newer(*tools: str) -> None:
    """Skip, also where CI runs: whether a newer Debian suite can be reached is not ours to say."""
    missing = [tool for tool in tools if shutil.which(tool, path=PATH) is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)} (from a newer Debian suite)")


def run(
    *words: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; the caller looks at the status."""
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PATH": PATH, **(env or {})},
    )


def output(
    *words: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """What a program prints; its failure fails the test with everything it said."""
    done = run(*words, cwd=cwd, env=env)
    if done.returncode:
        line = " ".join(str(word) for word in words)
        pytest.fail(f"{line}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def skopeo(*words: str | Path) -> str:
    return output("skopeo", "--insecure-policy", *words)


def skopeo_json(*words: str | Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(skopeo(*words))
    return document


# Podman's defaults do not start on every machine: crun wants a version of cgroups, and podman's
# own limits on files and processes may be above what the machine allows.
RUNTIMES: tuple[list[str], ...] = ([], ["--runtime", "crun"], ["--runtime", "runc"])
LIMITS: tuple[list[str], ...] = (
    [],
    ["--ulimit", "nofile=1024:4096", "--ulimit", "nproc=4096:4096"],
)


@dataclass(frozen=True)
class Podman:
    """Podman with a store of its own and the options that let containers start here."""

    store: Path
    driver: str
    runtime: Sequence[str] = ()
    limits: Sequence[str] = ()

    @property
    def place(self) -> list[str]:
        """Where the store is, as podman and buildah both want to be told."""
        root, run_root = str(self.store / "root"), str(self.store / "run")
        return ["--root", root, "--runroot", run_root, "--storage-driver", self.driver]

    def words(self, *words: str) -> list[str]:
        return ["podman", "--log-level", "error", *self.place, *self.runtime, *words]

    def run(
        self, image: str, *command: str, options: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        fixed = ["--rm", "--network=none", *self.limits]
        return run(*self.words("run", *fixed, *options, image, *command))

    def pull(self, archive: str, cwd: Path | None = None) -> str:
        """The identity of an image that podman read by itself from a layout or an archive."""
        return output(*self.words("pull", "--quiet", archive), cwd=cwd).split()[-1]

    def forget(self) -> None:
        run(*self.words("rmi", "--all", "--force"))


def working_podman(store: Path, archive: str) -> Podman:
    """The first combination of storage driver, runtime and limits that runs a trivial image."""
    said = []
    for driver in ("overlay", "vfs"):
        image = None
        for runtime in RUNTIMES:
            for limits in LIMITS:
                podman = Podman(store / driver, driver, runtime, limits)
                if image is None:
                    pulled = run(*podman.words("pull", "--quiet", archive))
                    if pulled.returncode:
                        said.append(f"{driver}: {pulled.stderr.strip()}")
                        continue
                    image = pulled.stdout.split()[-1]
                done = podman.run(image, "true")
                if done.returncode == 0:
                    return podman
                said.append(f"{driver} {' '.join([*runtime, *limits])}: {done.stderr.strip()}")
    message = "podman starts no container on this machine:\n" + "\n".join(said)
    if IN_CI:
        pytest.fail(message)
    pytest.skip(message)
