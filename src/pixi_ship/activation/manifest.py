"""The scripts that ``[activation] scripts`` of a manifest names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from pixi_ship.errors import ActivationError
from pixi_ship.recipe.activation import Script
from pixi_ship.recipe.paths import APP
from pixi_ship.tree import checked_path

_MAX_SCRIPT = 1 << 20  # bytes
_OTHER_SHELLS = (".bat", ".ps1", ".fish", ".nu", ".xsh")


def manifest_scripts(
    root: Path, names: Sequence[str], taken: Collection[str]
) -> tuple[Script, ...]:
    """Read the scripts, in the manifest's order; each goes where it is, below ``/app``.

    root: the workspace. taken: what lies at ``/app`` already, and everything below ``.pixi``.
    Scripts for shells that no image has are left out. Raises ActivationError.
    """
    wanted = dict.fromkeys(name for name in names if not name.endswith(_OTHER_SHELLS))
    return tuple(_script(root, name, taken) for name in wanted)


def _script(root: Path, name: str, taken: Collection[str]) -> Script:
    try:
        path = checked_path(name)
    except ValueError:
        raise _refused(name, "it is not a path below the workspace") from None
    if path in taken or path.partition("/")[0] == ".pixi":
        raise _refused(name, f"an image has a file of its own at {APP}/{path}")
    try:
        place = (root / path).resolve(strict=True)
        if not place.is_relative_to(root.resolve()):
            raise _refused(name, "it leads out of the workspace")
        if not place.is_file():
            raise _refused(name, "it is no regular file")
        with place.open("rb") as file:
            data = file.read(_MAX_SCRIPT + 1)
    except OSError as error:
        raise _refused(name, (error.strerror or str(error)).lower()) from error
    if len(data) > _MAX_SCRIPT:
        raise _refused(name, f"it has more than {_MAX_SCRIPT >> 20} MiB")
    return Script(f"{APP}/{path}", path, data.decode("utf-8", "surrogateescape"))


def _refused(name: str, why: str) -> ActivationError:
    return ActivationError(
        f"reading the manifest's activation script {name!r}: {why}",
        hint="correct 'scripts' in [activation] of the manifest",
    )
