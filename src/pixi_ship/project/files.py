"""The files of a project, named by what is in them, as a tree for a layer."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pixi_ship.digest import BLOCK, Digest
from pixi_ship.errors import ProjectError
from pixi_ship.project.find import FoundFile, FoundProject
from pixi_ship.tree import Entry, File, Symlink

_CHANGED = "run the same again once nothing writes there, or leave the file out"


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A file whose bytes are known by their digest; None for a link, which has a ``target``."""

    source: Path
    dest: str
    mode: int
    size: int
    digest: Digest | None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """Files by dest bytewise; ``digest`` names dest, mode and content of them all.

    size: bytes of all regular files.
    """

    files: tuple[ProjectFile, ...]
    size: int
    digest: Digest


def read_files(found: FoundProject) -> ProjectFiles:
    """Read every file once for its digest; raises ProjectError for one that cannot be read."""
    files = []
    whole = hashlib.sha256()
    for each in found.files:
        digest = None if each.target is not None else _digest(each)
        files.append(ProjectFile(each.source, each.dest, each.mode, each.size, digest, each.target))
        # NUL is in no path, so no two sets of files give the same rows.
        content = f"link {each.target}" if digest is None else f"file {each.size} {digest.hex}"
        whole.update(f"{each.dest}\0{each.mode:o}\0{content}\0\n".encode())
    return ProjectFiles(tuple(files), found.size, Digest(whole.hexdigest()))


@dataclass(frozen=True, slots=True)
class ProjectTree:
    """The files as entries of a layer, read anew as they are taken and held against the digest."""

    files: ProjectFiles

    def entries(self) -> Iterator[Entry]:
        """The files, by path."""
        for file in self.files.files:
            if file.target is not None:
                yield Symlink(file.dest, file.target)
            else:
                yield File(file.dest, file.mode, file.size, _content(file))


def _content(file: ProjectFile) -> Iterator[bytes]:
    """Exactly the bytes that were digested, or ProjectError."""
    seen = hashlib.sha256()
    for block in _blocks(file.source, file.size):
        seen.update(block)
        yield block
    if file.digest is not None and seen.hexdigest() != file.digest.hex:
        raise _changed(file.source, "its content is another than before")


def _digest(found: FoundFile) -> Digest:
    seen = hashlib.sha256()
    for block in _blocks(found.source, found.size):
        seen.update(block)
    return Digest(seen.hexdigest())


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    """The blocks of a file of ``size`` bytes; raises ProjectError for one of another size."""
    try:
        with _opened(path) as file:
            left = size
            while block := file.read(min(BLOCK, left + 1)):
                left -= len(block)
                if left < 0:
                    raise _changed(path, f"got more than {size} bytes")
                yield block
            if left:
                raise _changed(path, f"got {size - left} bytes, want {size}")
    except OSError as error:
        raise ProjectError(f"reading {str(path)!r}: {error.strerror}") from error


def _opened(path: Path) -> BinaryIO:
    """Open a regular file; one that became a pipe meanwhile must not hold us up."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file any more")
    return os.fdopen(descriptor, "rb", buffering=0)


def _changed(path: Path, what: str) -> ProjectError:
    return ProjectError(
        f"reading {str(path)!r}: it changed while being read: {what}", hint=_CHANGED
    )
