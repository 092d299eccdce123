"""A wheel as a tree, laid out by PyPA ``installer`` for the interpreter in the image."""

from __future__ import annotations

import base64
import configparser
import errno
import hashlib
import os
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from installer import install
from installer.destinations import WheelDestination
from installer.exceptions import InstallerError
from installer.records import Hash, InvalidRecordEntry, RecordEntry, parse_record_file
from installer.scripts import InvalidScript, Script
from installer.sources import WheelFile
from installer.utils import Scheme, construct_record_file, fix_shebang

from pixi_ship.digest import BLOCK
from pixi_ship.errors import PackageError
from pixi_ship.package.archive import MAX_LIMIT, MAX_RATIO, MIN_LIMIT
from pixi_ship.prefix.ahead import Later, in_order
from pixi_ship.prefix.bytecode import MAX_SOURCE, Compiler, cache_path
from pixi_ship.prefix.layout import Placement, PrefixLayout
from pixi_ship.prefix.python import PythonInfo
from pixi_ship.tree import Entry, File, checked_path

INSTALLER = b"pixi-ship\n"
_MAX_SCRIPT = 64 << 20


@dataclass(frozen=True, slots=True)
class _Planned:
    """A file to write: a member of the wheel as it is, or bytes made for it."""

    path: str
    is_executable: bool
    size: int
    member: str | None = None
    data: bytes | None = None


class WheelTree:
    """The tree of one wheel in a prefix; implements :class:`pixi_ship.tree.Tree`."""

    def __init__(
        self, name: str, archive: Path, layout: PrefixLayout, placement: Placement
    ) -> None:
        self._name = name
        self._archive = archive
        self._layout = layout
        self._placement = placement

    def entries(self) -> Iterator[Entry]:
        """Files sorted by path, each source followed by its bytecode."""
        python = _python(self._layout, self._name)
        with _opened(self._archive, self._name) as wheel:
            planned = _plan(self._name, wheel, python, self._layout.prefix)
            kept = (each for each in planned if each.path not in self._placement.dropped)
            yield from in_order(entry for each in kept for entry in self._file(wheel, each))

    def _file(self, wheel: zipfile.ZipFile, planned: _Planned) -> Iterator[Entry | Later]:
        mode = 0o755 if planned.is_executable else 0o644
        path = self._layout.in_image(planned.path)
        compiler = self._layout.compiler
        wanted = (
            compiler is not None
            and planned.size <= MAX_SOURCE
            and self._layout.is_python_code(planned.path)
        )
        if planned.data is not None:
            yield File(path, mode, planned.size, (planned.data,))
        elif not wanted:
            yield File(path, mode, planned.size, _chunks(wheel, planned, self._name))
        else:
            source = b"".join(_chunks(wheel, planned, self._name))
            yield File(path, mode, len(source), (source,))
            if compiler is not None:
                yield self._bytecode(compiler, planned.path, source)

    def _bytecode(self, compiler: Compiler, path: str, source: bytes) -> Later:
        asked = compiler.begin(source, f"{self._layout.prefix}/{path}")
        compiled = self._layout.in_image(cache_path(path, compiler.interpreter.cache_tag))

        def entry() -> Entry | None:
            pyc = asked.get()
            return None if pyc is None else File(compiled, 0o644, len(pyc), (pyc,))

        return Later(len(source), entry)


def wheel_paths(name: str, archive: Path, layout: PrefixLayout) -> tuple[str, ...]:
    """The paths a wheel writes in the prefix, bytecode left out; reads the index only."""
    with _opened(archive, name) as wheel:
        planned = _plan(name, wheel, _python(layout, name), layout.prefix)
    return tuple(each.path for each in planned)


def _python(layout: PrefixLayout, name: str) -> PythonInfo:
    if layout.python is None:
        raise PackageError(name, "it is a wheel, and the environment has no python")
    return layout.python


