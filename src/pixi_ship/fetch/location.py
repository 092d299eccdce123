"""Where an archive is: a URL, a ``file:`` URL, or a path relative to the lock."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

_TOKEN = re.compile(r"/t/[^/]+/")  # conda's channel tokens: https://host/t/<token>/channel


def redacted(location: str) -> str:
    """A location without what could be a secret: user and password, token, query."""
    if "://" not in location:
        return location
    parts = urlsplit(location)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, _TOKEN.sub("/", parts.path), "", ""))


def local_path(location: str, root: Path) -> Path | None:
    """The file a location names on this machine; None for a URL to be fetched.

    root: the directory of the lock, which relative paths start from.
    """
    if location.startswith("file:"):
        return Path(unquote(urlsplit(location).path))
    if "://" in location:
        return None
    return root / location
