"""Packages that write the same paths.

`clobber-a`, `clobber-b` (needs a) and `clobber-c` write the same file. `clobber-file` has a file
where `clobber-folder` (needs it) has a directory: rattler 0.28 lets the directory win, but links
packages concurrently and now and then fails instead ("Is a directory"), hence the separate names.
"""

from __future__ import annotations

from ..conda_package import CondaPackage, text_file


def packages() -> list[CondaPackage]:
    return [
        _clobber("a"),
        _clobber("b", depends=["clobber-a"]),
        _clobber("c"),
        _thing("clobber-file", "share/clobber/thing"),
        _thing("clobber-folder", "share/clobber/thing/inside.txt", depends=["clobber-file"]),
    ]


def _clobber(letter: str, depends: list[str] | None = None) -> CondaPackage:
    name = f"clobber-{letter}"
    entries = [
        text_file("share/clobber/shared.txt", f"written by {name}\n"),
        text_file(f"share/clobber/{letter}.txt", f"only in {name}\n"),
    ]
    return CondaPackage(name, "1.0", [*entries], depends=depends or [], summary="Clobbers its kin")


def _thing(name: str, path: str, depends: list[str] | None = None) -> CondaPackage:
    entry = text_file(path, f"written by {name}\n")
    return CondaPackage(name, "1.0", [entry], depends=depends or [], summary="A file or a folder")
