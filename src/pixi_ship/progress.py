"""How work in progress is told to whoever watches; the library itself prints nothing."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a build tells of itself; calls come from several threads."""

    def expect(self, *, packages: int, layers: int, archive_bytes: int) -> None:
        """So much is to do: packages to fetch at most, layers to make, bytes to read."""

    def fetched(self, size: int) -> None:
        """So many more bytes of archives arrived."""

    def packed(self, size: int) -> None:
        """So many more uncompressed bytes went into layers."""

    def layer_done(self, title: str, size: int, *, reused: bool) -> None:
        """A layer is there, ``size`` compressed bytes."""

    def source(self, name: str) -> None:
        """A wheel is being built of a package's source."""

    def written(self, size: int) -> None:
        """So many more bytes went into outputs."""


class Silence:
    """Tell nobody."""

    def expect(self, *, packages: int, layers: int, archive_bytes: int) -> None:
        """Ignore."""

    def fetched(self, size: int) -> None:
        """Ignore."""

    def packed(self, size: int) -> None:
        """Ignore."""

    def layer_done(self, title: str, size: int, *, reused: bool) -> None:
        """Ignore."""

    def source(self, name: str) -> None:
        """Ignore."""

    def written(self, size: int) -> None:
        """Ignore."""


SILENCE = Silence()
