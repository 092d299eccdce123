"""Lay an image, or trees, out as ordinary files, for what knows no layers.

Everything becomes the user's who unpacks; devices, pipes, owners and set-id bits are left out.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.errors import ImageError
from pixi_ship.layer.tar import MTIME
from pixi_ship.oci.blob import Layer
from pixi_ship.oci.layer_tar import OPAQUE, WHITEOUT, layer_members
from pixi_ship.squashfs.read import SquashfsEntry
from pixi_ship.tar_stream import Member
from pixi_ship.tree import (
    DIRECTORY_MODE,
    Directory,
    Entry,
    File,
    Symlink,
    Tree,
    checked_path,
    parents,
)

_MAX_ENTRIES = 5_000_000  # of all layers
_MAX_LINKS = 40  # symbolic links followed on the way to one directory, as Linux does
# What runtimes mount something over.
_DIRECTORIES = ("dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "var/tmp")
_FILES = ("etc/hosts", "etc/resolv.conf")


def unpack_layers(layers: Iterable[Layer], root: Path) -> None:
    """Lay layers over one another in an empty directory that nobody else writes to.

    Nothing is written outside of it, whatever links the layers hold. Raises ImageError,
    DigestMismatch, OSError.
    """
    writer = _RootWriter(root)
    for layer in layers:
        writer.begin_layer()
        with layer_members(layer) as found:
            for member in found:
                _lay(member, writer)
    writer.begin_layer()
    writer.add_mount_points()


def unpack_squashfs(entries: Iterable[SquashfsEntry], root: Path) -> None:
    """The same of a squashfs, whose layers are merged already."""
    writer = _RootWriter(root)
    writer.begin_layer()
    for entry in entries:
        _put(writer, entry.path, entry.kind, entry.mode, entry.link, entry)
    writer.begin_layer()
    writer.add_mount_points()


def lay_out(trees: Iterable[Tree], root: Path, *, limit: int) -> None:
    """The same of trees, the later over the earlier; their whiteouts hide what is there.

    limit: bytes of all files. Raises ImageError beyond it, and what taking the trees raises.
    """
    writer = _RootWriter(root)
    left = limit
    for tree in trees:
        writer.begin_layer()
        for entry in tree.entries():
            above, _, name = entry.path.rpartition("/")
            if name.startswith(WHITEOUT):
                writer.hide(f"{above}/{name.removeprefix(WHITEOUT)}")
            elif isinstance(entry, Directory):
                writer.directory(entry.path, DIRECTORY_MODE)
            elif isinstance(entry, File):
                left -= entry.size
                if left < 0:
                    raise ImageError(f"laying out packages: more than {limit >> 20} MiB of files")
                writer.file(entry.path, entry.mode, entry.content)
            elif isinstance(entry, Symlink):
                writer.symlink(entry.path, entry.target)
            else:
                writer.hardlink(entry.path, entry.target)
    # As in a layer: when the files were laid out is nobody's business.
    set_times(root)


@dataclass(frozen=True, slots=True)
class LayerTree:
    """A layer of ours as the tree that it was made of."""

    layer: Layer

    def entries(self) -> Iterator[Entry]:
        """Its entries, whiteouts as the files that they are; raises what reading a layer raises."""
        with layer_members(self.layer) as found:
            for member in found:
                path = checked_path(member.name)
                if member.kind == "file":
                    yield File(path, member.mode, member.size, member.chunks())
                elif member.kind == "symlink":
                    yield Symlink(path, member.link)


def set_times(root: Path) -> None:
    """Give all that is below a directory the time that everything in our layers has."""
    waiting = [str(root)]
    while waiting:  # no recursion: a layer may be as deep as it likes
        with os.scandir(waiting.pop()) as entries:
            for each in entries:
                os.utime(each.path, (MTIME, MTIME), follow_symlinks=False)
                if each.is_dir(follow_symlinks=False):
                    waiting.append(each.path)


def _lay(member: Member, writer: _RootWriter) -> None:
    if not member.name.strip("/."):
        return  # the root itself
    try:
        path = checked_path(member.name)
        link = checked_path(member.link.lstrip("/")) if member.kind == "hardlink" else member.link
    except ValueError as error:
        raise ImageError(f"a layer holds {error}") from None
    above, _, name = path.rpartition("/")
    if name == OPAQUE:
        writer.hide(above, itself=False)
    elif name.startswith(WHITEOUT):
        hidden = name.removeprefix(WHITEOUT)
        if hidden in ("", ".", ".."):
            raise ImageError(f"a layer holds {path!r}, which hides no name")
        writer.hide(f"{above}/{hidden}")
    else:
        _put(writer, path, member.kind, member.mode, link, member)


def _put(
    writer: _RootWriter, path: str, kind: str, mode: int, link: str, data: Member | SquashfsEntry
) -> None:
    if kind == "directory":
        writer.directory(path, mode)
    elif kind == "file":
        writer.file(path, mode, data.chunks())
    elif kind == "symlink":
        writer.symlink(path, link)
    elif kind == "hardlink":
        writer.hardlink(path, link)


class _RootWriter:
    """A root filesystem in the making; every path is taken from its root, through its links."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._left = _MAX_ENTRIES
        self._fresh: set[str] = set()  # what this layer wrote, and the directories above
        self._known: dict[str, str] = {}  # directories as named, to where they are

    def begin_layer(self) -> None:
        """From now on whiteouts hide all that is there."""
        self._fresh = set()

    def directory(self, path: str, mode: int) -> None:
        """Make a directory, or set the mode of one that is there."""
        here = self._place(path)
        if not _is_directory(self._root / here):
            self._remove(here)
            (self._root / here).mkdir()
        # Whoever unpacked it must be able to go on in it, and to remove it.
        (self._root / here).chmod(mode & 0o777 | 0o700)

    def file(self, path: str, mode: int, chunks: Iterable[bytes]) -> None:
        """Write a file in place of what is there."""
        here = self._place(path)
        self._remove(here)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(self._root / here, flags, 0o600), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            os.fchmod(file.fileno(), mode & 0o777 | 0o600)

    def symlink(self, path: str, target: str) -> None:
        """Make a symbolic link, which leads where it leads inside of a container."""
        here = self._place(path)
        self._remove(here)
        if not target or "\0" in target:
            raise ImageError(f"a layer's {path!r} is a link to {target!r}")
        (self._root / here).symlink_to(target)

    def hardlink(self, path: str, target: str) -> None:
        """Give a file another name; raises ImageError where there is no such file."""
        there, here = self._named(target), self._place(path)
        try:
            is_file = stat.S_ISREG((self._root / there).lstat().st_mode)
        except FileNotFoundError:
            is_file = False
        if not is_file:
            raise ImageError(f"a layer's {path!r} is a hard link to {target!r}, no file")
        if there != here:
            self._remove(here)
            os.link(self._root / there, self._root / here, follow_symlinks=False)

    def hide(self, path: str, *, itself: bool = True) -> None:
        """Remove what lower layers have at a path, or only what they have below it."""
        here = self._named(path) if itself else self._directory(path)
        self._known.clear()
        if itself:
            self._hide(here)
        else:
            for each in sorted((self._root / here).iterdir()):
                self._hide(f"{here}/{each.name}".lstrip("/"))

    def add_mount_points(self) -> None:
        """Have the directories and files that runtimes mount something over."""
        for path in _DIRECTORIES:
            self._directory(path)
        for path in _FILES:
            # A link would lead a mount elsewhere.
            if not stat.S_ISREG(_mode(self._root / self._named(path))):
                self.file(path, 0o644, ())

    def _hide(self, here: str) -> None:
        if here not in self._fresh:
            self._remove(here)
        elif _is_directory(self._root / here):
            for each in sorted((self._root / here).iterdir()):
                self._hide(f"{here}/{each.name}")

    def _remove(self, here: str) -> None:
        path = self._root / here
        mode = _mode(path)
        if not mode:
            return
        self._known.clear()
        if stat.S_ISDIR(mode):
            shutil.rmtree(path)
        else:
            path.unlink()

    def _place(self, path: str) -> str:
        """Where an entry of this layer goes."""
        self._left -= 1
        if self._left < 0:
            raise ImageError("the layers hold more entries than any image needs")
        here = self._named(path)
        self._fresh.update((here, *parents(here)))
        return here

    def _named(self, path: str) -> str:
        """A path with the directory above it found, and its last name as it stands."""
        above, _, name = path.rpartition("/")
        return f"{self._directory(above)}/{name}".lstrip("/")

    def _directory(self, path: str) -> str:
        """Where a directory is, through symbolic links of lower layers; made where missing."""
        if (known := self._known.get(path)) is not None:
            return known
        steps, at, followed = path.split("/"), list[str](), 0
        while steps:
            step = steps.pop(0)
            if step in ("", ".", ".."):
                at = at[:-1] if step == ".." else at
                continue
            here = "/".join([*at, step])
            mode = _mode(self._root / here)
            if stat.S_ISLNK(mode) and followed < _MAX_LINKS:
                followed += 1
                target = str((self._root / here).readlink())
                at = [] if target.startswith("/") else at
                steps = target.split("/") + steps
                continue
            if not mode:
                (self._root / here).mkdir(mode=0o755)
            elif not stat.S_ISDIR(mode):
                raise ImageError(f"a layer has entries below {path!r}, which is no directory")
            at.append(step)
        self._known[path] = found = "/".join(at)
        return found


def _mode(path: Path) -> int:
    """What is at a path, itself and not where it leads; 0 for nothing."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


def _is_directory(path: Path) -> bool:
    return stat.S_ISDIR(_mode(path))
