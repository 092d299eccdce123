"""Take over a wheel that a backend made: check what it claims, and write it anew.

Backends differ in the order, times, modes and compression of what they put into a wheel. Here
it is sorted, of one time, stored, with a RECORD that names what is there: so its digest
depends on the contents alone. No ``direct_url.json`` is added, as installers would: it says
where the source lay on this machine.

Source: PyPA "Binary distribution format" and "Recording installed projects"; PEP 425 tags.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import lzma
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import BinaryIO

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from pixi_ship.digest import BLOCK
from pixi_ship.errors import SourceError
from pixi_ship.prefix.python import PythonInfo
from pixi_ship.prefix.wheel_tags import fitting_tags, machine_of
from pixi_ship.source import elf
from pixi_ship.tree import checked_path

_MAX_MEMBERS = 200_000
_MAX_SIZE = 8 << 30  # bytes of all members
_MAX_METADATA = 16 << 20  # bytes
_MAX_LIBRARY = 2 << 30  # bytes of a compiled file
_TIME = (1980, 1, 1, 0, 0, 0)
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}\.whl\Z")
_UNSIGNED = ("RECORD.jws", "RECORD.p7s")  # signatures of the RECORD that is replaced


@dataclass(frozen=True, slots=True)
class Facts:
    """What a wheel is.

    glibc, libraries: what its compiled files need that is not in it. naming: its files that hold
    the path of the directory they were built in.
    """

    name: str
    version: str
    file_name: str
    is_compiled: bool
    glibc: str | None
    libraries: tuple[str, ...]
    naming: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a wheel must be.

    version: None where the lock leaves it to the source. compiles: None where compiled files
    can be taken, else the reason why not. place: where it was built, if that is another
    directory for each build.
    """

    name: str
    version: str | None
    python: PythonInfo
    subdir: str
    compiles: str | None
    place: Path | None = None


def take_over(built: Path, wanted: Wanted, into: BinaryIO) -> Facts:
    """Write a wheel anew; raises SourceError where it is not the wanted one, or is no wheel."""
    with _reading(built, wanted.name) as wheel:
        infos = _members(wheel)
        facts = _facts(built.name, wheel, infos, wanted)
        naming = _write(wheel, infos, into, wanted.place)
    return replace(facts, naming=naming)


