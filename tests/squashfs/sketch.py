"""Trees for squashfs tests: what is put in, and what each reader finds."""

from __future__ import annotations

import hashlib
import os
import random
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pixi_ship.squashfs.filesystem import Directory, Filesystem, Leaf, make_filesystem
from pixi_ship.squashfs.format import InodeType, SquashfsCompression
from pixi_ship.squashfs.pack import Pack, PackWriter
from pixi_ship.squashfs.read import SquashfsReader

BLOCK = 128 << 10
TIME = 1_700_000_000

_TYPES = {
    stat.S_IFDIR: InodeType.DIRECTORY,
    stat.S_IFREG: InodeType.FILE,
    stat.S_IFLNK: InodeType.SYMLINK,
    stat.S_IFBLK: InodeType.BLOCK_DEVICE,
    stat.S_IFCHR: InodeType.CHARACTER_DEVICE,
    stat.S_IFIFO: InodeType.FIFO,
    stat.S_IFSOCK: InodeType.SOCKET,
}
DEVICES = (InodeType.BLOCK_DEVICE, InodeType.CHARACTER_DEVICE)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a path is, however it was found out. first: the first path of the same inode."""

    type: InodeType
    mode: int
    size: int = 0
    sha256: str = ""
    target: str = ""
    device: int = 0
    first: str = ""
    owner: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class Sketch:
    """A squashfs in the making; files go into the pack that was begun last.

    The packs' data is in memory, and in the file once it is written.
    """

    compression: SquashfsCompression
    root: Directory = field(default_factory=Directory)
    expected: dict[str, Seen] = field(default_factory=dict)
    _packs: list[tuple[PackWriter, bytearray]] = field(default_factory=list)

    def begin_pack(self) -> None:
        data = bytearray()
        self._packs.append((PackWriter(data.extend, self.compression), data))

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        if not self._packs:
            self.begin_pack()
        packed = self._packs[-1][0].add(len(content), iter([content]))
        leaf = Leaf(InodeType.FILE, mode, content=packed, pack=len(self._packs) - 1)
        digest = hashlib.sha256(content).hexdigest()
        self._put(path, leaf, Seen(InodeType.FILE, mode, len(content), digest))

    def directory(self, path: str, mode: int = 0o755) -> None:
        self._put(path, Directory(mode), Seen(InodeType.DIRECTORY, mode))

    def symlink(self, path: str, target: str) -> None:
        seen = Seen(InodeType.SYMLINK, 0o777, target=target)
        self._put(path, Leaf(InodeType.SYMLINK, 0o777, target=target), seen)

    def special(self, path: str, kind: InodeType, mode: int = 0o600, device: int = 0) -> None:
        self._put(path, Leaf(kind, mode, device=device), Seen(kind, mode, device=device))

    def link(self, path: str, first: str) -> None:
        """Another name of what is at ``first``."""
        leaf = self._at(first)
        assert isinstance(leaf, Leaf)
        leaf.links += 1
        self._put(path, leaf, self.expected[first])

    def make(self) -> tuple[Filesystem, bytes]:
        """The filesystem, and the packs' data."""
        packs = []
        for writer, data in self._packs:
            fragments = writer.close()
            packs.append(Pack((), fragments, len(data)))
        made = make_filesystem(self.root, packs, self.compression, TIME)
        return made, b"".join(data for _, data in self._packs)

    def write(self, path: Path) -> Path:
        made, data = self.make()
        path.write_bytes(made.superblock + data + made.tables)
        assert path.stat().st_size == made.size
        return path

    def seen(self) -> dict[str, Seen]:
        """What every reader should find, the first names of inodes filled in."""
        first: dict[int, str] = {}
        rows = {}
        for path, node in walk(self.root):
            known = first.setdefault(id(node), path)
            seen = self.expected[path]
            if isinstance(node, Leaf) and node.links > 1:
                seen = linked(seen, known)
            rows[path] = seen
        return rows

    def _put(self, path: str, node: Directory | Leaf, seen: Seen) -> None:
        above, _, name = path.rpartition("/")
        parent = self._at(above) if above else self.root
        assert isinstance(parent, Directory)
        parent.names[name] = node
        self.expected[path] = seen

    def _at(self, path: str) -> Directory | Leaf:
        node: Directory | Leaf = self.root
        for step in path.split("/"):
            assert isinstance(node, Directory)
            node = node.names[step]
        return node


