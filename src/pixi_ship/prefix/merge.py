"""How the packages of an environment share one prefix."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pixi_ship.errors import TreeConflict
from pixi_ship.prefix.clobber import CLOBBERS, Clobber, find_clobbers, groups
from pixi_ship.prefix.layout import Placement

_LINK_SCRIPT = re.compile(r"bin/\.[^/]+-(post-link|pre-unlink|pre-link)\.sh\Z")


@dataclass(frozen=True, slots=True)
class Contested:
    """A path that several packages write, by file names; the winner's file is at the path."""

    path: str
    winner: str
    losers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """Where every package's files end up. Indices run over conda packages, then wheels.

    sizes: bytes of each archive, which the lock does not tell for wheels.
    """

    placements: tuple[Placement, ...]
    groups: tuple[frozenset[int], ...]
    contested: tuple[Contested, ...]
    link_scripts: Mapping[str, str]
    has_ca: bool
    sizes: tuple[int, ...] = ()

    def to_json(self) -> dict[str, object]:
        """For a note in the cache."""
        return {
            "placements": [[dict(each.moved), sorted(each.dropped)] for each in self.placements],
            "groups": [sorted(group) for group in self.groups],
            "contested": [[each.path, each.winner, each.losers] for each in self.contested],
            "link_scripts": dict(self.link_scripts),
            "has_ca": self.has_ca,
            "sizes": list(self.sizes),
        }

    @classmethod
    def from_json(cls, note: Mapping[str, object]) -> Merge:
        """Read what :meth:`to_json` gave; raises KeyError, TypeError or ValueError."""
        placements = cast("list[tuple[dict[str, str], list[str]]]", note["placements"])
        contested = cast("list[tuple[str, str, list[str]]]", note["contested"])
        return cls(
            tuple(Placement(moved, frozenset(dropped)) for moved, dropped in placements),
            tuple(frozenset(group) for group in cast("list[list[int]]", note["groups"])),
            tuple(Contested(path, winner, tuple(losers)) for path, winner, losers in contested),
            cast("dict[str, str]", note["link_scripts"]),
            bool(note["has_ca"]),
            tuple(cast("list[int]", note["sizes"])),
        )


def merge(
    names: Sequence[str],
    conda: Sequence[Sequence[str]],
    pypi: Sequence[Sequence[str]],
    sizes: Sequence[int] = (),
) -> Merge:
    """Decide every contested path.

    names: file names, for reports. sizes: of the archives, in bytes, passed on. conda, pypi:
    per package, the paths it writes. Conda
    packages follow rattler's rule; wheels are laid over them, the later one over the earlier.
    Raises TreeConflict where a wheel has a file and another package a directory.
    """
    clobbers = find_clobbers(conda)
    moved: list[dict[str, str]] = [{} for _ in names]
    dropped: list[set[str]] = [set() for _ in names]
    for clobber in clobbers:
        for loser in clobber.losers:
            # Packages of a lock have unique names; the file name would do too, rattler
            # takes the name.
            name = names[loser].rsplit("-", 2)[0]
            moved[loser][clobber.path] = f"{CLOBBERS}/{name}/{clobber.path}"
    contested = [
        Contested(each.path, names[each.winner], tuple(names[loser] for loser in each.losers))
        for each in clobbers
    ]
    over = _wheels_over(conda, pypi, clobbers)
    for path, (winner, losers) in sorted(over.items()):
        for loser in losers:
            dropped[loser].add(path)
        contested.append(Contested(path, names[winner], tuple(names[each] for each in losers)))
    joined = [
        *clobbers,
        *(Clobber(path, winner, tuple(losers)) for path, (winner, losers) in over.items()),
    ]
    return Merge(
        placements=tuple(
            Placement(one, frozenset(other)) for one, other in zip(moved, dropped, strict=True)
        ),
        groups=groups(joined),
        contested=tuple(contested),
        link_scripts={
            names[index]: path
            for index, paths in enumerate(conda)
            for path in paths
            if _LINK_SCRIPT.match(path) and "post-link" in path
        },
        has_ca=any("ssl/cacert.pem" in paths for paths in conda),
        sizes=tuple(sizes),
    )


def _wheels_over(
    conda: Sequence[Sequence[str]], pypi: Sequence[Sequence[str]], clobbers: Sequence[Clobber]
) -> dict[str, tuple[int, list[int]]]:
    """Path → the wheel that wins it, and those whose file it replaces."""
    if not pypi:
        return {}
    owner: dict[str, int] = {}
    for index, paths in enumerate((*conda, *pypi)):
        if index < len(conda):
            owner.update(dict.fromkeys(paths, index))
    owner.update({clobber.path: clobber.winner for clobber in clobbers})
    found: dict[str, tuple[int, list[int]]] = {}
    for index, paths in enumerate(pypi, start=len(conda)):
        for path in paths:
            if path in owner:
                losers = [owner[path], *found.get(path, (0, []))[1]]
                found[path] = (index, sorted(set(losers)))
            owner[path] = index
    _refuse_files_over_directories(owner, pypi)
    return found


def _refuse_files_over_directories(owner: Mapping[str, int], pypi: Sequence[Sequence[str]]) -> None:
    directories = set()
    for paths in pypi:
        for path in paths:
            parent = path.rpartition("/")[0]
            while parent and parent not in directories:
                directories.add(parent)
                parent = parent.rpartition("/")[0]
    for path in sorted(directories & owner.keys()):
        raise TreeConflict(
            f"{path!r} is a file in one package and a directory in a wheel",
            hint="such an environment could not be installed either; drop one of the two",
        )
