"""Unpack a source distribution into a directory: ``.tar.gz`` and its kin, ``.zip``.

Source: PyPA "Source distribution format" (a single top directory, no link that leaves it, no
special files); older ones come as bzip2, xz or zip.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pixi_ship.digest import BLOCK
from pixi_ship.errors import SourceError
from pixi_ship.source.writing import MAX_FILES, TreeWriter
from pixi_ship.tar_stream import Readable, TarError, members

# Text shrinks 3 to 10-fold. What is small may unpack to some data more than that.
_MAX_RATIO = 200
_MIN_LIMIT = 256 << 20  # bytes
_MAX_LIMIT = 16 << 30
_XZ_MEMORY = 512 << 20  # bytes; "xz -9" needs 65 MiB
_MAX_TARGET = 4096  # bytes of a link's target
_PROJECT_FILES = ("pyproject.toml", "setup.py")


class _XzReader:
    """An xz stream whose dictionary may only be so large, which ``lzma.open`` cannot say."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decompressor = self._new()

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def read(self, size: int, /) -> bytes:
        while True:
            if self._decompressor.eof:
                rest = self._decompressor.unused_data.lstrip(b"\0") or self._file.read(BLOCK)
                if not rest.lstrip(b"\0"):
                    return b""
                self._decompressor = self._new()
            elif self._decompressor.needs_input:
                rest = self._file.read(BLOCK)
                if not rest:
                    raise EOFError("the xz stream ends too early")
            else:
                rest = b""
            if data := self._decompressor.decompress(rest, size):
                return data


def unpack(archive: Path, name: str, into: Path) -> Path:
    """Unpack a source distribution; returns the directory of the project in ``into``.

    name: how errors call it. Raises SourceError for an archive that is damaged, too large when
    unpacked, leads out of ``into``, or holds no project.
    """
    limit = min(max(_MIN_LIMIT, archive.stat().st_size * _MAX_RATIO), _MAX_LIMIT)
    writer = TreeWriter(into, limit=limit)
    with _naming(name), archive.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        if magic[:4] in (b"PK\3\4", b"PK\5\6"):
            _unzip(file, writer, limit)
        elif magic[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                _untar(stream, writer, limit)
        elif magic[:3] == b"BZh":
            with bz2.BZ2File(file, "rb") as stream:
                _untar(stream, writer, limit)
        elif magic == b"\xfd7zXZ\0":
            _untar(_XzReader(file), writer, limit)
        else:
            _untar(file, writer, limit)
        writer.finish()
    return _project(into, name)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Errors of the formats as errors of this archive."""
    try:
        yield
    except TarError as error:
        raise SourceError(f"unpacking {name}: {error}") from error
    except (
        *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError),
        *(NotImplementedError, RuntimeError),  # of zipfile: a method it lacks, a password
    ) as error:
        raise SourceError(f"unpacking {name}: the archive is damaged ({error})") from error
    except ValueError as error:  # Escape, and what checked_path says
        raise SourceError(f"unpacking {name}: {error}") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL, errno.ENAMETOOLONG):
            raise
        raise SourceError(f"unpacking {name}: the archive is damaged ({error})") from error


def _untar(stream: Readable, writer: TreeWriter, limit: int) -> None:
    for member in members(stream, limit=limit):
        if member.kind == "file":
            executable = bool(member.mode & 0o111)
            writer.file(member.name, executable=executable, content=member.chunks())
        elif member.kind == "directory":
            writer.directory(member.name)
        elif member.kind == "symlink":
            writer.symlink(member.name, member.link)
        else:
            writer.hardlink(member.name, member.link)


def _unzip(file: BinaryIO, writer: TreeWriter, limit: int) -> None:
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if len(infos) > MAX_FILES:
            raise ValueError(f"it holds more than {MAX_FILES} files")
        if sum(info.file_size for info in infos) > limit:
            raise ValueError("it unpacks to more bytes than it may (a decompression bomb?)")
        for info in infos:
            mode = info.external_attr >> 16
            if info.is_dir():
                writer.directory(info.filename)
            elif stat.S_ISLNK(mode):
                if info.file_size > _MAX_TARGET:
                    raise ValueError(f"{info.filename!r} is a link of {info.file_size} bytes")
                writer.symlink(info.filename, archive.read(info).decode())
            else:
                with archive.open(info) as stream:
                    chunks = iter(lambda: stream.read(BLOCK), b"")
                    writer.file(info.filename, executable=bool(mode & 0o111), content=chunks)


def _project(top: Path, name: str) -> Path:
    """The top directory of a source distribution, or the root where it has none."""
    for place in (top, *(each for each in top.iterdir() if not each.is_symlink())):
        if any((place / each).is_file() for each in _PROJECT_FILES):
            return place
    raise SourceError(
        f"unpacking {name}: there is neither a pyproject.toml nor a setup.py at its top",
        hint="the archive is no source distribution of a Python package; name another one",
    )
