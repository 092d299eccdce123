"""Entries in their order, though some are still being made by another process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from pixi_ship.tree import Entry, File

_HELD = 4 << 20  # bytes of entries that wait for one before them
_ROW = 1 << 10  # bytes that an entry counts for besides its content
_SMALL = 1 << 20  # bytes; larger files are not taken into memory


@dataclass(frozen=True, slots=True)
class Later:
    """An entry that is being made. ``entry`` waits for it, and gives None where there is none.

    size: bytes that it may hold until then.
    """

    size: int
    entry: Callable[[], Entry | None]


def in_order(entries: Iterable[Entry | Later]) -> Iterator[Entry]:
    """Each entry in its turn, having looked as far ahead as some megabytes allow.

    Content that can be taken only now is read into memory where it is small; before a larger file
    everything is waited for.
    """
    waiting: deque[Entry | Later] = deque()
    held = 0
    for each in entries:
        if waiting and isinstance(each, File) and not isinstance(each.content, tuple):
            if each.size > _SMALL:
                yield from _made(waiting)
                held = 0
                waiting.clear()
            else:
                each = replace(each, content=(b"".join(each.content),))
        waiting.append(each)
        held += _size(each)
        while waiting and (held > _HELD or not isinstance(waiting[0], Later)):
            first = waiting.popleft()
            held -= _size(first)
            yield from _made((first,))
    yield from _made(waiting)


def _made(entries: Iterable[Entry | Later]) -> Iterator[Entry]:
    for each in entries:
        entry = each.entry() if isinstance(each, Later) else each
        if entry is not None:
            yield entry


def _size(entry: Entry | Later) -> int:
    return _ROW + (entry.size if isinstance(entry, File | Later) else 0)
