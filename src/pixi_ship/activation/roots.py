"""Root filesystems that were unpacked once and stay in the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from pixi_ship.cache import Cache, alone, replacing_directory
from pixi_ship.errors import ImageError
from pixi_ship.oci.stored import StoredImage
from pixi_ship.rootfs import set_times, unpack_layers

# Raise it whenever the same layers are laid out otherwise.
_FORMAT = 2


def kept_root(
    cache: Cache, name: str, fill: Callable[[Path], None], *, reference: str, hint: str
) -> Path:
    """The directory ``roots/NAME`` of the cache, filled once; of several who ask one does the work.

    fill: lays everything out in an empty directory. reference: what is unpacked. hint: what else
    to try. Raises ImageError where it cannot be written, and what ``fill`` raises.
    """
    target = cache.root / "roots" / name
    if not target.is_dir():
        with alone(cache.root):
            if not target.is_dir():
                _fill(target, fill, reference, hint)
    return target


def _fill(target: Path, fill: Callable[[Path], None], reference: str, hint: str) -> None:
    try:
        with replacing_directory(target) as fresh:
            fill(fresh)
            fresh.chmod(0o755)
            fresh.rename(target)
    except OSError as error:
        raise ImageError(
            f"unpacking {reference} to {target}: {error.strerror or error}",
            hint=f"choose another place with --cache-dir, or {hint}",
        ) from error


def unpacked_base(base: StoredImage, cache: Cache) -> Path:
    """The root filesystem of a base, for all builds on it; raises ImageError, DigestMismatch.

    Its files have one time: when this machine unpacked them is nothing for a script to see.
    """
    rows = [str(each.diff_id) for each in base.layers]
    key = hashlib.sha256(json.dumps(["base", _FORMAT, rows]).encode()).hexdigest()

    def fill(root: Path) -> None:
        unpack_layers(base.layers, root)
        set_times(root)

    reference = f"the base {base.reference}"
    return kept_root(cache, f"base-{key}", fill, reference=reference, hint="say --no-sandbox")
