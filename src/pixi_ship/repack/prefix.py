"""An installed prefix on this machine: its records, and its files, opened without following links.

    conda-meta/<name>-<version>-<build>.json   one record for each package
    conda-meta/pixi_env_prefix                 where Pixi put the prefix, if it was Pixi

Whoever wrote the prefix need not be trusted: no path leaves it, neither by ``..`` nor by a
symbolic link, and nothing but regular files is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pixi_ship.errors import PackageError
from pixi_ship.tree import checked_path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_MAX_NAMES = 200_000  # of one directory
_MAX_LOCATION = 1 << 16  # bytes of pixi_env_prefix
_HINT = "name the directory that Pixi installed to, such as .pixi/envs/default"


class InstalledPrefix:
    """A prefix; ``origins`` are the places that it may have been installed to, likely first."""

    def __init__(self, root: Path, descriptor: int) -> None:
        self.root = root
        self._root = descriptor
        self.origins = self._origins()

    @classmethod
    @contextmanager
    def opened(cls, root: Path) -> Iterator[InstalledPrefix]:
        """Open the prefix at ``root``, an absolute path that may itself be a link."""
        try:
            descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise PackageError(f"the prefix {root}", str(error.strerror), hint=_HINT) from error
        try:
            yield cls(root, descriptor)
        finally:
            os.close(descriptor)

    def names(self, directory: str) -> tuple[str, ...]:
        """What a directory of the prefix holds, sorted; nothing where there is none."""
        try:
            with self._directory(directory.split("/")) as descriptor:
                found = sorted(os.listdir(descriptor))  # noqa: PTH208 - reached through no link
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unreadable(directory, error) from error
        if len(found) > _MAX_NAMES:
            raise PackageError(str(self), f"{directory!r} holds {len(found)} files")
        return tuple(found)

    def exists(self, path: str) -> bool:
        """Whether there is anything at a path."""
        try:
            with self._place(path) as (directory, name):
                os.lstat(name, dir_fd=directory)
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def open(self, path: str) -> Iterator[tuple[BinaryIO, os.stat_result]]:
        """Open a regular file; raises FileNotFoundError, or PackageError for anything else."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        with self._place(path) as (directory, name):
            descriptor = os.open(name, flags, dir_fd=directory)
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            raise PackageError(str(self), f"{path!r} is not a regular file")
        with os.fdopen(descriptor, "rb") as file:
            yield file, facts

    def read(self, path: str, limit: int) -> bytes:
        """A file of at most ``limit`` bytes."""
        with self.open(path) as (file, facts):
            data = file.read(limit + 1) if facts.st_size <= limit else b""
        if max(len(data), facts.st_size) > limit:
            raise PackageError(str(self), f"{path!r} has more than {limit} bytes")
        return data

    def link(self, path: str) -> str | None:
        """Where a symbolic link points; None where there is no link."""
        try:
            with self._place(path) as (directory, name):
                is_link = stat.S_ISLNK(os.lstat(name, dir_fd=directory).st_mode)
                return os.readlink(name, dir_fd=directory) if is_link else None
        except FileNotFoundError:
            return None

    def __str__(self) -> str:
        return f"the prefix {self.root}"

    @contextmanager
    def _place(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory of a path, and its name in there, for system calls in the block.

        What these raise comes out as PackageError, FileNotFoundError as it is.
        """
        try:
            *above, name = checked_path(path).split("/")
        except ValueError as error:
            raise PackageError(str(self), str(error)) from None
        try:
            with self._directory(above) as directory:
                yield directory, name
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unreadable(path, error) from error

    @contextmanager
    def _directory(self, parts: list[str]) -> Iterator[int]:
        """A directory below the root, reached one name after the other and through no link."""
        descriptor = os.dup(self._root)
        try:
            for part in parts:
                below = os.open(part, _DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def _unreadable(self, path: str, error: OSError) -> PackageError:
        # ELOOP and ENOTDIR are what a link gives where none may be.
        return PackageError(
            str(self),
            f"{path!r} cannot be read without following a link or "
            f"leaving the prefix: {error.strerror}",
        )

    def _origins(self) -> tuple[str, ...]:
        found = []
        try:
            text = self.read("conda-meta/pixi_env_prefix", _MAX_LOCATION)
            # Pixi writes the place of conda-meta (pixi, create_prefix_location_file).
            found.append(text.decode("utf-8").strip().removesuffix("/conda-meta"))
        except (FileNotFoundError, UnicodeDecodeError):
            pass
        found += [str(self.root), str(self.root.resolve())]
        places = [place.rstrip("/") for place in found if place.startswith("/")]
        return tuple(dict.fromkeys(place for place in places if place))
