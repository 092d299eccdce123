"""What a source is, as words: two that give the same wheel have the same."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.errors import FetchError, SourceError
from pixi_ship.fetch.location import local_path
from pixi_ship.lock.model import PypiPackage, PypiSource, SourceKind
from pixi_ship.source.files import ProjectFile, digest_of, project_files
from pixi_ship.source.git import Git
from pixi_ship.source.git_location import GitLocation
from pixi_ship.source.scm import Repository, asks_repository
from pixi_ship.source.workshop import Workshop

_FORMAT = 1  # of keys: changes where the same source gives another wheel


@dataclass(frozen=True, slots=True)
class Identity:
    """What a source is; files, version: of a path dependency, what counts and what git says."""

    text: str
    version: str | None
    files: tuple[ProjectFile, ...] = ()
    digest: str = ""


def identity_of(source: PypiSource, workshop: Workshop) -> Identity:
    """What a source is now; fetches nothing. Raises SourceError where it is not there."""
    if source.kind is SourceKind.GIT:
        return Identity(GitLocation.parse(source.location).key, source.version)
    if source.kind is SourceKind.SDIST:
        try:
            return Identity(workshop.archives.identity(archive_of(source)), source.version)
        except FetchError as error:
            raise SourceError(str(error), hint=error.hint) from error
    place = _directory(source, workshop)
    files = project_files(place, workshop.root)
    version = source.version
    if version is None and asks_repository(place):
        version = Repository(git_of(workshop), place).version()
    digest = digest_of(files)
    return Identity(f"files {digest}", version, tuple(files), digest)


def _directory(source: PypiSource, workshop: Workshop) -> Path:
    place = local_path(source.location, workshop.root)
    if place is None:
        raise SourceError(f"reading {source.name}: {source.location!r} is no directory's path")
    return place


def archive_of(source: PypiSource) -> PypiPackage:
    """A source distribution as what :class:`Archives` fetches."""
    return PypiPackage(
        name=source.name,
        version=source.version or "",
        location=source.location,
        file_name=source.file_name,
        sha256=source.sha256,
        size=source.size,
    )


def key_of(source: PypiSource, workshop: Workshop, identity: Identity, platform: str) -> str:
    """The key of a source's wheel; platform: ``any`` for one without compiled files."""
    words = (
        *(f"{_FORMAT}", source.name, identity.text, identity.version or "-"),
        *(workshop.python.site_packages, workshop.python.short_version, platform),
        *(f"unconfined {workshop.unconfined}", f"network {workshop.build_network}"),
    )
    return hashlib.sha256("\n".join(words).encode("utf-8", "surrogateescape")).hexdigest()


def git_of(workshop: Workshop) -> Git:
    """The caller's git."""
    program = shutil.which("git", path=workshop.environment.get("PATH"))
    return Git(program or "git", workshop.environment, workshop.timeout)
