"""How the packages of an environment share one prefix."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pixi_ship.errors import TreeConflict
from pixi_ship.prefix.clobber import CLOBBERS, Clobber, directories_above, find_clobbers, groups
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
    per package, the paths it writes. Conda packages follow rattler's rule; wheels are laid over
    them, the later one over the earlier. Raises TreeConflict where a wheel has a file and
    another package a directory.
    """
    clobbers = find_clobbers(conda)
    over = _wheels_over(conda, pypi, clobbers)
    decided = (*clobbers, *over)
    return Merge(
        placements=_placements(names, clobbers, over),
        groups=groups(decided),
        contested=tuple(
            Contested(each.path, names[each.winner], tuple(names[loser] for loser in each.losers))
            for each in decided
        ),
        link_scripts={
            names[index]: path
            for index, paths in enumerate(conda)
            for path in paths
            if _LINK_SCRIPT.match(path) and "post-link" in path
        },
        has_ca=any("ssl/cacert.pem" in paths for paths in conda),
        sizes=tuple(sizes),
    )


def _placements(
    names: Sequence[str], clobbers: Sequence[Clobber], over: Sequence[Clobber]
) -> tuple[Placement, ...]:
    """Losers among conda packages move aside, what a wheel lies over is dropped."""
    moved: list[dict[str, str]] = [{} for _ in names]
    dropped: list[set[str]] = [set() for _ in names]
    for clobber in clobbers:
        for loser in clobber.losers:
            # Packages of a lock have unique names; the file name would do too, rattler
            # takes the name.
            name = names[loser].rsplit("-", 2)[0]
            moved[loser][clobber.path] = f"{CLOBBERS}/{name}/{clobber.path}"
    for each in over:
        for loser in each.losers:
            dropped[loser].add(each.path)
    return tuple(
        Placement(one, frozenset(other)) for one, other in zip(moved, dropped, strict=True)
    )


def _wheels_over(
    conda: Sequence[Sequence[str]], pypi: Sequence[Sequence[str]], clobbers: Sequence[Clobber]
) -> tuple[Clobber, ...]:
    """Paths that a wheel wins, each with those whose file it replaces."""
    if not pypi:
        return ()
    owner: dict[str, int] = {}
    for index, paths in enumerate(conda):
        owner.update(dict.fromkeys(paths, index))
    owner.update({clobber.path: clobber.winner for clobber in clobbers})
    found: dict[str, tuple[int, tuple[int, ...]]] = {}
    for index, paths in enumerate(pypi, start=len(conda)):
        for path in paths:
            if path in owner:
                losers = {owner[path], *found.get(path, (0, ()))[1]}
                found[path] = (index, tuple(sorted(losers)))
            owner[path] = index
    _refuse_files_over_directories(owner, pypi)
    return tuple(Clobber(path, *found[path]) for path in sorted(found))


def _refuse_files_over_directories(owner: Mapping[str, int], pypi: Sequence[Sequence[str]]) -> None:
    directories = directories_above(path for paths in pypi for path in paths)
    for path in sorted(directories & owner.keys()):
        raise TreeConflict(
            f"{path!r} is a file in one package and a directory in a wheel",
            hint="such an environment could not be installed either; drop one of the two",
        )
