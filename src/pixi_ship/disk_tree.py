"""Directories that strangers filled, of any depth: removed, and measured.

One descriptor is held, and names are taken one at a time: neither the depth of calls, nor the
length of a path, nor the number of descriptors grows with the tree.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def remove_tree(place: Path | str, *, dir_fd: int | None = None) -> None:
    """Remove a directory with all that is in it; a link in it goes, what it leads to stays.

    Directories that may not be entered are opened to their owner first. dir_fd: where ``place``
    starts. What cannot be removed does not keep the rest; raises the first OSError at the end.
    """
    failed: list[OSError] = []

    def empty(handle: int) -> list[str]:
        directories = []
        for entry in _entries(handle, failed):
            try:
                if entry.is_dir(follow_symlinks=False):
                    _open_to_owner(entry.name, handle)
                    directories.append(entry.name)
                else:
                    os.unlink(entry.name, dir_fd=handle)
            except OSError as error:
                failed.append(error)
        return directories

    def leave(handle: int, name: str) -> None:
        try:
            os.rmdir(name, dir_fd=handle)
        except OSError as error:
            failed.append(error)

    _open_to_owner(place, dir_fd)
    _visit(place, dir_fd, empty, leave, failed)
    if failed:
        raise failed[0]
    os.rmdir(place, dir_fd=dir_fd)


def tree_size(place: Path | str, *, dir_fd: int | None = None) -> int:
    """Bytes of all files in a directory that can be looked at; links are not followed."""
    total = 0
    failed: list[OSError] = []

    def add(handle: int) -> list[str]:
        nonlocal total
        directories = []
        for entry in _entries(handle, failed):
            try:
                facts = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # gone since
            if stat.S_ISDIR(facts.st_mode):
                directories.append(entry.name)
            else:
                total += facts.st_size
        return directories

    _visit(place, dir_fd, add, lambda handle, name: None, failed)
    return total


def _visit(
    place: Path | str,
    dir_fd: int | None,
    enter: Callable[[int], list[str]],
    leave: Callable[[int, str], None],
    failed: list[OSError],
) -> None:
    """Go through a tree, depth first.

    enter: told each directory, gives the names in it to go into. leave: told the name of each
    one that was gone through, and the directory it is in. failed: takes the errors.
    """
    handle = os.open(place, _DIRECTORY, dir_fd=dir_fd)
    try:
        waiting, trail = [enter(handle)], list[tuple[str, os.stat_result]]()
        while waiting:
            if waiting[-1]:
                name = waiting[-1].pop()
                try:
                    deeper = os.open(name, _DIRECTORY, dir_fd=handle)
                except OSError as error:
                    failed.append(error)
                    continue
                trail.append((name, os.fstat(handle)))
                os.close(handle)
                handle = deeper
                waiting.append(enter(handle))
                continue
            waiting.pop()
            if trail:
                name, above = trail.pop()
                upper = os.open("..", _DIRECTORY, dir_fd=handle)
                os.close(handle)
                handle = upper
                # Who moved the directory meanwhile would have led us out of the tree.
                if not os.path.samestat(os.fstat(handle), above):
                    raise OSError(f"going through {place}: {name!r} was moved meanwhile")
                leave(handle, name)
    finally:
        os.close(handle)


def _entries(handle: int, failed: list[OSError]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(handle) as found:
            return list(found)
    except OSError as error:
        failed.append(error)
        return []


def _open_to_owner(name: Path | str, dir_fd: int | None) -> None:
    facts = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    if stat.S_ISDIR(facts.st_mode) and facts.st_mode & 0o700 != 0o700:
        os.chmod(name, 0o700, dir_fd=dir_fd)
