"""Paths that several packages write: who wins, and where the others' files go.

Rattler's rule (``install/clobber_registry.rs``, crate ``path_resolver``): of the packages
that touch a path, or anything below it, the one that comes last in link order decides
what is there; every other file is kept at ``__clobbers__/<package>/<path>``. Wheels are
installed after conda packages and simply replace what they meet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pixi_ship.tree import parents

CLOBBERS = "__clobbers__"
_Owners = dict[str, int | list[int]]  # path → the package that writes it, or several


@dataclass(frozen=True, slots=True)
class Clobber:
    """One contested path: indices into the link order."""

    path: str
    winner: int
    losers: tuple[int, ...]


def find_clobbers(paths: Sequence[Sequence[str]]) -> tuple[Clobber, ...]:
    """Find every contested path.

    paths: per package, in link order, the files and links it writes (relative to the prefix).
    """
    owners: _Owners = {}
    for index, each in enumerate(paths):
        for path in each:
            known = owners.setdefault(path, index)
            if isinstance(known, list):
                if known[-1] != index:
                    known.append(index)
            elif known != index:
                owners[path] = [known, index]
    contested = {path: found for path, found in owners.items() if isinstance(found, list)}
    file_over_directory = directories_above(owners) & owners.keys()
    if not contested and not file_over_directory:
        return ()
    return _resolve(owners, file_over_directory)


def directories_above(paths: Iterable[str]) -> set[str]:
    """Every directory that one of these paths lies in, at any depth."""
    directories: set[str] = set()
    for path in paths:
        parent = path.rpartition("/")[0]
        while parent and parent not in directories:
            directories.add(parent)
            parent = parent.rpartition("/")[0]
    return directories


def _resolve(owners: _Owners, mixed: set[str]) -> tuple[Clobber, ...]:
    """Decide every path of ``owners``; ``mixed`` are files here and directories there."""
    below = _packages_below(owners, mixed)
    # Path → the package whose file lies there, although others want a directory.
    shadows: dict[str, int] = {}
    for path in sorted(mixed):  # outermost first: what lies under a file is decided with it
        last = max(below[path] | _packages_at(owners, path))
        if last in _packages_at(owners, path) and _shadow(path, shadows) is None:
            shadows[path] = last
    decided = []
    for path in sorted(owners):
        packages = _packages_at(owners, path)
        winner = shadows.get(path)
        if winner is None:
            winner = _shadow(path, shadows)
        if winner is None:
            winner = max(packages | below.get(path, set()))
        is_file = path in shadows or (path not in below and _shadow(path, shadows) is None)
        losers = packages - {winner} if is_file else packages
        if losers:
            decided.append(Clobber(path, winner, tuple(sorted(losers))))
    return tuple(decided)


def _packages_at(owners: _Owners, path: str) -> set[int]:
    found = owners[path]
    return set(found) if isinstance(found, list) else {found}


def _packages_below(owners: _Owners, mixed: set[str]) -> dict[str, set[int]]:
    """Mixed path → the packages that write something below it."""
    below: defaultdict[str, set[int]] = defaultdict(set)
    if mixed:
        for path in owners:
            for parent in parents(path):
                if parent in mixed:
                    below[parent] |= _packages_at(owners, path)
    return below


def _shadow(path: str, shadows: Mapping[str, int]) -> int | None:
    """The package whose file stands where ``path`` would need a directory."""
    return next((shadows[each] for each in parents(path) if each in shadows), None)


def groups(clobbers: Sequence[Clobber]) -> tuple[frozenset[int], ...]:
    """Packages that must share a layer, since what is in it depends on all of them."""
    group_of: dict[int, set[int]] = {}
    for clobber in clobbers:
        merged: set[int] = {clobber.winner, *clobber.losers}
        for index in tuple(merged):
            merged |= group_of.get(index, set())
        for index in merged:
            group_of[index] = merged
    unique = {min(group): frozenset(group) for group in group_of.values()}
    return tuple(unique[first] for first in sorted(unique))
