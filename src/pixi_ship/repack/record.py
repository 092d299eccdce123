"""A prefix record as it lies in an installed prefix: what is installed, and which files it is.

Source: conda's ``PrefixRecord`` (rattler, ``prefix_record.rs``); ``paths_data.paths`` holds the
rows, where ``original_path`` is the place that a row lost to another package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pixi_ship.errors import PackageError
from pixi_ship.package.metadata import FileMode, PrefixPlaceholder
from pixi_ship.repack.prefix import InstalledPrefix
from pixi_ship.tree import checked_path

_MAX_RECORD = 256 << 20  # bytes
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
# The fields of an archive's index.json; the others of a record say how it was installed.
_OF_THE_INDEX = frozenset(
    {
        "arch",
        "build",
        "build_number",
        "constrains",
        "depends",
        "extra_depends",
        "features",
        "flags",
        "license",
        "license_family",
        "name",
        "noarch",
        "platform",
        "python_site_packages_path",
        "subdir",
        "timestamp",
        "track_features",
        "version",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledRow:
    """A file of a package: ``path`` is where it lies, ``target`` where its package wants it.

    sha256, size: of the file in the archive. sha256_in_prefix: of the installed one.
    """

    path: str
    target: str
    path_type: str
    no_link: bool
    sha256: str | None
    sha256_in_prefix: str | None
    size: int | None
    placeholder: PrefixPlaceholder | None


@dataclass(frozen=True, slots=True)
class InstalledRecord:
    """One installed conda package; ``index`` is what its archive's index.json says."""

    name: str
    version: str
    build: str
    subdir: str
    index: Mapping[str, object]
    rows: tuple[InstalledRow, ...]

    def __str__(self) -> str:
        return f"{self.name}-{self.version}-{self.build}"


def read_records(prefix: InstalledPrefix) -> dict[str, InstalledRecord]:
    """The records of a prefix by the names of their packages; raises PackageError."""
    found: dict[str, InstalledRecord] = {}
    names = [name for name in prefix.names("conda-meta") if name.endswith(".json")]
    for name in names:
        path = f"conda-meta/{name}"
        try:
            document = json.loads(prefix.read(path, _MAX_RECORD))
            record = _record(document)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise PackageError(str(prefix), f"{path!r} cannot be used: {reason}") from error
        if record.name in found:
            raise PackageError(
                str(prefix), f"it has two records of one package: {found[record.name]}, {record}"
            )
        found[record.name] = record
    return found


def _record(document: Mapping[str, object]) -> InstalledRecord:
    name, version, build, subdir = (document[key] for key in ("name", "version", "build", "subdir"))
    if not all(isinstance(each, str) for each in (name, version, build, subdir)):
        raise ValueError("name, version, build or subdir is not a text")
    index = {key: value for key, value in document.items() if key in _OF_THE_INDEX}
    return InstalledRecord(
        str(name), str(version), str(build), str(subdir), index, tuple(_rows(document))
    )


def _rows(document: Mapping[str, object]) -> list[InstalledRow]:
    data = document.get("paths_data")
    rows = data.get("paths") if isinstance(data, dict) else None
    if rows is None:
        files = document.get("files") or []
        if not isinstance(files, list):
            raise ValueError("'files' is not a list")
        rows = [{"_path": path, "path_type": "hardlink"} for path in files]
    if not isinstance(rows, list):
        raise ValueError("'paths' is not a list")
    return [_row(row) for row in rows]


def _row(row: Mapping[str, object]) -> InstalledRow:
    path = checked_path(str(row["_path"]))
    placeholder, size = row.get("prefix_placeholder"), row.get("size_in_bytes")
    return InstalledRow(
        path=path,
        target=checked_path(str(row.get("original_path") or path)),
        path_type=str(row.get("path_type") or "hardlink"),
        no_link=bool(row.get("no_link")),
        sha256=_digest(row.get("sha256")),
        sha256_in_prefix=_digest(row.get("sha256_in_prefix")),
        size=size if isinstance(size, int) else None,
        placeholder=PrefixPlaceholder(str(placeholder), FileMode(str(row.get("file_mode"))))
        if placeholder
        else None,
    )


def _digest(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _SHA256.match(value):
        raise ValueError(f"{value!r} is no sha256")
    return value
