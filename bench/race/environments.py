"""The environments that are taken to jobs, each in two versions that differ in one package."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.workspaces import MEASURED, with_changed_package


@dataclass(frozen=True, slots=True)
class Environment:
    """A workspace of the test channel. imports: what a job's first line of Python imports."""

    name: str
    contents: str
    imports: str

    @property
    def workspace(self) -> Path:
        """Where its manifest and lock lie."""
        return MEASURED / self.name


ENVIRONMENTS = {
    each.name: each
    for each in (
        Environment("few", "20 packages", "requests, yaml"),
        Environment("arrays", "numpy, scipy, pandas", "pandas, scipy.stats"),
        Environment("large", "PyTorch for CPUs, scikit-learn, Arrow, pandas", "torch"),
        Environment("crowd", "500 packages, 100,000 files", "greet, crowd_000, json, ssl"),
    )
}


@dataclass(frozen=True, slots=True)
class Version:
    """A workspace to build, and the tag of what comes of it."""

    tag: str
    workspace: Path


def versions(environment: Environment, scratch: Path) -> tuple[Version, Version]:
    """Copies of the workspace below ``scratch``: as it is, and with one small package changed."""
    old, new = scratch / "workspaces/1", scratch / "workspaces/2"
    shutil.copytree(environment.workspace, old)
    if with_changed_package(environment.workspace, new) is None:
        raise RuntimeError(f"{environment.workspace}: no greet 1.1 in the lock; next: make clean")
    return Version("1", old), Version("2", new)
