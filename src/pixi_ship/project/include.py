"""What a person asks to be taken along: ``PATH[:DEST]``."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from pixi_ship.errors import UsageError

APP = "app"
_PREFIXES = f"{APP}/.pixi"
# What an image has of its own, or a runtime puts there.
_TAKEN = (
    *(f"{APP}/entrypoint.sh", "ch/environment", "etc/profile.d/zz-pixi-ship.sh"),
    *(".singularity.d", "dev", "proc", "sys"),
)
# In most bases these are links; a directory of this name in a later layer would replace them.
_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "var/run", "var/lock")


@dataclass(frozen=True, slots=True)
class Include:
    """path: as given, relative to the workspace. dest: below the image's root; None follows path.

    into: whether dest is the directory that the file is put into.
    """

    path: str
    dest: str | None
    into: bool = False

    @property
    def is_inside(self) -> bool:
        """Whether it names something below the workspace."""
        return not self.path.startswith("/") and ".." not in self.path.split("/")

    @property
    def label(self) -> str:
        """The same without what only this machine knows: a path out of the workspace."""
        return str(self) if self.is_inside else f":/{self.dest}"

    def __str__(self) -> str:
        if self.dest is None:
            return f"{self.path}:" if ":" in self.path else self.path
        return f"{self.path}:/{self.dest}{'/' if self.into else ''}"


def parse_include(text: str) -> Include:
    """Read ``PATH[:DEST]``; raises UsageError for a DEST that is not the project's to write.

    The last colon divides, so a PATH with a colon is written with one more behind it.
    """
    path, colon, dest = text.rpartition(":")
    if not colon:
        path, dest = dest, ""
    if not path or "\0" in text:
        raise UsageError(f"--include {text!r} names no path", hint="want PATH or PATH:DEST")
    if not dest:
        return Include(path, None)
    if ".." in dest.split("/"):
        raise UsageError(f"--include {text!r}: DEST must not climb with '..'")
    whole = dest if dest.startswith("/") else f"/{APP}/{dest}"
    clean = posixpath.normpath(whole).lstrip("/")
    check_dest(clean, text)
    return Include(path, clean, dest.endswith("/") or dest == ".")


def check_dest(dest: str, text: str) -> None:
    """Raise UsageError where a file must not be put; dest is relative to the image's root."""
    if not dest:
        raise UsageError(f"--include {text!r}: DEST is the root of the image")
    if _is_below(dest, _PREFIXES):
        raise UsageError(
            f"--include {text!r}: /{_PREFIXES} holds the environment, and nothing else"
        )
    for taken in _TAKEN:
        if _is_below(dest, taken):
            raise UsageError(
                f"--include {text!r}: /{taken} is not the project's to write",
                hint="choose another place with PATH:DEST, or leave the file out in .dockerignore",
            )
    for link in _LINKS:
        if _is_below(dest, link):
            raise UsageError(
                f"--include {text!r}: /{link} is a link in most bases, which a directory replaces",
                hint="put it below /usr/local or /opt",
            )


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}/")
