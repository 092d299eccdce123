"""The version that a project takes from its repository, where the lock has none.

Plugins such as ``setuptools-scm`` ask git. The backend is given no repository (its history is
no part of the wheel, its settings may start programs), so git is asked here, what it says of
tags alone, and the answer goes to the plugin as a version to pretend. It is made as
setuptools-scm makes it by default: the tag; or the next version, ``.devN`` and ``+gCOMMIT``
where commits or changes followed it. A project's own scheme is not known here.

Source: setuptools-scm, "Version number construction" and "Environment variables".
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import tomli
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pixi_ship.source.files import ProjectFile
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
        with (project / "pyproject.toml").open("rb") as file:
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

    def version(self, files: list[ProjectFile]) -> str | None:
        """The version of the files; None where there is no repository, or git refuses it."""
        commit = self._ask("rev-parse", "--verify", "HEAD^{commit}")
        if commit is None:
            return None
        described = self._ask("describe", "--tags", "--long", "--match", "*[0-9]*")
        changed = self._has_changed(files)
        if described is None:
            count = self._ask("rev-list", "--count", "HEAD") or "0"
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

    def _has_changed(self, files: list[ProjectFile]) -> bool:
        """Whether a recorded file below the project is another one now.

        By contents: asking git itself would run the filters that its settings name.
        """
        listed = self._ask("ls-tree", "-r", "-z", "HEAD", ".")
        here = {each.path: each for each in files}
        for row in (listed or "").split("\0"):
            words, _, path = row.partition("\t")
            if path in here and here[path].link is None:
                mode, _, digest = words.split(" ")
                if mode == "120000" or not _is_blob(here[path], digest):
                    return True
        return False

    def _ask(self, *words: str) -> str | None:
        try:
            done = self.git.ask(self.project, words)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.decode("utf-8", "surrogateescape").strip("\n") if done is not None else None


def _is_blob(file: ProjectFile, digest: str) -> bool:
    content = file.here.read_bytes()
    kind = hashlib.sha256 if len(digest) == 64 else hashlib.sha1
    blob = b"blob %d\0" % len(content) + content
    return kind(blob, usedforsecurity=False).hexdigest() == digest


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
