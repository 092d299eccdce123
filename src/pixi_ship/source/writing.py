"""Write a foreign tree of files below a directory, and nowhere else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from pixi_ship.tree import checked_path

MAX_FILES = 200_000
_MAX_DEPTH = 64


class Escape(ValueError):
    """A path or link leads out of the tree, or the tree is not one; says which."""


class TreeWriter:
    """Files and directories as they come, symbolic links at the end.

    No link exists while anything else is written, so nothing can be written through one.
    limit: bytes that may be written, the copies that stand for hard links counted.
    """

    def __init__(self, root: Path, *, limit: int) -> None:
        self._root = root
        self._limit = limit
        self._left = limit
        self._directories: set[str] = {""}
        self._links: dict[str, str] = {}
        self._count = 0

    def directory(self, path: str) -> None:
        """Make a directory and those above it; the root is there."""
        if path.strip("./") or ".." in path:
            self._make(self._counted(path))

    def file(self, path: str, *, executable: bool, content: Iterable[bytes]) -> None:
        """Write a file; a second one of the same path takes the first one's place."""
        path = self._counted(path)
        self._make(path.rpartition("/")[0])
        self._links.pop(path, None)
        mode = 0o755 if executable else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        try:
            handle = os.open(self._root / path, flags, mode)
        except (IsADirectoryError, FileExistsError) as error:
            raise Escape(f"{path!r} is both a file and a directory") from error
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            for chunk in content:
                self._left -= len(chunk)
                if self._left < 0:
                    raise Escape(
                        f"it unpacks to more than {self._limit} bytes (a decompression bomb?)"
                    )
                file.write(chunk)

    def symlink(self, path: str, target: str) -> None:
        """Note a symbolic link; its target may not leave the tree."""
        path = self._counted(path)
        if not is_within(path, target):
            raise Escape(f"{path!r} is a link to {target!r}, which is outside")
        self._links[path] = target

    def hardlink(self, path: str, target: str) -> None:
        """Write a copy of a file that was written before."""
        target = checked_path(target)
        self._make(target.rpartition("/")[0])
        try:
            handle = os.open(self._root / target, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise Escape(f"{path!r} is a link to {target!r}, which is not before it") from error
        with os.fdopen(handle, "rb") as source:
            mode = os.fstat(handle).st_mode
            if not stat.S_ISREG(mode) or checked_path(path) == target:
                raise Escape(f"{path!r} is a link to {target!r}, which is no other file")
            executable = bool(mode & 0o100)
            self.file(path, executable=executable, content=iter(lambda: source.read(1 << 20), b""))

    def finish(self) -> None:
        """Make the symbolic links."""
        for path, target in sorted(self._links.items()):
            self._make(path.rpartition("/")[0])
            try:
                (self._root / path).symlink_to(target)
            except FileExistsError as error:
                raise Escape(f"{path!r} is there twice, once as a link") from error
        top = os.path.realpath(self._root)
        for path, target in self._links.items():
            if os.path.commonpath([top, os.path.realpath(self._root / path)]) != top:
                raise Escape(f"{path!r} is a link to {target!r}, which leads outside")

    def _counted(self, raw: str) -> str:
        self._count += 1
        if self._count > MAX_FILES:
            raise Escape(f"it holds more than {MAX_FILES} files")
        path = checked_path(raw)
        if path.count("/") > _MAX_DEPTH:
            raise Escape(f"{path[:100]!r}… lies {path.count('/')} directories deep")
        return path

    def _make(self, path: str) -> None:
        if path in self._directories:
            return
        self._make(path.rpartition("/")[0])
        if path in self._links:
            raise Escape(f"{path!r} is a link, and a directory too")
        where = self._root / path
        try:
            where.mkdir(mode=0o755)
            where.chmod(0o755)
        except FileExistsError:
            # A link made at the end, or a file: neither may be gone through.
            if not stat.S_ISDIR(where.lstat().st_mode):
                raise Escape(f"{path!r} is no directory, and has files in it") from None
        self._directories.add(path)


def is_within(path: str, target: str) -> bool:
    """Whether a link at ``path`` stays in the tree by its words: relative, never above the root."""
    if target.startswith("/") or "\0" in target or not target:
        return False
    depth = path.count("/")
    for part in target.split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            return False
    return True
