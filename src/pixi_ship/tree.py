"""A filesystem as data: the waist between packages and file formats.

What comes before this module knows conda packages and wheels; what comes after knows
tar, OCI and squashfs. Neither side imports the other. A tree is a *stream* of entries
that can be taken again and gives the same entries each time: content is pulled chunk by
chunk, so a tree of many gigabytes never lies in memory or on the host's filesystem.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

# One mode for every directory of every layer: a directory that two layers disagree about
# would make each of them change whenever the other does.
DIRECTORY_MODE = 0o755


@dataclass(frozen=True, slots=True)
class File:
    """A regular file: ``content`` yields exactly ``size`` bytes, once."""

    path: str
    mode: int
    size: int
    content: Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link; ``target`` is stored as given and never followed."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Hardlink:
    """A second name for the file ``target``, which came earlier in the same tree."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory; its mode is always :data:`DIRECTORY_MODE`."""

    path: str


Entry = File | Symlink | Hardlink | Directory


class Tree(Protocol):
    """A deterministic, repeatable stream of entries; paths are relative to the image's root."""

    def entries(self) -> Iterator[Entry]:
        """Yield the entries; a file's content must be taken before the next entry."""
        ...


def readable_mode(mode: int) -> int:
    """Permission bits as an image may have them: ``a+r``, ``x`` for all or none, no setuid.

    Images run as users who own nothing in them, so a file that only its owner can read
    would be lost to the job (conda packages with 0600 and 0640 files exist).
    """
    executable = 0o111 if mode & 0o111 else 0
    return (mode & 0o755) | 0o644 | executable


def parents(path: str) -> Iterator[str]:
    """The directories above a relative path, outermost first."""
    position = path.find("/")
    while position != -1:
        yield path[:position]
        position = path.find("/", position + 1)


def checked_path(raw: str) -> str:
    """A path from an archive as a clean relative path, ``./`` and trailing ``/`` taken off.

    Raises ValueError for what could leave the place it is laid out in: absolute paths,
    ``..``, NUL, and the empty path.
    """
    path = raw.rstrip("/")
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    if path.startswith("/"):
        raise ValueError(f"absolute path {raw!r}")
    if "//" in path or "/./" in path or path.endswith("/."):
        path = "/".join(part for part in path.split("/") if part not in ("", "."))
    if ".." in path and ".." in path.split("/"):
        raise ValueError(f"path {raw!r} climbs out with '..'")
    if "\0" in path:
        raise ValueError(f"path {raw!r} holds a NUL byte")
    if path in ("", "."):
        raise ValueError(f"empty path {raw!r}")
    return path
