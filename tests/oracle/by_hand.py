"""Packages whose metadata says just what a test wants, be it wise or not."""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rattler import BuildString, PackageRecord, RepoDataRecord

PLACEHOLDER = "/build/placeholder" + "_placehold" * 10

Info = dict[str, str]


def file(path: str, content: bytes = b"", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(path)
    member.mode, member.size = mode, len(content)
    return member, content


def link(path: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(path)
    member.type, member.linkname = kind, target
    return member, b""


def directory(path: str) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(path)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    return member, b""


def row(path: str, path_type: str = "hardlink", mode: str | None = None, **more: Any) -> Any:
    """A row of paths.json; `mode` says that it holds the placeholder, and how."""
    slot = {"file_mode": mode, "prefix_placeholder": PLACEHOLDER} if mode else {}
    return {"_path": path, "path_type": path_type, **slot, **more}


def paths_json(*rows: Any) -> Info:
    return {"paths.json": json.dumps({"paths": rows, "paths_version": 1})}


def entry_points(*points: str) -> Info:
    link = {"noarch": {"type": "python", "entry_points": points}, "package_metadata_version": 1}
    return {"link.json": json.dumps(link)}


def package(
    folder: Path,
    info: Info,
    members: Sequence[tuple[tarfile.TarInfo, bytes]],
    *,
    name: str = "by-hand",
    depends: Sequence[str] = (),
    noarch: str | None = None,
) -> RepoDataRecord:
    """Write `name`-1-0.tar.bz2 and return its record."""
    subdir = "noarch" if noarch else "linux-64"
    index: dict[str, Any] = {"name": name, "version": "1", "build": "0", "build_number": 0}
    index |= {"subdir": subdir, "depends": [*depends]} | ({"noarch": noarch} if noarch else {})
    path = folder / f"{name}-1-0.tar.bz2"
    with bz2.open(path, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for title, text in {"index.json": json.dumps(index), **info}.items():
            member, content = file(f"info/{title}", text.encode())
            tar.addfile(member, io.BytesIO(content))
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return record(path)


def record(path: Path) -> RepoDataRecord:
    """The record of an archive, as a channel would give it, read from its own index.json."""
    from pixi_ship.package.archive import CondaArchive

    with CondaArchive(path, path.name).info() as members:
        found = (m.read() for m in members if m.name.removeprefix("./") == "info/index.json")
        index = json.loads(next(found))
    content = path.read_bytes()
    noarch = index.get("noarch")
    record = PackageRecord(
        index["name"],
        index["version"],
        BuildString(index["build"]),
        index["build_number"],
        index.get("subdir") or "noarch",
        noarch="generic" if noarch is True else noarch,
        depends=index.get("depends") or [],
        size=len(content),
        sha256=hashlib.sha256(content).digest(),
        md5=hashlib.md5(content, usedforsecurity=False).digest(),
    )
    return RepoDataRecord(record, path.name, path.as_uri(), path.parent.as_uri())