@contextmanager
def _reading(built: Path, name: str) -> Iterator[zipfile.ZipFile]:
    # A backend can put a link, or a pipe, where a file is expected.
    try:
        handle = os.open(built, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file, zipfile.ZipFile(file) as wheel:
            yield wheel
    except (
        *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
        *(NotImplementedError, RuntimeError),  # of zipfile: a method it lacks, a password
    ) as error:
        raise SourceError(f"building {name}: the wheel is damaged ({error})") from error
    except OSError as error:
        # Of bzip2, and of places before the file's beginning; others are of this machine.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise SourceError(f"building {name}: the wheel is damaged ({error})") from error
    except ValueError as error:
        raise SourceError(f"building {name}: it gave no proper wheel: {error}") from error


def _members(wheel: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files by path; raises ValueError for those that no wheel may hold."""
    infos = [info for info in wheel.infolist() if not info.is_dir()]
    if len(infos) > _MAX_MEMBERS or sum(info.file_size for info in infos) > _MAX_SIZE:
        raise ValueError("it holds more than a wheel may")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        path, mode = checked_path(info.filename), info.external_attr >> 16
        if path in found or path != info.filename:
            raise ValueError(f"the path {info.filename!r} is there twice, or is not plain")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise ValueError(f"{path!r} is no regular file")
        found[path] = info
    return found


def _facts(
    file_name: str, wheel: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo], wanted: Wanted
) -> Facts:
    if not _FILE_NAME.match(file_name):
        raise ValueError(f"its name is {file_name!r}")
    try:
        name, version, _, tags = parse_wheel_filename(file_name)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise ValueError(str(error)) from error
    said_name, said_version = _metadata(wheel, infos, file_name)
    if {name, said_name} != {canonicalize_name(wanted.name)}:
        raise SourceError(
            f"building {wanted.name}: the wheel is one of {sorted({name, said_name})}",
            hint="the source is of another package; correct its name in the manifest",
        )
    if version != said_version or (wanted.version and version != Version(wanted.version)):
        raise SourceError(
            f"building {wanted.name}: the wheel is of version {said_version}, want {wanted.version}"
            if version == said_version
            else f"building {wanted.name}: the wheel is of version {version} by its name, of "
            f"{said_version} by its metadata",
            hint="run 'pixi lock' where the source's version has changed",
        )
    needs = _needs(wheel, infos)
    is_compiled = bool(needs) or any(tag.platform != "any" or _has_abi(tag) for tag in tags)
    if is_compiled and wanted.compiles is not None:
        raise _not_here(wanted, wanted.compiles)
    if not fitting_tags(tags, wanted.python, wanted.subdir):
        raise _not_here(
            wanted, f"the wheel is for {', '.join(sorted(map(str, tags)))}, which does not fit"
        )
    for path, need in needs.items():
        if need.machine != machine_of(wanted.subdir):
            raise _not_here(wanted, f"{path!r} in its wheel is for {need.machine}")
    return Facts(str(name), str(version), file_name, is_compiled, _newest(needs), _libraries(needs))


def _has_abi(tag: Tag) -> bool:
    return tag.abi != "none"


def _not_here(wanted: Wanted, reason: str) -> SourceError:
    return SourceError(
        f"building {wanted.name} for {wanted.subdir} and Python {wanted.python.short_version}: "
        f"{reason}",
        hint=f"build on a {wanted.subdir} machine with a Python "
        f"{wanted.python.short_version}, depend on a version that has a wheel, or take the "
        "package from an installed environment with --from-prefix",
    )


def _metadata(
    wheel: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo], file_name: str
) -> tuple[str, Version]:
    stem = "-".join(file_name.split("-")[:2])
    found = [path for path in infos if re.fullmatch(r"[^/]+\.dist-info/METADATA", path)]
    if len(found) != 1 or f"{found[0].split('/')[0]}/WHEEL" not in infos:
        raise ValueError(f"it has no {stem}.dist-info with METADATA and WHEEL, or two")
    if infos[found[0]].file_size > _MAX_METADATA:
        raise ValueError("its METADATA is too large")
    headers = BytesHeaderParser().parsebytes(wheel.read(infos[found[0]]))
    try:
        return canonicalize_name(str(headers["Name"])), Version(str(headers["Version"]))
    except InvalidVersion as error:
        raise ValueError(str(error)) from error


def _needs(wheel: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo]) -> dict[str, elf.Needs]:
    found = {}
    for path, info in infos.items():
        with wheel.open(info) as stream:
            if stream.read(len(elf.MAGIC)) != elf.MAGIC:
                continue
        if info.file_size > _MAX_LIBRARY:
            raise ValueError(f"the compiled file {path!r} is too large")
        try:
            found[path] = elf.read_needs(wheel.read(info))
        except ValueError as error:
            raise ValueError(f"the compiled file {path!r}: {error}") from error
    return found


def _newest(needs: dict[str, elf.Needs]) -> str | None:
    newest = max((each.glibc for each in needs.values() if each.glibc), default=None)
    return f"{newest[0]}.{newest[1]}" if newest else None


def _libraries(needs: dict[str, elf.Needs]) -> tuple[str, ...]:
    own = {path.rpartition("/")[2] for path in needs}
    return tuple(sorted({name for each in needs.values() for name in each.libraries} - own))


class _Finder:
    """Whether a file's chunks hold the path of a directory, as programs may write it."""

    def __init__(self, place: Path | None) -> None:
        self.has_found = False
        self._words = (
            () if place is None else (os.fsencode(place), os.fsencode(os.path.realpath(place)))
        )
        self._kept = max(map(len, self._words), default=0)
        self._before = b""

    def look(self, chunk: bytes) -> None:
        if not self._words or self.has_found:
            return
        text = self._before + chunk  # the path may begin in one chunk and end in the next
        self.has_found = any(word in text for word in self._words)
        self._before = text[-self._kept :]


def _write(
    wheel: zipfile.ZipFile,
    infos: dict[str, zipfile.ZipInfo],
    into: BinaryIO,
    place: Path | None,
) -> tuple[str, ...]:
    """Write the wheel; returns the files in which the place is named."""
    (record,) = (f"{path.split('/')[0]}/RECORD" for path in infos if _is_wheel_file(path))
    rows, naming = [], []
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as out:
        for path in sorted(infos):
            if path == record or path in (record.replace("RECORD", each) for each in _UNSIGNED):
                continue
            info = infos[path]
            digest, size, finder = hashlib.sha256(), 0, _Finder(place)
            executable = bool((info.external_attr >> 16) & 0o111)
            with wheel.open(info) as source, out.open(_info(path, executable, info), "w") as file:
                while chunk := source.read(BLOCK):
                    digest.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
                    finder.look(chunk)
            if finder.has_found:
                naming.append(path)
            coded = base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
            rows.append(f"{_field(path)},sha256={coded},{size}\n")
        text = "".join([*rows, f"{_field(record)},,\n"])
        out.writestr(_info(record, False), text)
    return tuple(naming)


def _is_wheel_file(path: str) -> bool:
    return re.fullmatch(r"[^/]+\.dist-info/WHEEL", path) is not None


def _info(path: str, executable: bool, like: zipfile.ZipInfo | None = None) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, _TIME)
    info.create_system = 3  # Unix, or the mode would not count
    info.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    if like is not None:
        info.file_size = like.file_size  # decides, before a byte is there, whether it is Zip64
    return info


def _field(path: str) -> str:
    """A field of RECORD, which is CSV."""
    quoted = path.replace('"', '""')
    return f'"{quoted}"' if any(each in path for each in ',"\r\n') else path