def linked(seen: Seen, first: str) -> Seen:
    return Seen(
        seen.type,
        seen.mode,
        seen.size,
        seen.sha256,
        seen.target,
        seen.device,
        first,
        seen.owner,
        seen.xattrs,
    )


def walk(root: Directory) -> Iterator[tuple[str, Directory | Leaf]]:
    """Every path below the root: a directory, then what is in it, by the bytes of names."""
    waiting: list[tuple[str, Directory | Leaf]] = [("", root)]
    while waiting:
        path, node = waiting.pop()
        if path:
            yield path, node
        if isinstance(node, Directory):
            rows = sorted(node.names.items(), key=lambda row: row[0].encode(), reverse=True)
            waiting += [(f"{path}/{name}" if path else name, below) for name, below in rows]


def read_back(path: Path, *, offset: int = 0, size: int | None = None) -> dict[str, Seen]:
    """What our own reader finds."""
    size = path.stat().st_size if size is None else size
    with SquashfsReader(path, offset, size) as reader:
        entries = list(reader.entries())
        links = {each.link for each in entries if each.kind == "hardlink"}
        rows: dict[str, Seen] = {}
        for each in entries:
            if each.kind == "hardlink":
                rows[each.path] = linked(rows[each.link], each.link)
                continue
            digest, count = hashlib.sha256(), 0
            for chunk in each.chunks():
                digest.update(chunk)
                count += len(chunk)
            assert count == each.size
            assert (each.kind == "file") == (each.type is InodeType.FILE)
            rows[each.path] = Seen(
                each.type,
                each.mode,
                each.size,
                digest.hexdigest() if each.kind == "file" else "",
                each.link,
                each.device,
                each.path if each.path in links else "",
                each.owner,
                tuple(sorted((key, value) for key, value in each.extended.items())),
            )
    return rows


def on_disk(root: Path, *, time: int | None = TIME, xattrs: bool = False) -> dict[str, Seen]:
    """What the kernel shows below a directory; time: that everything should have."""
    first: dict[tuple[int, int], str] = {}
    rows: dict[str, Seen] = {}
    waiting = [""]
    while waiting:
        path = waiting.pop()
        place = root / path
        found = place.lstat()
        if time is not None:
            assert found.st_mtime == time, f"{path}: the time of modification"
        if stat.S_ISDIR(found.st_mode):
            names = sorted((each.name for each in place.iterdir()), key=os.fsencode, reverse=True)
            waiting += [f"{path}/{name}" if path else name for name in names]
        if path:
            known = first.setdefault((found.st_dev, found.st_ino), path)
            rows[path] = _seen(place, found, known, xattrs)
    return rows


def _seen(place: Path, found: os.stat_result, first: str, xattrs: bool) -> Seen:
    kind = _TYPES[stat.S_IFMT(found.st_mode)]
    is_file = kind is InodeType.FILE
    return Seen(
        kind,
        stat.S_IMODE(found.st_mode),
        found.st_size if is_file else 0,
        _digest(place) if is_file else "",
        os.readlink(place) if kind is InodeType.SYMLINK else "",  # noqa: PTH115  # a Path is tidied
        packed_device(found.st_rdev) if kind in DEVICES else 0,
        first if found.st_nlink > 1 and kind is not InodeType.DIRECTORY else "",
        (found.st_uid, found.st_gid),
        _xattrs(place) if xattrs else (),
    )


