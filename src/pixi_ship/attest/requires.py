"""What the locked wheels ask for: ``requires_dist``, which the lock repeats from their metadata."""

from __future__ import annotations

from collections.abc import Mapping

import rattler
from rattler.exceptions import ParseCondaLockError

from pixi_ship.digest import digest_file
from pixi_ship.errors import LockError
from pixi_ship.selection import Selection


def wheel_requirements(selection: Selection) -> Mapping[str, tuple[str, ...]]:
    """Name of each wheel of the environment → its ``Requires-Dist`` lines (PEP 508).

    Reads the lock once more; raises LockError if it is no longer the one that was selected from.
    """
    if not selection.environment.pypi:
        return {}
    path = selection.workspace.lock
    try:
        lock = rattler.LockFile.from_path(path)
        is_same = digest_file(path) == selection.lock_digest
    except (OSError, ParseCondaLockError) as error:
        raise LockError(f"reading {path} again: {error}") from error
    environment = lock.environment(selection.environment.name)
    if environment is None or not is_same:
        raise LockError(
            f"reading {path} again: it is not the lock the image was made from",
            hint="leave the lock alone while an image is made",
        )
    wanted = selection.environment.platform.name
    platform = next(each for each in environment.platforms() if each.name == wanted)
    return {
        package.name: tuple(package.requires_dist)
        for package in environment.packages(platform) or []
        if isinstance(package, rattler.PypiLockedPackage)
    }
