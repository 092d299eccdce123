"""An image of the numpy workspace, and pixi-ship run as a program of its own, where tests ask."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..conftest import REPOSITORY, TestData
from ..contract.tools import output

BASE = f"oci:{REPOSITORY / '.test-data' / 'base'}:bookworm"

AWKWARD = (
    "two  words",
    "it's",
    '"quoted"',
    "$HOME",
    "`id`",
    "*",
    "a\nb",
    "-x",
    "--",
    "é→",
    "\\",
    "",
)
"""Words that a shell on the way would change."""

ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"


@dataclass(frozen=True)
class Runner:
    """`pixi-ship run` from a directory, with a cache and options that every call gets."""

    cache: Path
    directory: Path
    options: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def words(self, *words: str | Path) -> list[str]:
        start = [sys.executable, "-m", "pixi_ship", "run", "--cache-dir", str(self.cache)]
        return [*start, *self.options, *map(str, words)]

    def __call__(
        self,
        *words: str | Path,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*words),
            input=stdin,
            capture_output=True,
            text=True,
            cwd=cwd or self.directory,
            env={**os.environ, **self.environment, **(env or {})},
        )

    def begin(self, *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.directory,
            env={**os.environ, **self.environment},
        )


@pytest.fixture(scope="session")
def image_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of this worker, so that the image is unpacked, and converted, once."""
    return tmp_path_factory.mktemp("run-cache")


@pytest.fixture(scope="session")
def numpy_image(
    channel_data: TestData, image_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The numpy workspace as an OCI layout."""
    if not (REPOSITORY / ".test-data" / "base" / "index.json").exists():
        pytest.skip("no base image here (make setup makes it)")
    reference = f"oci:{tmp_path_factory.mktemp('run-image') / 'Layout'}:numpy"
    output(
        *(sys.executable, "-m", "pixi_ship", "build", "-q", "--base", BASE, "--to", reference),
        *("-w", channel_data.workspace("numpy"), "--cache-dir", image_cache),
    )
    return reference
