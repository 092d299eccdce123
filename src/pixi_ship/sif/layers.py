"""Layers as packs, and packs laid over one another as a root filesystem."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pixi_ship.errors import ImageError
from pixi_ship.oci.blob import Layer
from pixi_ship.oci.layer_tar import OPAQUE, WHITEOUT, layer_members
from pixi_ship.squashfs.filesystem import Directory, Leaf
from pixi_ship.squashfs.format import InodeType, SquashfsCompression
from pixi_ship.squashfs.pack import Pack, PackWriter, Row
from pixi_ship.tar_stream import Member
from pixi_ship.tree import checked_path

KEEP = -1  # a mode: of a directory that is only to be there, whatever its mode

_MAX_LINKS = 40  # symbolic links followed on the way to one directory, as Linux does
_SPECIAL = {
    "3": InodeType.CHARACTER_DEVICE,
    "4": InodeType.BLOCK_DEVICE,
    "6": InodeType.FIFO,
}


def pack_layer(
    layer: Layer, write: Callable[[bytes], object], compression: SquashfsCompression
) -> Pack:
    """Read a layer once and pack its files; raises ImageError, DigestMismatch.

    The blob is held against its digest and the tar in it against the layer's diff_id, so that
    a pack can be kept under the latter.
    """
    packer = PackWriter(write, compression)
    rows: list[Row] = []
    with layer_members(layer) as found:
        for member in found:
            if (row := _row(member, packer)) is not None:
                rows.append(row)
    fragments = packer.close()
    return Pack(tuple(rows), fragments, packer.size)


def _row(member: Member, packer: PackWriter) -> Row | None:
    """A member as a row; None for the root itself, and for what no root filesystem can hold."""
    if not member.name.strip("/."):
        return None
    try:
        path = checked_path(member.name)
    except ValueError as error:
        raise ImageError(f"a layer holds {error}") from None
    if member.kind == "file":
        return Row(path, "file", member.mode, content=packer.add(member.size, member.chunks()))
    if member.kind == "special":
        if member.typeflag not in _SPECIAL:
            return None
        return Row(path, f"special {member.typeflag}", member.mode, device=member.device_number)
    link = member.link
    if member.kind == "hardlink":
        link = checked_path(link.lstrip("/"))
    return Row(path, member.kind, member.mode, link)


def merged_root(packs: Sequence[Pack]) -> Directory:
    """The root filesystem of packs, the first one lowest; raises ImageError for a broken link."""
    overlay = _Overlay()
    for place, pack in enumerate(packs):
        overlay.lay_over(place, pack.rows)
    _count_links(overlay.root)
    return overlay.root


class _Overlay:
    """A root filesystem in the making."""

    def __init__(self) -> None:
        self.root = Directory()

    def lay_over(self, pack: int, rows: Sequence[Row]) -> None:
        # What a layer hides is what lower layers have, wherever in the layer it says so.
        for row in rows:
            above, _, name = row.path.rpartition("/")
            if name == OPAQUE:
                self._directory(above).names.clear()
            elif name.startswith(WHITEOUT):
                self._directory(above).names.pop(name.removeprefix(WHITEOUT), None)
        for row in rows:
            above, _, name = row.path.rpartition("/")
            if not name.startswith(WHITEOUT):
                self._put(self._directory(above), name, row, pack)

    def _put(self, directory: Directory, name: str, row: Row, pack: int) -> None:
        if row.kind == "directory":
            there = directory.names.get(name)
            if row.mode == KEEP:
                directory.names.setdefault(name, Directory())  # a link such as /home may be there
            elif isinstance(there, Directory):
                there.mode = row.mode
            else:
                directory.names[name] = Directory(row.mode)
        elif row.kind == "file":
            directory.names[name] = Leaf(InodeType.FILE, row.mode, content=row.content, pack=pack)
        elif row.kind == "symlink":
            directory.names[name] = Leaf(InodeType.SYMLINK, 0o777, target=row.link)
        elif row.kind == "hardlink":
            directory.names[name] = self._linked(row)
        else:
            kind = _SPECIAL[row.kind.partition(" ")[2]]
            directory.names[name] = Leaf(kind, row.mode, device=row.device)

    def _linked(self, row: Row) -> Leaf:
        above, _, name = row.link.rpartition("/")
        found = self._directory(above).names.get(name)
        if not isinstance(found, Leaf):
            raise ImageError(f"a layer's {row.path!r} is a hard link to {row.link!r}, no file")
        return found

    def _directory(self, path: str) -> Directory:
        """The directory at a path, through symbolic links of lower layers, made where missing."""
        steps = [step for step in path.split("/") if step]
        at: list[Directory] = [self.root]
        followed = 0
        while steps:
            step = steps.pop(0)
            if step in (".", ".."):
                if step == ".." and len(at) > 1:
                    at.pop()
                continue
            there = at[-1].names.setdefault(step, Directory())
            if isinstance(there, Directory):
                at.append(there)
                continue
            followed += 1
            if there.kind is not InodeType.SYMLINK or followed > _MAX_LINKS:
                raise ImageError(f"a layer has entries below {path!r}, which is no directory")
            if there.target.startswith("/"):
                at = [self.root]
            steps = [each for each in there.target.split("/") if each] + steps
        return at[-1]


def _count_links(root: Directory) -> None:
    """Set how many names each leaf has; only those of the whole tree count."""
    seen: dict[int, Leaf] = {}
    waiting = [root]
    while waiting:
        for node in waiting.pop().names.values():
            if isinstance(node, Directory):
                waiting.append(node)
            elif id(node) in seen:
                node.links += 1
            else:
                node.links = 1
                seen[id(node)] = node
