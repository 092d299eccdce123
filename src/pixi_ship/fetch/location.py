"""Where an archive is: a URL, a ``file:`` URL, or a path relative to the lock."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

_TOKEN = re.compile(r"/t/[^/]+(?=/|\Z)")  # conda's channel tokens: https://host/t/<token>/channel
# The same in running text. ``git@`` of an ssh address is no secret, a lone name of https is.
_SECRETS = (
    (re.compile(r"((?:^|[^\w.+-])[\w.+-]*ssh://[^\s/@:'\"]*):[^\s/@'\"]*@"), r"\1@"),
    (re.compile(r"((?:^|[^\w.+-])(?![\w.+-]*ssh:)[a-zA-Z][\w.+-]*://)[^\s/'\"]*@"), r"\1"),
    (re.compile(r"(://[^\s'\"?#]*?)/t/[^\s/'\"]+"), r"\1"),
)
_QUERY = re.compile(r"(://[^\s'\"?#]*)\?[^\s'\"#)]*")


def redacted(location: str) -> str:
    """A location without what could be a secret: user and password, token, query."""
    if "://" not in location:
        return location
    parts = urlsplit(location)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, _TOKEN.sub("", parts.path), "", ""))


def redacted_text(text: str) -> str:
    """A foreign message with every URL in it redacted."""
    return _QUERY.sub(r"\1", redacted_document(text))


def redacted_document(text: str) -> str:
    """A manifest or lock without the credentials in its URLs; nothing else changes."""
    if "://" not in text:
        return text
    for pattern, kept in _SECRETS:
        text = pattern.sub(kept, text)
    return text


def local_path(location: str, root: Path) -> Path | None:
    """The file a location names on this machine; None for a URL to be fetched.

    root: the directory of the lock, which relative paths start from.
    """
    if location.startswith("file:"):
        return Path(unquote(urlsplit(location).path))
    if "://" in location:
        return None
    return root / location
