"""A tree to a compressed layer, in one pass, two threads and constant memory.

The calling thread makes the tar; a second one hashes and compresses it. Both spend their
time in code that releases the GIL, so the two run side by side.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from pixi_ship.digest import Digest, HashingWriter
from pixi_ship.layer.compress import Blocks, Compression, Compressor
from pixi_ship.layer.tar import TarWriter
from pixi_ship.tree import Tree

_QUEUED_BLOCKS = 8  # of 1 MiB each, per layer in the making


@dataclass(frozen=True, slots=True)
class WrittenLayer:
    """What came out: ``digest`` and ``size`` of the compressed bytes, ``diff_id`` of the tar."""

    digest: Digest
    size: int
    diff_id: Digest
    uncompressed_size: int
    files: int
    listing: tuple[str, ...]


def write_layer(
    tree: Tree,
    write: Callable[[bytes], object],
    compression: Compression,
    report: Callable[[int], None] = lambda size: None,
) -> WrittenLayer:
    """Write ``tree`` as a compressed tar through ``write``.

    report: called with each number of uncompressed bytes that went through. Errors of the
    tree, and of ``write``, come out of this call.
    """
    compressed = HashingWriter(write)
    worker = _Worker(Compressor(compression, compressed.write), report)
    blocks = Blocks(worker.put)
    tar = TarWriter(blocks.write)
    try:
        tar.add_all(tree.entries())
        tar.close()
        blocks.close()
    finally:
        worker.join()
    worker.check()
    return WrittenLayer(
        digest=compressed.digest,
        size=compressed.size,
        diff_id=Digest(worker.diff_id.hexdigest()),
        uncompressed_size=worker.size,
        files=tar.files,
        listing=tuple(tar.listing),
    )


class _Worker:
    """The second thread: hash a block of tar, compress it, hash and write the result."""

    def __init__(self, compressor: Compressor, report: Callable[[int], None]) -> None:
        self.diff_id = hashlib.sha256()
        self.size = 0
        self._compressor = compressor
        self._report = report
        self._failure: BaseException | None = None
        self._queue: queue.Queue[bytes | None] = queue.Queue(_QUEUED_BLOCKS)
        self._thread = threading.Thread(target=self._run, name="compress", daemon=True)
        self._thread.start()

    def put(self, block: bytes) -> None:
        self.check()
        self._queue.put(block)

    def join(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (block := self._queue.get()) is not None:
            if self._failure is not None:
                continue  # drain, so that the other thread never waits for room
            try:
                self.diff_id.update(block)
                self.size += len(block)
                self._compressor.block(block)
                self._report(len(block))
            except BaseException as error:
                self._failure = error
        if self._failure is None:
            try:
                self._compressor.close()
            except BaseException as error:
                self._failure = error
