"""The files of a project that count: what ``.gitignore`` does not leave out.

``.gitignore`` files count from the root of the repository down; what only this machine ignores
(``.git/info/exclude``, a user's own list) does not. Images and caches never do.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pixi_ship.digest import BLOCK
from pixi_ship.errors import SourceError
from pixi_ship.gitignore.rules import GitRules, git_rules, read_rules
from pixi_ship.source.results import is_result_directory, is_result_file
from pixi_ship.source.writing import TreeWriter, is_within

MAX_FILES = 20_000
MAX_SIZE = 1 << 30  # bytes
_NAMED = 3  # biggest directories, in an error
_NEVER = (
    *(".git", ".pixi", ".venv", "__pycache__", "*.pyc", ".tox", ".mypy_cache"),
    *(".pytest_cache", ".ruff_cache", "node_modules"),
)


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A file of a project; ``path`` is relative to it.

    here: where its bytes are. link: the target of a symbolic link that stays in the project;
    one to a file elsewhere in the workspace is a copy of that file.
    """

    path: str
    here: Path
    executable: bool
    size: int
    link: str | None = None


def project_files(project: Path, workspace: Path) -> list[ProjectFile]:
    """The files of a directory that count, sorted by path.

    workspace: where links to files may lead. Raises SourceError where the directory is not
    there, cannot be read, holds more than a project does, or links out of the workspace.
    """
    if not project.is_dir():
        raise SourceError(
            f"reading the path dependency at {project}: there is no such directory",
            hint="the lock names it: put it there, or run 'pixi lock' where it moved",
        )
    found: list[ProjectFile] = []
    sizes: Counter[str] = Counter()
    count = 0
    try:
        rules, place = git_rules(project.absolute(), workspace.absolute(), excluded=False)
        for each in _walk(project, project, workspace.resolve(), rules, place):
            found.append(each)
            # A project is called too large when it is walked far enough to name what makes it so.
            sizes[each.path.partition("/")[0] if "/" in each.path else "."] += max(each.size, 1)
            count += 1
            if count > 10 * MAX_FILES:
                break
    except OSError as error:
        raise SourceError(
            f"reading the path dependency at {project}: {error.filename}: {error.strerror}",
            hint="make it readable, or list it in .gitignore",
        ) from error
    _check_size(project, found, sizes)
    return sorted(found, key=lambda each: each.path)


def digest_of(files: list[ProjectFile]) -> str:
    """What the files are: paths, contents, execute bits and links, but no times."""
    whole = hashlib.sha256()
    for each in files:
        content = _Hashed(each)
        for _ in content.chunks():
            pass
        whole.update(content.row())
    return whole.hexdigest()


def copy_files(files: list[ProjectFile], into: Path) -> str:
    """Copy the files below a directory; returns the digest of what was copied."""
    writer, whole = TreeWriter(into, limit=MAX_SIZE), hashlib.sha256()
    try:
        for each in files:
            content = _Hashed(each)
            if each.link is not None:
                writer.symlink(each.path, each.link)
            else:
                writer.file(each.path, executable=each.executable, content=content.chunks())
            whole.update(content.row())
        writer.finish()
    except ValueError as error:
        raise SourceError(f"copying the path dependency: {error}") from error
    return whole.hexdigest()


class _Hashed:
    """The content of a file, hashed while it is read."""

    def __init__(self, file: ProjectFile) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def chunks(self) -> Iterator[bytes]:
        for chunk in _read(self._file):
            self._hash.update(chunk)
            yield chunk

    def row(self) -> bytes:
        file = self._file
        kind = "l" if file.link is not None else "x" if file.executable else "f"
        path, target = os.fsencode(file.path).hex(), os.fsencode(file.link or "").hex()
        return f"{kind} {path} {target} {self._hash.hexdigest()}\n".encode()


def _read(file: ProjectFile) -> Iterator[bytes]:
    if file.link is not None:
        return
    try:
        with file.here.open("rb") as opened:
            while chunk := opened.read(BLOCK):
                yield chunk
    except OSError as error:
        raise SourceError(
            f"reading {file.here}: {error.strerror}",
            hint="make it readable, or list it in .gitignore",
        ) from error


def _walk(
    directory: Path, project: Path, workspace: Path, rules: GitRules, place: bytes
) -> Iterator[ProjectFile]:
    """place: the directory's path in the repository that the rules are of."""
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        here, name = Path(entry.path), os.fsencode(entry.name)
        below = place + b"/" + name if place else name
        is_directory = entry.is_dir(follow_symlinks=False)
        if any(fnmatchcase(entry.name, each) for each in _NEVER):
            continue
        if rules.ignores(below, is_directory=is_directory):
            continue
        if is_directory:
            if is_result_directory(here):
                continue
            inner = rules.below(below, read_rules(here / ".gitignore"))
            yield from _walk(here, project, workspace, inner, below)
        elif entry.is_symlink():
            yield _link(here, project, workspace)
        elif entry.is_file(follow_symlinks=False):
            facts = entry.stat(follow_symlinks=False)
            if not is_result_file(here, facts.st_size):
                yield _file(here.relative_to(project).as_posix(), here, facts)


def _file(path: str, here: Path, status: os.stat_result) -> ProjectFile:
    return ProjectFile(path, here, bool(status.st_mode & 0o100), status.st_size)


def _link(here: Path, project: Path, workspace: Path) -> ProjectFile:
    path, target = here.relative_to(project).as_posix(), os.readlink(here)  # noqa: PTH115
    real = Path(os.path.realpath(here))
    if is_within(path, target) and real.is_relative_to(os.path.realpath(project)):
        return ProjectFile(path, here, False, 0, target)
    # Packages of one repository share a LICENSE or README this way.
    if real.is_relative_to(workspace) and real.is_file():
        return _file(path, real, real.stat())
    raise SourceError(
        f"reading the path dependency at {project}: {path!r} is a link to {target!r}, "
        "which is no file of the workspace",
        hint="put the file in its place, or list the link in .gitignore",
    )


def _check_size(project: Path, found: list[ProjectFile], sizes: Counter[str]) -> None:
    total = sum(each.size for each in found)
    if len(found) <= MAX_FILES and total <= MAX_SIZE:
        return
    biggest = ", ".join(
        f"{name} ({size >> 20} MiB)" for name, size in sizes.most_common(_NAMED) if name != "."
    )
    at_least = "at least " if len(found) > 10 * MAX_FILES else ""
    raise SourceError(
        f"reading the path dependency at {project}: it holds {at_least}{len(found)} files of "
        f"{total >> 20} MiB, want {MAX_FILES} files of {MAX_SIZE >> 20} MiB at most; "
        f"biggest: {biggest or 'files at its top'}",
        hint="list what is not part of the package in its .gitignore",
    )
