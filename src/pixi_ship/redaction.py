"""What of a location may be shown: never a user, a password, a token or a query."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

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
    # Not by urlunsplit, which drops the slashes of git+file:///place.
    return f"{parts.scheme}://{host}{_TOKEN.sub('', parts.path)}"


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
