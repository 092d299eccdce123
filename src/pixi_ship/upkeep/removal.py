"""What goes from a cache, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pixi_ship.upkeep.directory import CacheFile, remove


class Reason(StrEnum):
    """Why a file goes."""

    UNFINISHED = "unfinished"  # what a killed process was writing
    UNNAMED = "unnamed"  # a blob or file list that no note names
    BROKEN = "broken"
    AGE = "age"
    SIZE = "size"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Removal:
    """A file that goes, or an unfinished directory."""

    file: CacheFile
    reason: Reason


def carry_out(root: Path, removals: Iterable[Removal]) -> None:
    """Remove the files in the order given; raises CacheError at the first that stays."""
    for each in removals:
        remove(root, each.file.path)
