"""Symbolic links: kept where what they lead to is shipped too, refused where it is not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pixi_ship.errors import ProjectError


class LinkTargets:
    """Where links lead in the image; ``shipped`` says which source is which dest."""

    def __init__(self, shipped: Mapping[Path, str]) -> None:
        self._dests: dict[Path, str] = dict(shipped)
        for source, dest in shipped.items():
            below, place = source.parent, dest.rpartition("/")[0]
            # Directories are shipped as what is in them; where one lies twice the first counts.
            while place and below.name == place.rpartition("/")[2] and below not in self._dests:
                self._dests[below] = place
                below, place = below.parent, place.rpartition("/")[0]
            self._dests.setdefault(below, place)

    def target(self, source: Path, dest: str) -> str:
        """The relative target that a link gets; raises ProjectError naming link and target."""
        written = str(source.readlink())
        try:
            source.stat()
        except OSError as error:
            raise self._failure(source, written, (error.strerror or "").lower()) from None
        direct = Path(os.path.normpath(source.parent / written))
        for leads_to in (direct, Path(os.path.realpath(source))):
            if (place := self._dests.get(leads_to)) is not None:
                return os.path.relpath(f"/{place}", f"/{dest.rpartition('/')[0]}")
        raise self._failure(source, written, "which is not taken along")

    def _failure(self, source: Path, written: str, why: str) -> ProjectError:
        return ProjectError(
            f"including {str(source)!r}: it is a link to {written!r}: {why}",
            hint="include what it leads to, or leave the link out in .dockerignore",
        )
