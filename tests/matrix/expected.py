"""Where a runtime cannot hold what the others do, and why.

A cell that is not named here holds. One that is named does not: a test fails where it does.
"""

from __future__ import annotations

from collections.abc import Mapping

REASONS = {
    "inactive": "without `--set-env`, `ch-run` applies none of an image's variables, and hands on "
    "those of the host",
    "nameless": "nothing of the image runs before the command, and no variable that is fixed when "
    "the image is made can tell who it will be",
    "homeless": "nothing of the image runs before the command; the runtime leaves `HOME` unset or "
    "names a directory that is not there",
    "no /tmp": "umoci's bundle mounts no `/tmp`, the root is read-only, and nothing of the image "
    "runs that could name another place",
}
"""What a cell's "no" is due to; by the name that the tables below use."""

_BARE = {"name": "nameless", "home": "homeless"}
_ALL = (
    *("PATH", "manifest", "assigned", "computed", "import", "script"),
    *("host out", "nested", "name", "home", "read-only"),
)

BY_NATURE: Mapping[str, Mapping[str, str]] = {
    "podman, no entrypoint": _BARE,
    "podman without root, no entrypoint": _BARE,
    "runc, other command": {**_BARE, "read-only": "no /tmp"},
    "crun, other command": {**_BARE, "read-only": "no /tmp"},
    "Charliecloud": dict.fromkeys(_ALL, "inactive"),
    "Charliecloud, --set-env": {"home": "homeless"},
    "bubblewrap, variables alone": _BARE,
    "Shifter": {"home": "homeless"},
}
"""Nothing in an image can change these."""

BY_US: Mapping[str, Mapping[str, str]] = {}
"""An image could do better here, and does not yet."""


def reason_for(runtime: str, check: str) -> str | None:
    """Why a cell does not hold; None where it does."""
    for table in (BY_NATURE, BY_US):
        if name := table.get(runtime, {}).get(check):
            return REASONS[name]
    return None
