"""Which packages share a layer: a pure function of names and sizes.

Big packages get a layer of their own, so that updating one moves nothing else. The rest is
spread over a fixed number of groups by a hash of the *name*: an update keeps a package in
its group, and so touches that group alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

SOLO_SIZE = 8 << 20  # bytes of archive from which a package is worth a layer
MAX_GROUPS = 16
MAX_LAYERS = 64


@dataclass(frozen=True, slots=True)
class Unit:
    """Packages that cannot be parted; ``name`` is the first one's, ``size`` in bytes."""

    name: str
    size: int
    members: tuple[int, ...]


def split(units: Sequence[Unit], max_layers: int) -> tuple[tuple[int, ...], ...]:
    """Spread units over at most ``max_layers`` layers; each member comes exactly once.

    Layers come in a stable order: big packages by name, small ones with a layer of their own by
    name, then groups. Members keep their order.
    """
    if max_layers < 1:
        raise ValueError(f"max_layers is {max_layers}, want at least 1")
    if len(units) <= min(MAX_GROUPS, max_layers):
        solo, rest = list(units), []
    else:
        groups = _group_count(max_layers)
        by_size = sorted(units, key=lambda unit: (-unit.size, unit.name))
        big = [unit for unit in by_size if unit.size >= SOLO_SIZE][: max_layers - groups]
        chosen = {unit.members for unit in big}
        solo, rest = big, [unit for unit in units if unit.members not in chosen]
    # Podman and containerd lay anew, from what they have, whatever lies above a changed layer.
    solo.sort(key=lambda unit: (unit.size < SOLO_SIZE, unit.name))
    layers = [unit.members for unit in solo]
    if rest:
        bins: dict[int, list[int]] = {}
        for unit in rest:
            bins.setdefault(_group(unit.name, groups), []).extend(unit.members)
        layers += [tuple(sorted(bins[number])) for number in sorted(bins)]
    return tuple(layers)


def _group_count(max_layers: int) -> int:
    """A power of two of about a quarter of the layers: it seldom changes, and so few names move."""
    quarter = max(1, max_layers // 4)
    return min(MAX_GROUPS, 1 << (quarter.bit_length() - 1))


def _group(name: str, groups: int) -> int:
    """The group of a name; with another number of groups most names would move."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % groups
