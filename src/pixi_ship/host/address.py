"""Names of hosts and of directories there, as far as every program on the way reads them alike.

``ssh`` takes a word that begins with a dash for an option, ``rsync`` cuts at the first colon and
expands wildcards in what it brings.
"""

from __future__ import annotations

import re

from pixi_ship.errors import UsageError

_USER = r"[A-Za-z0-9_][A-Za-z0-9._@+-]*"
_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}"
_IPV6 = r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?"
_HOST = re.compile(rf"(?:(?:{_USER})@)?(?:{_NAME}|{_IPV6})\Z")
_NOT_IN_DIRECTORY = re.compile(r"[\x00-\x1f\x7f*?\[\\]")


def checked_host(text: str) -> str:
    """The name, unchanged; raises UsageError for what is no ``[USER@]HOST``."""
    if not _HOST.match(text):
        raise UsageError(
            f"--host {text!r} is no host",
            hint="want HOST or USER@HOST; name others, or ports, by an alias in ~/.ssh/config",
        )
    return text


def checked_jobs(text: str) -> str:
    """A directory on a host, absolute or below the home directory; raises UsageError."""
    path = text.removeprefix("~/").rstrip("/")
    if path.startswith("~") or not can_be_directory(path):
        raise UsageError(
            f"--remote-jobs {text!r} cannot be a directory there",
            hint="want an absolute path, or one below the home directory, without wildcards",
        )
    return path


def can_be_directory(path: str) -> bool:
    """Whether a path is taken by every program as it is."""
    return bool(path) and not _NOT_IN_DIRECTORY.search(path)


def place(host: str, path: str) -> str:
    """A path on a host for ``rsync``, which wants an IPv6 address in brackets."""
    user, at, name = host.rpartition("@")
    return f"{user}{at}[{name}]:{path}" if ":" in name else f"{host}:{path}"
