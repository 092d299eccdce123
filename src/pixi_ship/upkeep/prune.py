"""Take out of a cache what is of no use, then what was not used for long or is too much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pixi_ship.cache import Cache
from pixi_ship.upkeep.contents import Contents, Holding, Kind, holdings, survey
from pixi_ship.upkeep.removal import Reason, Removal, carry_out


@dataclass(frozen=True, slots=True)
class Limits:
    """What may stay: used since ``used_since``, in seconds since 1970; ``size`` bytes in all.

    everything: nothing stays.
    """

    used_since: float | None = None
    size: int | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went, or would go; and the bytes that stay."""

    removed: tuple[Removal, ...]
    left: int

    @property
    def freed(self) -> int:
        """Bytes of what went."""
        return sum(each.file.size for each in self.removed)


def prune(cache: Cache, limits: Limits, *, wait: float, dry_run: bool = False) -> Pruned:
    """Remove what is of no use and what is over the limits, the least recently used first.

    A dry run changes nothing. Raises CacheError if the cache is in use for longer than
    ``wait`` seconds: what a running build has looked up must stay.
    """
    with cache.exclusive(wait):
        found = survey(cache)
        removed = tuple(removals(found, holdings(found), limits))
        if not dry_run:
            carry_out(cache.root, removed)
    return Pruned(removed, found.size - sum(each.file.size for each in removed))


def removals(found: Contents, held: Sequence[Holding], limits: Limits) -> list[Removal]:
    """What goes, in an order in which no note is left without its blob if it is cut short."""
    kept: list[Holding] = []
    gone: list[tuple[Holding, Reason]] = []
    for each in held:
        if (reason := _reason(each, limits)) is None:
            kept.append(each)
        else:
            gone.append((each, reason))
    if limits.size is not None:
        gone += [(each, Reason.SIZE) for each in _excess(found, kept, limits.size)]
    going = {id(each) for each, _ in gone}
    named = {each.blob for each in kept if id(each) not in going}
    return [
        *(Removal(file, Reason.UNFINISHED) for file in found.orphans),
        *(Removal(file, reason) for each, reason in gone for file in each.files),
        *(
            Removal(tree, Reason.UNNAMED)
            for key, tree in found.trees.items()
            if key not in found.layers
        ),
        *_blobs(found, gone, named),
    ]


def _reason(each: Holding, limits: Limits) -> Reason | None:
    if not each.is_readable:
        return Reason.BROKEN
    if limits.everything:
        return Reason.ALL
    if limits.used_since is not None and each.used < limits.used_since:
        return Reason.AGE
    return None


def _excess(found: Contents, kept: Iterable[Holding], limit: int) -> list[Holding]:
    """The least recently used, until the rest is within the limit; small notes come last."""
    order = sorted(
        kept,
        key=lambda each: (
            each.kind is Kind.NOTE and each.blob is None,
            each.used,
            each.files[0].path,
        ),
    )
    names = Counter(each.blob for each in order if each.blob)
    blobs = {blob: found.blobs[blob].size for blob in names if blob in found.blobs}
    total = sum(each.size for each in order) + sum(blobs.values())
    for position, each in enumerate(order):
        if total <= limit:
            return order[:position]
        total -= each.size
        if each.blob:
            names[each.blob] -= 1
            if not names[each.blob]:
                total -= blobs.get(each.blob, 0)
    return order


def _blobs(
    found: Contents, gone: Sequence[tuple[Holding, Reason]], named: set[str | None]
) -> Iterable[Removal]:
    """The blobs that nobody names any more, with the reason of the last who did."""
    reasons = {each.blob: reason for each, reason in gone}
    for blob, file in found.blobs.items():
        if blob not in named:
            yield Removal(file, reasons.get(blob, Reason.UNNAMED))
