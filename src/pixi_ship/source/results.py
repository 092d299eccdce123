"""Images and caches that lie in a project: what was made of it, no part of it.

A workspace that is its own path dependency holds the images that were made of it. Did they
count, each build would change what the next one builds.

Source: OCI Image Layout ("oci-layout file"); the SIF format (magic behind a launch line of 32
bytes); Docker's image tar (``manifest.json``); Cache Directory Tagging Specification.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_TAG = b"Signature: 8a477f597d28d172789f06886806bc55"
_LAYOUT = ("oci-layout", "index.json")
_SIF_MAGIC, _SIF_MAGIC_AT = b"SIF_MAGIC\0", 32
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257
_TAR_HEAD = 512  # bytes before the first member's contents
_LEAST = 1024  # bytes; no image is smaller


def is_result_directory(directory: Path) -> bool:
    """Whether a directory is an OCI image layout, or says that it is a cache."""
    if all(stat.S_ISREG(_mode(directory / name)) for name in _LAYOUT):
        return stat.S_ISDIR(_mode(directory / "blobs"))
    tag = directory / "CACHEDIR.TAG"
    return stat.S_ISREG(_mode(tag)) and _head(tag, len(_TAG)) == _TAG


def is_result_file(path: Path, size: int) -> bool:
    """Whether a regular file is a SIF, or a tar of an image by OCI or Docker."""
    if size < _LEAST:
        return False
    head = _head(path, _LEAST)
    if head.startswith(_SIF_MAGIC, _SIF_MAGIC_AT):
        return True
    if not head.startswith(_TAR_MAGIC, _TAR_MAGIC_AT):
        return False
    # What is first in them is so by custom only; what is first in ours is so by our writing.
    return head.startswith(b"oci-layout\0") or (
        head.startswith(b"manifest.json\0") and head.startswith(b'[{"Config"', _TAR_HEAD)
    )


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def _head(path: Path, size: int) -> bytes:
    """The first bytes of a file; raises OSError where it cannot be read."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.read(handle, size)
    finally:
        os.close(handle)