@contextmanager
def _opened(path: Path, name: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as wheel:
            limit = min(max(MIN_LIMIT, path.stat().st_size * MAX_RATIO), MAX_LIMIT)
            if sum(info.file_size for info in wheel.infolist()) > limit:
                raise PackageError(
                    name, "it unpacks to more bytes than it may (a decompression bomb?)"
                )
            wheel.filename = name  # installer reads name and version from it
            yield wheel
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise PackageError(name, f"the archive is damaged ({error})") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # a zip may point before its start
            raise
        raise PackageError(name, f"the archive is damaged ({error})") from error


def _plan(name: str, wheel: zipfile.ZipFile, python: PythonInfo, prefix: str) -> list[_Planned]:
    try:
        source = WheelFile(wheel)
        recorded = {
            elements[0]: RecordEntry.from_elements(*elements)
            for elements in parse_record_file(source.read_dist_info("RECORD").splitlines())
        }
        destination = _Destination(name, wheel, recorded, python, prefix)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a wheel's __pycache__ is skipped
            install(source, destination, {"INSTALLER": INSTALLER})
    except (
        InstallerError,
        InvalidRecordEntry,
        InvalidScript,
        AssertionError,
        KeyError,
        ValueError,
        configparser.Error,
    ) as error:
        raise PackageError(name, f"it is not a valid wheel: {error}") from error
    return sorted(destination.planned.values(), key=lambda each: each.path)


class _Destination(WheelDestination):
    """Notes where ``installer`` would write each file instead of writing it."""

    def __init__(
        self,
        name: str,
        wheel: zipfile.ZipFile,
        recorded: Mapping[str, RecordEntry],
        python: PythonInfo,
        prefix: str,
    ) -> None:
        self._name = name
        self._wheel = wheel
        self._recorded = recorded
        self._interpreter = f"{prefix}/{python.executable}"
        self._schemes = {
            "purelib": python.site_packages,
            "platlib": python.site_packages,
            "scripts": "bin",
            "data": "",
            "headers": f"include/python{python.short_version}/{name.split('-')[0]}",
        }
        self.planned: dict[str, _Planned] = {}

    def write_script(
        self, name: str, module: str, attr: str, section: Literal["console", "gui"]
    ) -> RecordEntry:
        script = Script(name, module, attr, section)
        file_name, data = script.generate(self._interpreter, kind="posix")
        return self._note_data("scripts", file_name, data, is_executable=True)

    def write_file(
        self,
        scheme: Scheme,
        path: str | os.PathLike[str],
        stream: BinaryIO,
        is_executable: bool,
    ) -> RecordEntry:
        path = os.fspath(path)
        member = getattr(stream, "name", None)
        if scheme == "scripts":
            with fix_shebang(stream, self._interpreter) as fixed:
                data = fixed.read(_MAX_SCRIPT + 1)
            if len(data) > _MAX_SCRIPT:
                raise PackageError(self._name, f"the script {path!r} is too large")
            # As uv has it, whatever the archive says: it is a program.
            return self._note_data(scheme, path, data, is_executable=True)
        if not isinstance(member, str):  # made by installer: INSTALLER and the like
            return self._note_data(scheme, path, stream.read(), is_executable=is_executable)
        target = self._target(scheme, path)
        size = self._wheel.getinfo(member).file_size
        self.planned[target] = _Planned(target, is_executable, size, member=member)
        # What the wheel says of its member; the archive's own digest vouches for the bytes.
        row = self._recorded.get(member)
        return RecordEntry(path, row.hash_ if row else None, size)

    def finalize_installation(
        self,
        scheme: Scheme,
        record_file_path: str,
        records: Iterable[tuple[Scheme, RecordEntry]],
    ) -> None:
        def prefix_of(of: Scheme) -> str | None:
            if self._schemes[of] == self._schemes[scheme]:
                return None
            depth = self._schemes[scheme].count("/") + 1
            return "../" * depth + (f"{self._schemes[of]}/" if self._schemes[of] else "")

        with construct_record_file(records, prefix_of) as stream:
            data = stream.read()
        target = self._target(scheme, record_file_path)
        self.planned[target] = _Planned(target, False, len(data), data=data)

    def _note_data(
        self, scheme: str, path: str, data: bytes, *, is_executable: bool
    ) -> RecordEntry:
        target = self._target(scheme, path)
        self.planned[target] = _Planned(target, is_executable, len(data), data=data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        return RecordEntry(path, Hash("sha256", digest), len(data))

    def _target(self, scheme: str, path: str) -> str:
        base = self._schemes[scheme]
        target = f"{base}/{checked_path(path)}" if base else checked_path(path)
        if target in self.planned:
            raise PackageError(self._name, f"it writes {target!r} twice")
        return target


def _chunks(wheel: zipfile.ZipFile, planned: _Planned, name: str) -> Iterator[bytes]:
    if planned.member is None:
        return
    try:
        with wheel.open(planned.member) as stream:
            while chunk := stream.read(BLOCK):
                yield chunk
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise PackageError(name, f"{planned.member!r} is damaged ({error})") from error
