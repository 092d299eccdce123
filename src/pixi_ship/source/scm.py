"""The version that a project takes from its repository, where the lock has none.

Plugins such as ``setuptools-scm`` ask git. The backend is given no repository (its history is
no part of the wheel, its settings may start programs), so git is asked here, what it says of
tags alone, and the answer goes to the plugin as a version to pretend. It is made as
setuptools-scm makes it by default: the tag; or the next version, ``.devN`` and ``+gCOMMIT``
where commits or changes followed it. A project's own scheme is not known here.

Source: setuptools-scm, "Version number construction" and "Environment variables".
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import tomli
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pixi_ship.source.changes import Checkout
from pixi_ship.source.git import Git

_PLUGINS = frozenset(
    (
        *("setuptools-scm", "hatch-vcs", "flit-scm", "vcs-versioning", "pbr"),
        *("poetry-dynamic-versioning", "uv-dynamic-versioning", "setuptools-git-versioning"),
        *("versioningit", "dunamai"),
    )
)
_DESCRIBED = re.compile(r"(?P<tag>.+)-(?P<distance>\d+)-g(?P<commit>[0-9a-f]+)\Z")
_TAGGED = re.compile(r"(?:[\w-]+-)?[vV]?(?P<version>\d+(?:\.\d+)*[^+]*)(?:\+.*)?\Z")
_LAST_NUMBER = re.compile(r"(?P<before>.*?)(?P<number>\d+)\Z")
_MAX_MANIFEST = 4 << 20  # bytes


def pretended(name: str, version: str) -> dict[str, str]:
    """Variables that tell the plugins which version it is, whatever they find."""
    upper = re.sub(r"[-_.]+", "_", name).upper()
    names = (
        *("SETUPTOOLS_SCM_PRETEND_VERSION", f"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{upper}"),
        *("VCS_VERSIONING_PRETEND_VERSION", "PDM_BUILD_SCM_VERSION", "PBR_VERSION"),
        *("POETRY_DYNAMIC_VERSIONING_BYPASS", "UV_DYNAMIC_VERSIONING_BYPASS"),
    )
    return dict.fromkeys(names, version)


def asks_repository(project: Path) -> bool:
    """Whether the project's backend takes the version from a repository."""
    try:
        # Without O_NONBLOCK a named pipe would be waited for.
        handle = os.open(project / "pyproject.toml", os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return False
            table = tomli.loads(file.read(_MAX_MANIFEST).decode())
    except (OSError, ValueError, RecursionError):
        return False  # the build says what is wrong
    system = table.get("build-system")
    requires = system.get("requires") if isinstance(system, dict) else None
    names = {_name_of(each) for each in requires} if isinstance(requires, list) else set()
    if names & _PLUGINS:
        return True
    tool = table.get("tool")
    pdm = tool.get("pdm") if isinstance(tool, dict) else None
    version = pdm.get("version") if isinstance(pdm, dict) else None
    return "pdm-backend" in names and isinstance(version, dict) and version.get("source") == "scm"


def _name_of(requirement: object) -> str:
    try:
        return canonicalize_name(Requirement(str(requirement)).name)
    except InvalidRequirement:
        return ""


@dataclass(frozen=True, slots=True)
class Repository:
    """The repository around a project, asked for what it records and nothing else."""

    git: Git
    project: Path

    def version(self) -> str | None:
        """The version of the files; None where there is no repository, or git refuses it.

        Raises SourceError where it cannot be told whether they are those of the commit.
        """
        checkout = Checkout(self.git, self.project)
        commit = checkout.ask("rev-parse", "--verify", "HEAD^{commit}")
        if commit is None:
            return None
        described = checkout.ask("describe", "--tags", "--long", "--match", "*[0-9]*")
        changed = checkout.has_changed()
        if described is None:
            count = checkout.ask("rev-list", "--count", "HEAD") or "0"
            return _in_between("0", int(count), commit[:10], changed)
        found = _DESCRIBED.match(described)
        tagged = _TAGGED.match(found["tag"]) if found else None
        if found is None or tagged is None:
            return None
        try:
            version = str(Version(tagged["version"]))
        except InvalidVersion:
            return None
        distance = int(found["distance"])
        if not distance and not changed:
            return version
        return _in_between(version, distance, found["commit"], changed)


def _in_between(version: str, distance: int, commit: str, changed: bool) -> str | None:
    """The version that comes after a tag, as setuptools-scm guesses it, and where it is from."""
    if version == "0":
        following = "0.1"
    elif found := _LAST_NUMBER.match(version.partition("+")[0]):
        following = f"{found['before']}{int(found['number']) + 1}"
    else:
        return None
    local = f"g{commit}.dirty" if changed else f"g{commit}"
    return f"{following}.dev{distance}+{local}"
