"""What a conda archive says of itself: ``info/index.json``, ``paths.json``, ``link.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pixi_ship.errors import PackageError
from pixi_ship.package.archive import CondaArchive
from pixi_ship.tree import checked_path, parents

_MAX_INFO_FILE = 512 << 20
_WANTED = frozenset(
    f"info/{name}"
    for name in (
        "index.json",
        "paths.json",
        "link.json",
        "files",
        "has_prefix",
        "no_link",
        "no_softlink",
    )
)
# The default that conda-build replaced before it wrote one per package (conda_build/config.py).
_OLD_PLACEHOLDER = "/opt/anaconda1anaconda2" + "anaconda3"
_COMMAND = re.compile(r"[^/\0\s=][^/\0=]*\Z")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")


class FileMode(StrEnum):
    """How a placeholder lies in a file."""

    TEXT = "text"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class PrefixPlaceholder:
    """The build prefix inside a file, to be replaced by the one it is installed to."""

    placeholder: str
    file_mode: FileMode


@dataclass(frozen=True, slots=True)
class PathsEntry:
    """One row of ``paths.json``; ``path_type`` is 'hardlink', 'softlink' or 'directory'."""

    path: str
    path_type: str
    no_link: bool = False
    sha256: str | None = None
    size: int | None = None
    prefix_placeholder: PrefixPlaceholder | None = None


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """``command = module:function``, made into a script when a noarch package is linked."""

    command: str
    module: str
    function: str

    @classmethod
    def parse(cls, text: str) -> EntryPoint:
        """Read ``command = module:function``; raises ValueError."""
        command, equals, target = (part.strip() for part in text.partition("="))
        module, colon, function = (part.strip() for part in target.partition(":"))
        if not equals or not colon or not _COMMAND.match(command) or command in (".", ".."):
            raise ValueError(f"entry point {text!r} is not 'command = module:function'")
        if not _DOTTED.match(module) or not _DOTTED.match(function):
            raise ValueError(f"entry point {text!r} does not name a function")
        return cls(command, module, function)


@dataclass(frozen=True, slots=True)
class CondaMetadata:
    """The parts of ``info/`` that decide where files go; ``noarch`` is 'python', 'generic'."""

    name: str
    noarch: str | None
    paths: tuple[PathsEntry, ...]
    entry_points: tuple[EntryPoint, ...]


def read_metadata(archive: CondaArchive) -> CondaMetadata:
    """Read the metadata of a conda archive; raises PackageError for what cannot be trusted."""
    texts = _info_files(archive)
    try:
        index = _mapping(texts, "info/index.json")
        noarch = _noarch(index)
        name = index["name"]
        if not isinstance(name, str):
            raise ValueError("info/index.json has no name")
        return CondaMetadata(
            name=name,
            noarch=noarch,
            paths=_paths(texts),
            entry_points=_entry_points(texts) if noarch == "python" else (),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise PackageError(archive.name, f"its metadata cannot be used: {reason}") from error


def _info_files(archive: CondaArchive) -> dict[str, bytes]:
    texts: dict[str, bytes] = {}
    with archive.info() as members:
        for member in members:
            name = member.name.removeprefix("./")
            if name in _WANTED and member.kind == "file":
                if member.size > _MAX_INFO_FILE:
                    raise PackageError(archive.name, f"{name} has {member.size} bytes")
                texts[name] = member.read()
            # A .tar.bz2 is one stream: stop as soon as nothing more can matter.
            if not archive.is_zip and not name.startswith("info/") and _is_enough(texts):
                break
    return texts


def _is_enough(texts: Mapping[str, bytes]) -> bool:
    if not {"info/index.json", "info/paths.json"} <= texts.keys():
        return False
    return "info/link.json" in texts or b"noarch" not in texts["info/index.json"]


def _mapping(texts: Mapping[str, bytes], name: str) -> dict[str, object]:
    if name not in texts:
        raise ValueError(f"there is no {name}")
    try:
        found = json.loads(texts[name])
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{name} is not a JSON object")
    return found


def _noarch(index: Mapping[str, object]) -> str | None:
    value = index.get("noarch")
    if value is True:  # before conda 4.3 "noarch: true" meant generic
        return "generic"
    return str(value) if value in ("python", "generic") else None


def _paths(texts: Mapping[str, bytes]) -> tuple[PathsEntry, ...]:
    if "info/paths.json" not in texts:
        return _paths_before_paths_json(texts)
    rows = _mapping(texts, "info/paths.json")["paths"]
    if not isinstance(rows, list):
        raise ValueError("info/paths.json: 'paths' is not a list")
    found = tuple(_paths_entry(row) for row in rows)
    kinds = {each.path: each.path_type for each in found}
    for each in found:
        for parent in parents(each.path):
            if kinds.get(parent, "directory") != "directory":
                raise ValueError(
                    f"info/paths.json: {each.path!r} lies below {parent!r}, "
                    f"which is a {kinds[parent]}"
                )
    return found


def _paths_entry(row: Mapping[str, object]) -> PathsEntry:
    path_type = row["path_type"]
    if path_type not in ("hardlink", "softlink", "directory"):
        raise ValueError(f"info/paths.json: path type {path_type!r}")
    placeholder, file_mode = row.get("prefix_placeholder"), row.get("file_mode")
    size, sha256 = row.get("size_in_bytes"), row.get("sha256")
    return PathsEntry(
        path=checked_path(str(row["_path"])),
        path_type=str(path_type),
        no_link=bool(row.get("no_link", False)),
        sha256=sha256 if isinstance(sha256, str) else None,
        size=size if isinstance(size, int) else None,
        prefix_placeholder=PrefixPlaceholder(str(placeholder), FileMode(str(file_mode)))
        if placeholder
        else None,
    )


def _paths_before_paths_json(texts: Mapping[str, bytes]) -> tuple[PathsEntry, ...]:
    """Rows from ``info/files``, ``has_prefix`` and ``no_link``, as packages of 2016 have them."""
    if "info/files" not in texts:
        raise ValueError("there is neither info/paths.json nor info/files")
    placeholders = dict(_has_prefix(texts.get("info/has_prefix", b"").decode("utf-8")))
    no_link = {*_lines(texts, "info/no_link"), *_lines(texts, "info/no_softlink")}
    return tuple(
        PathsEntry(
            path=checked_path(line),
            path_type="",  # told by the archive's member
            no_link=line in no_link,
            prefix_placeholder=placeholders.get(line),
        )
        for line in _lines(texts, "info/files")
    )


def _lines(texts: Mapping[str, bytes], name: str) -> list[str]:
    return [line for line in texts.get(name, b"").decode("utf-8").splitlines() if line.strip()]


def _has_prefix(text: str) -> list[tuple[str, PrefixPlaceholder]]:
    """Rows of ``has_prefix``: ``path``, or ``placeholder mode path`` with quotes around any."""
    found = []
    for line in filter(str.strip, text.splitlines()):
        words = [_unquoted(word) for word in re.findall(r'"(?:[^"\\]|\\.)*"|\S+', line)]
        if len(words) == 1:
            found.append((words[0], PrefixPlaceholder(_OLD_PLACEHOLDER, FileMode.TEXT)))
        elif len(words) == 3:
            mode = FileMode(words[1].lower())
            found.append((words[2], PrefixPlaceholder(words[0], mode)))
        else:
            raise ValueError(f"info/has_prefix holds {line!r}")
    return found


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word


def _entry_points(texts: Mapping[str, bytes]) -> tuple[EntryPoint, ...]:
    if "info/link.json" not in texts:
        return ()
    noarch = _mapping(texts, "info/link.json").get("noarch", {})
    rows = noarch.get("entry_points", ()) if isinstance(noarch, dict) else ()
    return tuple(EntryPoint.parse(str(row)) for row in rows or ())
