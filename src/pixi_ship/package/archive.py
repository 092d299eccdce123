"""Open a conda archive: ``.conda`` (a zip of two zstd tars) or ``.tar.bz2`` (one tar).

    .conda    = zip, members stored: metadata.json, info-<name>.tar.zst, pkg-<name>.tar.zst
    .tar.bz2  = one tar with both, ``info/`` first by custom but not by rule

Source: https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html
"""

from __future__ import annotations

import bz2
import errno
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from pixi_ship.errors import PackageError
from pixi_ship.tar_stream import Member, Readable, TarError, members

# A tar of zeros shrinks some 30,000-fold under zstd, real packages 2 to 20-fold.
MAX_RATIO = 1000
MIN_LIMIT = 256 << 20
MAX_LIMIT = 256 << 30
_ZSTD_WINDOW = 1 << 31


class CondaArchive:
    """A conda archive on disk, read as streams; ``name`` is how errors call it."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self._limit = min(max(MIN_LIMIT, path.stat().st_size * MAX_RATIO), MAX_LIMIT)
        with path.open("rb") as file:
            magic = file.read(4)
        self.is_zip = magic[:2] == b"PK"
        if not self.is_zip and magic[:3] != b"BZh":
            raise PackageError(
                name,
                "it is neither a .conda (zip) nor a .tar.bz2 archive",
                hint="the channel or mirror gave something else; fetch it again",
            )

    @contextmanager
    def info(self) -> Iterator[Iterator[Member]]:
        """The members under ``info/``, with ``info/`` in their names."""
        with self._section("info-") as found:
            yield found

    @contextmanager
    def payload(self) -> Iterator[Iterator[Member]]:
        """The members to install; a ``.tar.bz2`` gives ``info/`` with them."""
        with self._section("pkg-") as found:
            yield found

    @contextmanager
    def _section(self, prefix: str) -> Iterator[Iterator[Member]]:
        with self._naming():
            if self.is_zip:
                with zipfile.ZipFile(self.path) as archive, self._open(archive, prefix) as file:
                    stream = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
                    with stream.stream_reader(file, read_across_frames=True) as reader:
                        yield self._guarded(members(cast(Readable, reader), limit=self._limit))
            else:
                with bz2.open(self.path, "rb") as file:
                    yield self._guarded(members(cast(Readable, file), limit=self._limit))

    def _guarded(self, found: Iterator[Member]) -> Iterator[Member]:
        # A file's content is taken long after its member was given, by whoever writes it.
        with self._naming():
            for member in found:
                member.guard = self._naming
                yield member

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Errors of the formats below as errors of this package."""
        try:
            yield
        except TarError as error:
            raise PackageError(self.name, str(error)) from error
        except (zipfile.BadZipFile, zstandard.ZstdError, EOFError, NotImplementedError) as error:
            raise PackageError(self.name, f"the archive is damaged ({error})") from error
        except OSError as error:
            if error.errno not in (None, errno.EINVAL):  # a zip may point before its start
                raise
            raise PackageError(self.name, f"the archive is damaged ({error})") from error

    def _open(self, archive: zipfile.ZipFile, prefix: str) -> BinaryIO:
        found = [
            info
            for info in archive.infolist()
            if info.filename.startswith(prefix) and info.filename.endswith(".tar.zst")
        ]
        if len(found) != 1:
            raise PackageError(
                self.name, f"it holds {len(found)} members '{prefix}*.tar.zst', want one"
            )
        return cast(BinaryIO, archive.open(found[0]))