def packed_device(number: int) -> int:
    """A device's number as squashfs keeps it (``new_encode_dev`` of the kernel)."""
    major, minor = os.major(number), os.minor(number)
    return (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12


def _digest(place: Path) -> str:
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _xattrs(place: Path) -> tuple[tuple[str, bytes], ...]:
    names = os.listxattr(place, follow_symlinks=False)
    return tuple(
        sorted((f"SCHILY.xattr.{n}", os.getxattr(place, n, follow_symlinks=False)) for n in names)
    )


def differing(want: Mapping[str, Seen], got: Mapping[str, Seen]) -> dict[str, object]:
    """The paths that two readers see differently: short words for a failing test."""
    return {
        path: (want.get(path), got.get(path))
        for path in [*want, *(path for path in got if path not in want)]
        if want.get(path) != got.get(path)
    }


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that no codec makes smaller."""
    return random.Random(seed).randbytes(size)


def text(size: int, seed: int = 0) -> bytes:
    """Bytes that every codec makes much smaller."""
    return (b"line %d of a file that is quite long\n" % seed * (size // 20 + 1))[:size]


def everything(sketch: Sketch) -> None:
    """All kinds of entries, and files of all sizes that matter."""
    sketch.directory("empty")
    sketch.directory("modes", 0o700)
    for mode in (0o0, 0o644, 0o4755, 0o2755, 0o6711, 0o1777):
        sketch.file(f"modes/f{mode:o}", b"x", mode)
    sketch.directory("sticky", 0o1777)
    sketch.directory("setgid", 0o2775)
    _files(sketch)
    sketch.symlink("link", "files/one")
    sketch.symlink("ünïcode-link", "nowhere/文" * 50)
    sketch.symlink("long-link", "d/" * 2047)
    sketch.file("first", text(3000))
    sketch.link("second", "first")
    sketch.link("modes/third", "first")
    sketch.file("large", text(3 * BLOCK))
    sketch.link("empty-not", "large")
    sketch.link("link2", "link")
    sketch.special("null", InodeType.CHARACTER_DEVICE, 0o666, packed_device(os.makedev(1, 3)))
    sketch.special("disk", InodeType.BLOCK_DEVICE, 0o660, packed_device(os.makedev(259, 70_000)))
    sketch.special("pipe", InodeType.FIFO, 0o622)
    sketch.special("socket", InodeType.SOCKET, 0o755)
    sketch.link("null2", "null")
    sketch.link("pipe2", "pipe")
    for name in ("文字", "e\u0301", "\u00e9", "a b", 'q"uote', "back\\slash", "new\nline", "\x7f"):
        sketch.file(f"files/{name}", name.encode())
    sketch.file("n" * 255, b"a name as long as Linux takes")


def _files(sketch: Sketch) -> None:
    sketch.directory("files")
    made: dict[str, Callable[[int], bytes]] = {"text": text, "noise": noise, "zeros": bytes}
    for word, content in made.items():
        for size in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 5 * BLOCK + 7):
            sketch.file(f"files/{word}{size}", content(size))
    zeros, other = bytes(BLOCK), text(BLOCK)
    sketch.begin_pack()
    sketch.file("files/one", b"1")
    sketch.file("files/zeros-first", zeros * 2 + noise(BLOCK) + other)
    sketch.file("files/zeros-between", other + zeros * 3 + noise(BLOCK, 1))
    sketch.file("files/zeros-last", noise(BLOCK, 2) + zeros * 2)
    sketch.file("files/zeros-short-last", other + bytes(9))
    sketch.begin_pack()
    for number in range(40):
        sketch.file(f"files/small{number}", text(9000, number))


def uncompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the writer find nothing that gets smaller: what it writes can be changed in place."""
    for module in ("filesystem", "pack"):
        monkeypatch.setattr(
            f"pixi_ship.squashfs.{module}.compressor", lambda _: lambda data: data + b"?"
        )
