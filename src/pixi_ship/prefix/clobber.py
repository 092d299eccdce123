"""Paths that several packages write: who wins, and where the others' files go.

Rattler's rule (``install/clobber_registry.rs``, crate ``path_resolver``): of the packages
that touch a path, or anything below it, the one that comes last in link order decides
what is there; every other file is kept at ``__clobbers__/<package>/<path>``. Wheels are
installed after conda packages and simply replace what they meet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pixi_ship.tree import parents

CLOBBERS = "__clobbers__"


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
    owners: dict[str, int | list[int]] = {}
    for index, each in enumerate(paths):
        for path in each:
            known = owners.setdefault(path, index)
            if isinstance(known, list):
                if known[-1] != index:
                    known.append(index)
            elif known != index:
                owners[path] = [known, index]
    contested = {path: found for path, found in owners.items() if isinstance(found, list)}
    file_over_directory = _files_over_directories(owners)
    if not contested and not file_over_directory:
        return ()
    return _resolve(owners, file_over_directory)


def _files_over_directories(owners: Mapping[str, object]) -> set[str]:
    """Paths that are a file for one package and a directory for another."""
    directories: set[str] = set()
    for path in owners:
        parent = path.rpartition("/")[0]
        while parent and parent not in directories:
            directories.add(parent)
            parent = parent.rpartition("/")[0]
    return {path for path in directories if path in owners}


def _resolve(
    owners: Mapping[str, int | list[int]], file_over_directory: set[str]
) -> tuple[Clobber, ...]:
    def packages_at(path: str) -> list[int]:
        found = owners[path]
        return found if isinstance(found, list) else [found]

    below: defaultdict[str, set[int]] = defaultdict(set)
    if file_over_directory:
        for path in owners:
            for parent in parents(path):
                if parent in file_over_directory:
                    below[parent].update(packages_at(path))
    # The nearest file that shadows a path, outermost first.
    shadows: dict[str, int] = {}
    for path in sorted(file_over_directory):
        if any(parent in shadows for parent in parents(path)):
            continue
        winner = max(below[path].union(packages_at(path)))
        if winner in packages_at(path):
            shadows[path] = winner
    found = []
    for path in sorted(owners):
        packages = packages_at(path)
        shadow = next((shadows[each] for each in parents(path) if each in shadows), None)
        if shadow is not None:
            found.append(Clobber(path, shadow, tuple(packages)))
        elif path in below and path not in shadows:
            winner = max(below[path])
            found.append(Clobber(path, winner, tuple(packages)))
        elif len(packages) > 1 or path in shadows:
            winner = shadows.get(path, max(packages))
            losers = tuple(each for each in packages if each != winner)
            if losers:
                found.append(Clobber(path, winner, losers))
    return tuple(found)


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
