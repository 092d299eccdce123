"""``pixi-ship.lock``: which image each base's tag named, kept beside ``pixi.lock``.

version = 1

[[base]]
reference = "docker://docker.io/library/debian:bookworm-slim"
digest = "sha256:…"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli
import tomli_w

from pixi_ship.cache import write_atomically
from pixi_ship.digest import Digest
from pixi_ship.errors import LockError

FILE_NAME = "pixi-ship.lock"
_VERSION = 1
_HEADER = "# Written by pixi-ship: the base images that this workspace builds on.\n"


@dataclass(frozen=True, slots=True)
class BaseLock:
    """The digests of bases by reference; of an index where the tag names one."""

    path: Path
    digests: Mapping[str, Digest]

    def digest(self, reference: str) -> Digest | None:
        """The recorded digest of a reference."""
        return self.digests.get(reference)

    def record(self, reference: str, digest: Digest) -> None:
        """Write the file with one entry added or changed; nothing is written if it is there."""
        if self.digests.get(reference) == digest:
            return
        rows = {**self.digests, reference: digest}
        document = {
            "version": _VERSION,
            "base": [{"reference": name, "digest": str(rows[name])} for name in sorted(rows)],
        }
        write_atomically(self.path, (_HEADER + tomli_w.dumps(document)).encode())


def read_base_lock(root: Path) -> BaseLock:
    """The base lock of a workspace, empty where there is no file; raises LockError."""
    path = root / FILE_NAME
    try:
        document = tomli.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return BaseLock(path, {})
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        raise LockError(f"reading {path}: {error}", hint="remove it, and it is made anew") from None
    if document.get("version") != _VERSION:
        raise LockError(
            f"reading {path}: version is {document.get('version')!r}, want {_VERSION}",
            hint="a newer pixi-ship may have written it",
        )
    try:
        return BaseLock(
            path, {str(row["reference"]): Digest.parse(row["digest"]) for row in document["base"]}
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LockError(
            f"reading {path}: an entry is broken ({error})", hint="remove it, and it is made anew"
        ) from None
