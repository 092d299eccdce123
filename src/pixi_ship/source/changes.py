"""Whether files of a project differ from the commit that is checked out, as ``git status`` says.

Asking git itself would run the filters that its settings name, and its hooks for file systems.
So contents are compared here, with what git does to line ends. Where a filter decides, it
cannot be told.

Source: gitattributes(5) (``text``, ``eol``, ``filter``, ``ident``, ``working-tree-encoding``);
git-config(1) (``core.autocrlf``, ``core.fileMode``); git's ``convert.c`` for which contents are
text; git-lfs "Specification" for pointers.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.digest import BLOCK
from pixi_ship.errors import SourceError
from pixi_ship.source.git import Git

_ATTRIBUTES = ("text", "crlf", "eol", "filter", "ident", "working-tree-encoding")
_NONE = frozenset({"unspecified", "unset"})
_MAX_TEXT = 64 << 20  # bytes; what is larger is not read again for its line ends
_MAX_POINTER = 1024  # bytes (git-lfs)
_POINTER = re.compile(rb"version https://git-lfs\.\S+\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n")
# Control characters but those that text holds: BS, HT, LF, FF, CR, ESC. And DEL.
_CONTROLS = bytes({*range(32), 127} - {8, 9, 10, 12, 13, 27})


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files of a project in a repository's working tree."""

    git: Git
    project: Path

    def ask(self, *words: str) -> str | None:
        """What git says of the repository; None where it fails, or is not there."""
        try:
            done = self.git.ask(self.project, words)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.decode("utf-8", "surrogateescape").strip("\n") if done is not None else None

    def has_changed(self) -> bool:
        """Whether a recorded file below the project is another one now, or is gone.

        What is not recorded does not count. Raises SourceError where that cannot be told.
        """
        if self.ask("diff-index", "--cached", "--name-only", "HEAD", "--", "."):
            return True
        unwatched = self._unwatched()
        minds_modes = self.ask("config", "--type=bool", "--get", "core.fileMode") != "false"
        for row in (self.ask("ls-tree", "-r", "-z", "HEAD", ".") or "").split("\0"):
            words, _, path = row.partition("\t")
            if not path or path in unwatched:
                continue
            mode, kind, digest = words.split(" ")
            if kind == "blob" and self._differs(path, mode, digest, minds_modes=minds_modes):
                return True
        return False

    def _unwatched(self) -> frozenset[str]:
        """Files that git was told not to look at: of a sparse checkout, or taken as unchanged."""
        rows = (self.ask("ls-files", "-v", "-z", ".") or "").split("\0")
        return frozenset(row[2:] for row in rows if row[:1] == "S" or row[:1].islower())

    def _differs(self, path: str, mode: str, digest: str, *, minds_modes: bool) -> bool:
        here = self.project / path
        try:
            facts = here.lstat()
            if stat.S_ISLNK(facts.st_mode):
                target = os.fsencode(os.readlink(here))  # noqa: PTH115
                return mode != "120000" or _blob([target], len(target), digest) != digest
            if not stat.S_ISREG(facts.st_mode) or mode == "120000":
                return True
            if minds_modes and (mode == "100755") != bool(facts.st_mode & 0o100):
                return True
            return _blob_at(here, facts.st_size, digest) != digest and self._is_other(here, digest)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError as error:
            raise SourceError(
                f"reading {here}: {error.strerror}", hint="make it readable"
            ) from error

    def _is_other(self, here: Path, digest: str) -> bool:
        """Whether a file is another one after what git does to it when it is recorded."""
        found = self._attributes(here)
        if self._is_idle(found["filter"]):
            found = {**found, "filter": "unset"}
        elif found["filter"] == "lfs":
            return self._is_other_than_pointer(here, digest)
        for name in ("filter", "ident", "working-tree-encoding"):
            if found[name] not in _NONE:
                raise SourceError(
                    f"telling the version of {self.project.name}: git changes "
                    f"{here.relative_to(self.project).as_posix()!r} when it is recorded "
                    f"({name} in .gitattributes), so whether it is another one cannot be told",
                    hint="write the version into its pyproject.toml, or check the file out anew",
                )
        if here.stat().st_size > _MAX_TEXT:
            return True
        content = here.read_bytes()
        if not _takes_line_ends(found, self.ask("config", "--get", "core.autocrlf"), content):
            return True
        recorded = content.replace(b"\r\n", b"\n")
        return _blob([recorded], len(recorded), digest) != digest

    def _is_idle(self, name: str) -> bool:
        """Whether no program of this machine's settings stands behind the name of a filter."""
        words = (
            self.ask("config", "--get", f"filter.{name}.{each}") for each in ("clean", "process")
        )
        return name in _NONE or not any(words)

    def _is_other_than_pointer(self, here: Path, digest: str) -> bool:
        size = self.ask("cat-file", "-s", digest)
        if size is None or int(size) > _MAX_POINTER:
            return True
        pointer = _POINTER.match(os.fsencode(self.ask("cat-file", "blob", digest) or "") + b"\n")
        with here.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        return pointer is None or pointer[1].decode() != content

    def _attributes(self, here: Path) -> Mapping[str, str]:
        path = here.relative_to(self.project).as_posix()
        said = (self.ask("check-attr", "-z", *_ATTRIBUTES, "--", path) or "").split("\0")
        found = dict(zip(said[1::3], said[2::3], strict=False))
        return {name: found.get(name, "unspecified") for name in _ATTRIBUTES}


def _takes_line_ends(found: Mapping[str, str], automatic: str | None, content: bytes) -> bool:
    """Whether git records CRLF in this content as LF."""
    text = found["text"] if found["text"] != "unspecified" else found["crlf"]
    if text == "unset":
        return False
    if text in ("set", "input") or (text == "unspecified" and found["eol"] in ("lf", "crlf")):
        return True
    is_automatic = text == "auto" or (automatic or "").lower() in (
        "true",
        "input",
        "1",
        "yes",
        "on",
    )
    return is_automatic and not _is_binary(content)


def _is_binary(content: bytes) -> bool:
    controls = len(content) - len(content.translate(None, _CONTROLS))
    ends = content.count(b"\r\n")
    printable = len(content) - controls - ends - content.count(b"\n")
    if content.endswith(b"\x1a"):
        controls -= 1
    lone = content.count(b"\r") - ends
    return lone > 0 or b"\0" in content or printable >> 7 < controls


def _blob(chunks: Iterable[bytes], size: int, digest: str) -> str:
    """The name that git gives to contents, by the hash of the name they are compared with."""
    kind = hashlib.sha256 if len(digest) == 64 else hashlib.sha1
    found = kind(b"blob %d\0" % size, usedforsecurity=False)
    for chunk in chunks:
        found.update(chunk)
    return found.hexdigest()


def _blob_at(here: Path, size: int, digest: str) -> str:
    with here.open("rb") as file:
        return _blob(iter(lambda: file.read(BLOCK), b""), size, digest)
