"""What files of a squashfs hold, as it is read."""

from __future__ import annotations

from collections.abc import Iterator

from pixi_ship.squashfs.format import DATA_RAW, FRAGMENT, NONE_32
from pixi_ship.squashfs.inode import Inode, read_block_sizes
from pixi_ship.squashfs.metadata import Blocks, LookupTable
from pixi_ship.squashfs.superblock import Superblock

_CACHED = 16 << 20  # bytes of fragment blocks; files beside one another share them


class Contents:
    """The blocks and fragments of files."""

    def __init__(self, blocks: Blocks, superblock: Superblock) -> None:
        self._blocks = blocks
        self._block_size = superblock.block_size
        self._zeros = bytes(superblock.block_size)
        self._known: dict[int, bytes] = {}
        self._most_known = _CACHED // superblock.block_size
        count = 0 if superblock.fragment_table is None else superblock.fragments
        at = superblock.fragment_table or 0
        self._fragments = LookupTable(blocks, at, count, FRAGMENT.size)

    def chunks(self, inode: Inode) -> Iterator[bytes]:
        """The bytes of a file in pieces of a block, exactly as many as its size says.

        A block of zeros that is not stored gives zeros; the end of a file may lie in a
        fragment block. Raises ImageError for a block that is damaged, or gives fewer bytes.
        """
        left = inode.size
        count, tail = divmod(left, self._block_size)
        if tail and inode.fragment == NONE_32:
            count += 1
        at = inode.start
        for word in read_block_sizes(self._blocks, inode, count):
            want = min(left, self._block_size)
            yield self._block(at, word, want)
            at += word & ~DATA_RAW
            left -= want
        if left:
            yield self._tail(inode, left)

    def _block(self, at: int, word: int, want: int) -> bytes:
        if word == 0:
            self._blocks.stretch.take(want)
            return self._zeros[:want]
        block = self._blocks.data(at, word, self._block_size)
        if len(block) != want:
            raise self._blocks.stretch.damaged(f"has a block of {len(block)} bytes, want {want}")
        return block

    def _tail(self, inode: Inode, size: int) -> bytes:
        block = self._fragment(inode.fragment)
        piece = block[inode.offset : inode.offset + size]
        if len(piece) != size:
            raise self._blocks.stretch.damaged("has a file that ends outside its fragment block")
        self._blocks.stretch.take(size)
        return piece

    def _fragment(self, number: int) -> bytes:
        found = self._known.pop(number, None)
        if found is None:
            start, word, _ = FRAGMENT.unpack(self._fragments.record(number, "fragment block"))
            found = self._blocks.data(start, word, self._block_size)
            if len(self._known) >= self._most_known:
                del self._known[next(iter(self._known))]
        self._known[number] = found  # the last one now, so that it is dropped last
        return found
