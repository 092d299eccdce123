"""Where an archive is: a URL, a ``file:`` URL, or a path relative to the lock."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit


def local_path(location: str, root: Path) -> Path | None:
    """The file a location names on this machine; None for a URL to be fetched.

    root: the directory of the lock, which relative paths start from.
    """
    if location.startswith("file:"):
        return Path(unquote(urlsplit(location).path))
    if "://" in location:
        return None
    return root / location
