"""Files below a cache's root, reached without following a symbolic link.

The root itself may be a link: people keep caches on another disk. Below it a link could
lead anywhere, so each step down is opened by its name in the directory above.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pixi_ship.cache import is_unfinished
from pixi_ship.disk_tree import remove_tree, tree_size
from pixi_ship.errors import CacheError


@dataclass(frozen=True, slots=True)
class CacheFile:
    """A file as it lay there: ``path`` below the root, ``size`` in bytes.

    Two are equal if nobody replaced or changed the file in between.
    """

    path: str
    size: int
    modified: int  # nanoseconds since 1970
    inode: int
    is_regular: bool

    @property
    def used(self) -> float:
        """When the file was last used, to the day; seconds since 1970."""
        return self.modified / 1e9

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


def files_in(root: Path, directory: str) -> list[CacheFile]:
    """The files of a directory, and links, by name; empty where there is no directory."""
    found = []
    try:
        with _opened(root, directory) as handle, os.scandir(handle) as entries:
            for entry in entries:
                try:
                    facts = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # gone since: nobody has to tell us
                    continue
                if not stat.S_ISDIR(facts.st_mode):
                    found.append(_file(f"{directory}/{entry.name}", facts))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise failed("reading", root, directory, error) from error
    return sorted(found, key=lambda file: file.name)


def directories_in(root: Path, directory: str) -> list[str]:
    """The names of the directories in a directory; links are none."""
    try:
        with _opened(root, directory) as handle, os.scandir(handle) as entries:
            return sorted(each.name for each in entries if each.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise failed("reading", root, directory, error) from error


def unfinished_trees_in(root: Path, directory: str) -> list[CacheFile]:
    """The directories in a directory that are there only while they are written.

    Each counts as one file of the size of all in it; empty where there is no directory.
    """
    found = []
    try:
        with _opened(root, directory) as handle, os.scandir(handle) as entries:
            for entry in entries:
                is_directory = entry.is_dir(follow_symlinks=False)
                if is_directory and is_unfinished(directory, entry.name, is_directory=True):
                    with suppress(FileNotFoundError):  # gone since
                        found.append(_tree(f"{directory}/{entry.name}", handle))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise failed("reading", root, directory, error) from error
    return sorted(found, key=lambda file: file.name)


def opened_file(root: Path, path: str) -> BinaryIO:
    """A regular file, open for reading; raises OSError."""
    directory, _, name = path.rpartition("/")
    with _opened(root, directory) as above:
        # Without O_NONBLOCK a named pipe would be waited for.
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=above)
    return os.fdopen(handle, "rb")


def remove(root: Path, path: str) -> bool:
    """Remove a file, a link, or an unfinished directory with all that is in it.

    False where it is gone already. Raises CacheError.
    """
    directory, _, name = path.rpartition("/")
    try:
        with _opened(root, directory) as above:
            facts = os.stat(name, dir_fd=above, follow_symlinks=False)
            is_directory = stat.S_ISDIR(facts.st_mode)
            if is_directory and is_unfinished(directory, name, is_directory=True):
                remove_tree(name, dir_fd=above)
            else:
                os.unlink(name, dir_fd=above)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise failed("removing", root, path, error) from error
    return True


@contextmanager
def _opened(root: Path, directory: str) -> Iterator[int]:
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in directory.split("/"):
            deeper = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = deeper
        yield handle
    finally:
        os.close(handle)


def _file(path: str, facts: os.stat_result) -> CacheFile:
    is_regular = stat.S_ISREG(facts.st_mode)
    return CacheFile(path, facts.st_size, facts.st_mtime_ns, facts.st_ino, is_regular)


def _tree(path: str, above: int) -> CacheFile:
    name = path.rpartition("/")[2]
    facts = os.stat(name, dir_fd=above, follow_symlinks=False)
    size = 0
    with suppress(OSError):  # it may be closed to us, or its owner moves what is in it
        size = tree_size(name, dir_fd=above)
    return CacheFile(path, size, facts.st_mtime_ns, facts.st_ino, False)


def failed(doing: str, root: Path, path: str, error: OSError) -> CacheError:
    """The error for a file that cannot be read or removed."""
    hint = "run it as the user whose cache it is"
    if isinstance(error, NotADirectoryError):  # what O_NOFOLLOW says of a link to a directory
        hint = "links in a cache are not followed; give the place they lead to with --cache-dir"
    return CacheError(f"{doing} {root / path}: {error.strerror}", hint=hint)
