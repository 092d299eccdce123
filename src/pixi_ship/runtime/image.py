"""An image as a runtime is given it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunnableImage:
    """An image in the form that its runtime takes.

    place: a name in the runtime's own store or in a registry, a SIF's path, or that of an
    unpacked root. variables, entrypoint, command, directory: as the image's config has them.
    plain_http, authfile: how the registry is spoken to, where the runtime pulls by itself.
    """

    place: str
    variables: Mapping[str, str]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    plain_http: bool = False
    authfile: str | None = None

    def words(self, given: tuple[str, ...], *, entrypoint: bool) -> tuple[str, ...]:
        """The whole command, as runtimes put it together (OCI image-spec, ``config.md``)."""
        return (*(self.entrypoint if entrypoint else ()), *(given or self.command))


def variables_of(config: Mapping[str, object]) -> dict[str, str]:
    """``Env`` of an image's runtime config, by name."""
    rows = (row.partition("=") for row in words_of(config, "Env"))
    return {name: value for name, equals, value in rows if name and equals}


def words_of(config: Mapping[str, object], key: str) -> tuple[str, ...]:
    """A list of words in an image's runtime config; none where there is no such list."""
    found = config.get(key)
    return tuple(map(str, found)) if isinstance(found, list) else ()
