"""An installed conda package as an archive again: what its prefix record lists, put back.

    metadata.json              {"conda_pkg_format_version": 2}
    pkg-<name>.tar.zst         the files, sorted, with the placeholders of the first archive
    info-<name>.tar.zst        index.json, paths.json, and link.json of noarch python packages

The same package gives the same bytes wherever it was installed.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import BinaryIO, cast

import zstandard

from pixi_ship.errors import PackageError
from pixi_ship.package.metadata import EntryPoint
from pixi_ship.repack.file import Changed, RestoredFile, restored_file
from pixi_ship.repack.prefix import InstalledPrefix
from pixi_ship.repack.record import InstalledRecord, InstalledRow

_LEVEL = 3
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest there is
_MAX_ENTRY_POINT = 1 << 16
_ENTRY_POINT = "unix_python_entry_point"
_IMPORTED = re.compile(r"^from (?P<module>[\w.]+) import \w+$", re.MULTILINE)
_CALLED = re.compile(r"^\s+sys\.exit\((?P<function>[\w.]+)\(\)\)$", re.MULTILINE)


@dataclass(slots=True)
class _Contents:
    """What was written so far of an archive, for its ``info``."""

    paths: list[dict[str, object]] = field(default_factory=list)
    entry_points: list[str] = field(default_factory=list)


def repack_conda(
    record: InstalledRecord, prefix: InstalledPrefix, site_packages: str | None, out: BinaryIO
) -> None:
    """Write the ``.conda`` of an installed package.

    site_packages: of the prefix, where it has a python. Raises PackageError where a file is
    missing, is not what the record says, or cannot be taken without leaving the prefix.
    """
    contents, name = _Contents(), str(record)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(
            zipfile.ZipInfo("metadata.json", _ZIP_DATE), '{"conda_pkg_format_version": 2}'
        )
        with _tar(archive, f"pkg-{name}.tar.zst") as tar:
            for row in _sorted_rows(record):
                _add(tar, record, row, prefix, site_packages, contents)
        with _tar(archive, f"info-{name}.tar.zst") as tar:
            for path, document in _info(record, contents):
                data = (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()
                tar.addfile(_member(f"info/{path}", 0o644, len(data)), io.BytesIO(data))


def _sorted_rows(record: InstalledRecord) -> list[InstalledRow]:
    rows = sorted(record.rows, key=lambda row: row.target)
    for one, other in pairwise(rows):
        if one.target == other.target and one.path_type != _ENTRY_POINT:
            raise PackageError(str(record), f"its record lists {one.target!r} twice")
    return rows


@contextmanager
def _tar(archive: zipfile.ZipFile, name: str) -> Iterator[tarfile.TarFile]:
    with archive.open(zipfile.ZipInfo(name, _ZIP_DATE), "w", force_zip64=True) as raw:
        compressor = zstandard.ZstdCompressor(level=_LEVEL)
        with (
            compressor.stream_writer(raw, closefd=False) as stream,
            tarfile.open(
                fileobj=cast(BinaryIO, stream), mode="w|", format=tarfile.PAX_FORMAT
            ) as tar,
        ):
            yield tar


def _add(
    tar: tarfile.TarFile,
    record: InstalledRecord,
    row: InstalledRow,
    prefix: InstalledPrefix,
    site_packages: str | None,
    contents: _Contents,
) -> None:
    if row.path_type == "pyc_file":
        return  # made by the installer, and made anew
    if row.path_type == _ENTRY_POINT:
        contents.entry_points.append(_entry_point(record, row, prefix))
        return
    path = _packed_path(record, row.target, site_packages)
    facts: dict[str, object] = {"_path": path, "path_type": row.path_type}
    if row.no_link:
        facts["no_link"] = True
    if row.path_type == "directory":
        member = _member(path, 0o755, 0)
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    elif row.path_type == "softlink":
        tar.addfile(_symlink(record, row, path, prefix))
        facts |= {"sha256": row.sha256, "size_in_bytes": row.size}
    else:
        file = _file(record, row, prefix)
        if file is None:
            return
        tar.addfile(_member(path, file.mode, file.size), _Reader(file.chunks()))
        facts |= {"sha256": file.sha256, "size_in_bytes": file.size}
        if file.placeholder is not None:
            facts["file_mode"] = file.placeholder.file_mode.value
            facts["prefix_placeholder"] = file.placeholder.placeholder
    contents.paths.append({key: value for key, value in facts.items() if value is not None})


def _file(
    record: InstalledRecord, row: InstalledRow, prefix: InstalledPrefix
) -> RestoredFile | None:
    """The file of a row; None for bytecode that Python wrote anew, which is no loss."""
    try:
        return restored_file(record, row, prefix)
    except Changed:
        if row.target.endswith(".pyc") and "__pycache__/" in row.target:
            return None
        raise


def _symlink(
    record: InstalledRecord, row: InstalledRow, path: str, prefix: InstalledPrefix
) -> tarfile.TarInfo:
    target = prefix.link(row.path)
    if target is None:
        raise Changed(str(record), f"{row.path!r} in {prefix} is not the link that was installed")
    if any(target == place or target.startswith(f"{place}/") for place in prefix.origins):
        raise PackageError(
            str(record), f"the link {row.path!r} leads to {target!r}, which an image has not"
        )
    member = _member(path, 0o777, 0)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def _packed_path(record: InstalledRecord, target: str, site_packages: str | None) -> str:
    """Where an archive has a file: noarch python packages leave open which Python."""
    if record.index.get("noarch") != "python" or site_packages is None:
        return target
    for installed, packed in ((site_packages, "site-packages"), ("bin", "python-scripts")):
        if target.startswith(f"{installed}/"):
            return f"{packed}/{target.removeprefix(f'{installed}/')}"
    return target


def _entry_point(record: InstalledRecord, row: InstalledRow, prefix: InstalledPrefix) -> str:
    """``command = module:function``, read from the script that was made of it."""
    try:
        script = prefix.read(row.path, _MAX_ENTRY_POINT)
        text = script.decode()
        recorded = {row.sha256, row.sha256_in_prefix} - {None}
        imported, called = _IMPORTED.search(text), _CALLED.search(text)
        if imported is None or called is None or not row.target.startswith("bin/"):
            raise ValueError
        if recorded and hashlib.sha256(script).hexdigest() not in recorded:
            raise ValueError
        found = EntryPoint.parse(
            f"{row.target.removeprefix('bin/')} = {imported['module']}:{called['function']}"
        )
    except (FileNotFoundError, ValueError):
        raise Changed(
            str(record), f"{row.path!r} in {prefix} is not the entry point that was installed"
        ) from None
    return f"{found.command} = {found.module}:{found.function}"


def _info(record: InstalledRecord, contents: _Contents) -> Iterator[tuple[str, object]]:
    yield "index.json", dict(record.index)
    if record.index.get("noarch") == "python":
        points = sorted(contents.entry_points)
        link = {"noarch": {"entry_points": points, "type": "python"}}
        yield "link.json", {**link, "package_metadata_version": 1}
    yield "paths.json", {"paths": contents.paths, "paths_version": 1}


def _member(path: str, mode: int, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.mode, member.size = mode, size
    return member


class _Reader(io.RawIOBase):
    """Chunks as the file that tarfile reads from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        pieces, missing = [self._rest], size - len(self._rest)
        while missing > 0 and (chunk := next(self._chunks, None)) is not None:
            pieces.append(chunk)
            missing -= len(chunk)
        data = b"".join(pieces)
        self._rest = data[size:]
        return data[:size]
