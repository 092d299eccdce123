"""The environments that are taken to jobs, each in two versions that differ in one package."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.workspaces import MEASURED, with_changed_package


@dataclass(frozen=True, slots=True)
class Environment:
    """A workspace of the test channel. imports: what a job's first line of Python imports.

    libraries: what is loaded before, from the prefix: wheels look for it in the system alone.
    """

    name: str
    contents: str
    imports: str
    libraries: tuple[str, ...] = ()

    @property
    def script(self) -> str:
        """What a job begins with."""
        loads = "".join(f"; ctypes.CDLL(f'{{sys.prefix}}/lib/{each}')" for each in self.libraries)
        return f"import ctypes, sys{loads}; import {self.imports}"

    @property
    def workspace(self) -> Path:
        """Where its manifest and lock lie."""
        return MEASURED / self.name

    def packages(self) -> str:
        """A digest of the archives in its lock: runs with equal ones are runs of the same."""
        lock = (self.workspace / "pixi.lock").read_text()
        archives = sorted(re.findall(r"^ +sha256: (\w+)$", lock, re.MULTILINE))
        return hashlib.sha256("\n".join(archives).encode()).hexdigest()


_CXX = ("libgcc_s.so.1", "libstdc++.so.6")
ENVIRONMENTS = {
    each.name: each
    for each in (
        Environment("few", "20 packages", "requests, yaml"),
        Environment("arrays", "numpy, scipy, pandas", "pandas, scipy.stats", _CXX),
        Environment("large", "PyTorch for CPUs, scikit-learn, Arrow, pandas", "torch", _CXX),
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
