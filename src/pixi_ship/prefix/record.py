"""``conda-meta/<name>-<version>-<build>.json``: what is installed, and from where.

The fields are conda's ``PrefixRecord`` as rattler writes them, less those that say where
the building machine kept things (``extracted_package_dir``, ``link.source``): nothing
inside the image could use them, and they would make its bytes depend on that machine.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from pixi_ship.redaction import redacted


@dataclass(frozen=True, slots=True)
class InstalledPath:
    """One row of a record's ``paths_data``; ``size`` is in bytes."""

    path: str
    path_type: str
    no_link: bool = False
    original_path: str | None = None
    sha256: str | None = None
    sha256_in_prefix: str | None = None
    size: int | None = None
    file_mode: str | None = None
    prefix_placeholder: str | None = None

    def to_json(self) -> dict[str, object]:
        """The row with conda's field names, absent values left out."""
        row = {
            "_path": self.path,
            "original_path": self.original_path,
            "path_type": self.path_type,
            "no_link": self.no_link or None,
            "sha256": self.sha256,
            "sha256_in_prefix": self.sha256_in_prefix,
            "size_in_bytes": self.size,
            "file_mode": self.file_mode,
            "prefix_placeholder": self.prefix_placeholder,
        }
        return {name: value for name, value in row.items() if value is not None}


def record_name(metadata: Mapping[str, object]) -> str:
    """The file name of a record, ``numpy-2.1.0-py312h.json``."""
    return f"{metadata['name']}-{metadata['version']}-{metadata['build']}.json"


def prefix_record(
    metadata: Mapping[str, object], paths: Sequence[InstalledPath], *, file_name: str, url: str
) -> bytes:
    """The JSON text of a record.

    metadata: the locked repodata record. url: where the lock says the archive comes from, a
    URL or a path; credentials are taken out of it and of the channel.
    """
    base = {name: value for name, value in metadata.items() if name not in ("fn", "url")}
    channel = base.pop("channel", None)
    document = {
        **base,
        "fn": file_name,
        "url": _as_url(redacted(url)),
        **({"channel": redacted(str(channel))} if channel is not None else {}),
        "requested_specs": [],
        "files": [each.path for each in paths],
        "paths_data": {"paths_version": 1, "paths": [each.to_json() for each in paths]},
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _as_url(location: str) -> str:
    """A path as a URL, which is all that conda's tools can read; a relative one from the root."""
    if "://" in location:
        return location
    return "file://" + quote(posixpath.normpath(posixpath.join("/", location)))
