"""Conda packages written by hand: the same bytes every time, and nothing a test cannot ask for.

A package is a list of entries (`File`, `Link`, `HardLink`, `Directory`) and a little metadata.
`.conda` is a stored zip of two zstd tarballs, `.tar.bz2` one tarball; both hold the same files.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import zstandard

_BUILD_PREFIX = "/home/conda/feedstock_root/build_artifacts/pixi-ship_1700000000000/_h_env"
PLACEHOLDER = (_BUILD_PREFIX + "_placehold" * 32)[:255]
"""Where the packages claim to have been built: 255 characters, as conda-build makes it."""

TIMESTAMP = 1_700_000_000
ZIP_DATE = (2023, 11, 14, 22, 13, 20)

Subdir: TypeAlias = Literal["linux-64", "noarch"]
NoArch: TypeAlias = Literal["python", "generic"]
Extension: TypeAlias = Literal[".conda", ".tar.bz2"]


@dataclass(frozen=True)
class File:
    """A regular file; `placeholder` says how the build prefix in it is to be replaced."""

    path: str
    content: bytes | Path
    mode: int = 0o644
    placeholder: Literal["text", "binary"] | None = None

    @property
    def size(self) -> int:
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    def open(self) -> io.BufferedReader | io.BytesIO:
        if isinstance(self.content, Path):
            return self.content.open("rb")
        return io.BytesIO(self.content)


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    path: str
    target: str


@dataclass(frozen=True)
class HardLink:
    """A second name, inside the tar, of a file that comes earlier in the package."""

    path: str
    original: File


@dataclass(frozen=True)
class Directory:
    """A directory that only the tar names, as it does empty ones; `paths.json` cannot."""

    path: str
    mode: int = 0o755


Entry: TypeAlias = File | Link | HardLink | Directory


def text_file(path: str, text: str, mode: int = 0o644) -> File:
    """A text file, marked for replacement where it holds the placeholder."""
    return File(path, text.encode(), mode, "text" if PLACEHOLDER in text else None)


def script(path: str, text: str) -> File:
    return text_file(path, text, mode=0o755)


@dataclass(frozen=True)
class CondaPackage:
    """All there is to say about one package."""

    name: str
    version: str
    entries: list[Entry]
    build: str = "h0000000_0"
    build_number: int = 0
    subdir: Subdir = "linux-64"
    noarch: NoArch | None = None
    depends: list[str] = field(default_factory=list)
    entry_points: list[str] = field(default_factory=list)
    index_extra: dict[str, Any] = field(default_factory=dict)
    summary: str = ""
    extension: Extension = ".conda"
    tar_format: int = tarfile.GNU_FORMAT
    level: int = 3

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def file_name(self) -> str:
        return self.stem + self.extension

    def write(self, channel: Path) -> Path:
        """Write the archive to its place in a channel directory and return its path."""
        target = channel / self.subdir / self.file_name
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.extension == ".conda":
            self._write_conda(target)
        else:
            self._write_tar_bz2(target)
        return target

    def info(self) -> list[Entry]:
        """The `info/` directory."""
        documents: dict[str, str] = {
            "about.json": _json({"license": "BSD-3-Clause", "summary": self.summary}),
            "files": "".join(f"{e.path}\n" for e in self.entries if not isinstance(e, Directory)),
            "index.json": _json(self._index()),
            "paths.json": _json({"paths": list(self._paths()), "paths_version": 1}),
        }
        if self.noarch == "python":
            link = {"noarch": {"entry_points": self.entry_points, "type": "python"}}
            documents["link.json"] = _json({**link, "package_metadata_version": 1})
        return [text_file(f"info/{name}", text) for name, text in sorted(documents.items())]

    def _index(self) -> dict[str, Any]:
        index: dict[str, Any] = {
            "build": self.build,
            "build_number": self.build_number,
            "depends": self.depends,
            "license": "BSD-3-Clause",
            "name": self.name,
            "subdir": self.subdir,
            "timestamp": TIMESTAMP * 1000,
            "version": self.version,
        }
        if self.subdir == "noarch":
            index |= {"arch": None, "platform": None, "noarch": self.noarch or "generic"}
        else:
            index |= {"arch": "x86_64", "platform": "linux"}
        return index | self.index_extra

    def _paths(self) -> Iterator[dict[str, Any]]:
        for entry in self.entries:
            match entry:
                case Link():
                    empty = hashlib.sha256(b"").hexdigest()
                    yield _path(entry, "softlink", sha256=empty, size_in_bytes=0)
                case HardLink(original=original):
                    yield _path(entry, "hardlink", **_facts(original))
                case File():
                    yield _path(entry, "hardlink", **_facts(entry))
                case Directory():  # rattler refuses to link a path of type "directory"
                    pass

    def _write_conda(self, target: Path) -> None:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            _zip_member(archive, "metadata.json", _json({"conda_pkg_format_version": 2}).encode())
            for kind, entries in (("info", self.info()), ("pkg", self.entries)):
                member = zipfile.ZipInfo(f"{kind}-{self.stem}.tar.zst", ZIP_DATE)
                member.external_attr = 0o644 << 16
                with archive.open(member, "w", force_zip64=True) as raw:
                    compressor = zstandard.ZstdCompressor(level=self.level)
                    with compressor.stream_writer(raw, closefd=False) as stream:
                        _write_tar(stream, entries, self.tar_format)

    def _write_tar_bz2(self, target: Path) -> None:
        with bz2.open(target, "wb") as stream:
            _write_tar(stream, [*self.info(), *self.entries], self.tar_format)


def _path(entry: Entry, path_type: str, **facts: Any) -> dict[str, Any]:
    return {"_path": entry.path, "path_type": path_type, **facts}


def _facts(file: File) -> dict[str, Any]:
    with file.open() as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    facts: dict[str, Any] = {"sha256": digest, "size_in_bytes": file.size}
    if file.placeholder:
        facts |= {"file_mode": file.placeholder, "prefix_placeholder": PLACEHOLDER}
    return facts


def _write_tar(stream: Any, entries: Iterable[Entry], tar_format: int) -> None:
    with tarfile.open(fileobj=stream, mode="w|", format=tar_format) as tar:
        for entry in entries:
            member = tarfile.TarInfo(entry.path)
            member.mtime = TIMESTAMP
            match entry:
                case Link(target=target):
                    member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
                    tar.addfile(member)
                case Directory(mode=mode):
                    member.type, member.mode = tarfile.DIRTYPE, mode
                    tar.addfile(member)
                case HardLink(original=original):
                    member.type, member.linkname = tarfile.LNKTYPE, original.path
                    member.mode = original.mode
                    tar.addfile(member)
                case File(mode=mode, size=size):
                    member.mode, member.size = mode, size
                    with entry.open() as content:
                        tar.addfile(member, content)


def _zip_member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    member = zipfile.ZipInfo(name, ZIP_DATE)
    member.external_attr = 0o644 << 16
    archive.writestr(member, content)


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
