"""An installed Python distribution as a wheel again, from what its RECORD lists.

    <site-packages>/…          as it lies
    bin/…                      NAME.data/scripts/…, less those of entry_points.txt
    anything else              NAME.data/data/…

Left out is what installers write besides: their own notes, bytecode, scripts of entry points.
Source: packaging.python.org, "Recording installed projects" and "Binary distribution format".
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import json
import posixpath
import re
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from typing import BinaryIO

from packaging.utils import canonicalize_name

from pixi_ship.digest import BLOCK
from pixi_ship.errors import PackageError
from pixi_ship.repack.file import Changed, Search
from pixi_ship.repack.prefix import InstalledPrefix
from pixi_ship.tree import checked_path, readable_mode

_MAX_DOCUMENT = 256 << 20  # bytes of a RECORD
_MAX_SCRIPT = 64 << 20  # bytes read at once of a script, whose first lines are restored
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest there is
# What pip, uv and Pixi write beside what they install.
_NOTES = frozenset(
    {
        "INSTALLER",
        "RECORD",
        "RECORD.jws",
        "RECORD.p7s",
        "REQUESTED",
        "direct_url.json",
        "uv_build.json",
        "uv_cache.json",
    }
)
_WORD = re.compile(r"[A-Za-z0-9_.!+]+\Z")
# One line, or the two by which a path that is too long for one gets to Python (pip, uv).
_SHEBANG = re.compile(
    rb"#!(?P<direct>/[^\n]*/python[0-9.]*)[ ]*(?=\n|\Z)"
    rb"|#!/bin/sh\n'''exec' [\"']?(?P<path>/[^\"'\n]+/python[0-9.]*)[\"']? "
    rb"\"\$0\" \"\$@\"\n' '''(?=\n|\Z)"
)
_HINT = (
    "it was changed after it was installed: "
    "run 'pixi clean' and 'pixi install --locked', then the same again"
)


@dataclass(frozen=True, slots=True)
class InstalledWheel:
    """An installed distribution; ``stem`` is NAME-VERSION as its directories spell them."""

    name: str
    version: str
    stem: str
    tags: tuple[str, ...]
    site_packages: str
    is_editable: bool

    @property
    def dist_info(self) -> str:
        """Its metadata directory, below site-packages."""
        return f"{self.stem}.dist-info"

    @property
    def file_name(self) -> str:
        """The wheel's name, with tags of several kinds compressed into one."""
        parts = [tag.split("-") for tag in self.tags]
        words = [".".join(dict.fromkeys(column)) for column in zip(*parts, strict=True)]
        return f"{self.stem}-{'-'.join(words)}.whl"


@dataclass(frozen=True, slots=True)
class _Member:
    """A file of a wheel, its path in the prefix, and its digest as RECORD has it."""

    name: str
    path: str
    digest: str | None


def find_wheels(
    prefix: InstalledPrefix, site_packages: str, names: Collection[str]
) -> dict[str, InstalledWheel]:
    """The distributions of a prefix by their normalized names, of those that are asked for.

    Raises PackageError where one is there twice, or cannot be read.
    """
    found: dict[str, InstalledWheel] = {}
    for directory in prefix.names(site_packages):
        stem = directory.removesuffix(".dist-info")
        if stem == directory or canonicalize_name(stem.partition("-")[0]) not in names:
            continue
        if not prefix.exists(f"{site_packages}/{directory}/RECORD"):
            continue
        wheel = _installed(prefix, site_packages, stem)
        if wheel is None:
            continue
        if wheel.name in found:
            raise PackageError(str(prefix), f"it holds {wheel.name!r} twice in {site_packages!r}")
        found[wheel.name] = wheel
    return found


def _installed(prefix: InstalledPrefix, site_packages: str, stem: str) -> InstalledWheel | None:
    """None for what conda or an old installer put there: it has no WHEEL or other names."""
    name, _, version = stem.partition("-")
    base = f"{site_packages}/{stem}.dist-info"
    if not _WORD.match(name) or not _WORD.match(version) or not prefix.exists(f"{base}/WHEEL"):
        return None
    headers = BytesHeaderParser().parsebytes(prefix.read(f"{base}/WHEEL", _MAX_DOCUMENT))
    tags = tuple(str(tag).strip() for tag in headers.get_all("Tag", ()))
    if not tags or any(tag.count("-") != 2 or "/" in tag for tag in tags):
        return None
    editable = False
    if prefix.exists(f"{base}/direct_url.json"):
        try:
            origin = json.loads(prefix.read(f"{base}/direct_url.json", _MAX_DOCUMENT))
            editable = bool(origin.get("dir_info", {}).get("editable"))
        except (ValueError, AttributeError, RecursionError) as error:
            raise PackageError(stem, f"its direct_url.json cannot be used: {error}") from error
    return InstalledWheel(canonicalize_name(name), version, stem, tags, site_packages, editable)


def repack_wheel(wheel: InstalledWheel, prefix: InstalledPrefix, out: BinaryIO) -> tuple[str, ...]:
    """Write the wheel of an installed distribution, its members stored and sorted.

    Returns the members that hold the path of the prefix: nothing relocates those. Raises
    PackageError where a file is missing, is not what RECORD says, or cannot be taken without
    leaving the prefix.
    """
    members = sorted(_members(wheel, prefix), key=lambda each: (each.name, each.path))
    record: list[tuple[str, str, str]] = []
    fixed: list[str] = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            search = Search(prefix.origins)
            record.append(_add(archive, wheel, member, prefix, search))
            fixed += [member.name] if search.found else []
        name = f"{wheel.dist_info}/RECORD"
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*record, (name, "", "")])
        archive.writestr(_info(name, 0o644), text.getvalue())
    return tuple(fixed)


def _members(wheel: InstalledWheel, prefix: InstalledPrefix) -> Iterator[_Member]:
    base = f"{wheel.site_packages}/{wheel.dist_info}"
    text = prefix.read(f"{base}/RECORD", _MAX_DOCUMENT).decode("utf-8", "strict")
    commands = _commands(wheel, prefix)
    seen = set()
    for row in csv.reader(io.StringIO(text)):
        if not row:
            continue
        path = _path(wheel, row[0])
        is_note = posixpath.dirname(path) == base and posixpath.basename(path) in _NOTES
        if is_note or path.endswith(".pyc") or path in commands or path in seen:
            continue
        seen.add(path)
        digest = row[1].removeprefix("sha256=") if len(row) > 1 and row[1] else None
        if path.startswith(f"{wheel.site_packages}/"):
            name = path.removeprefix(f"{wheel.site_packages}/")
        elif path.startswith("bin/"):
            name = f"{wheel.stem}.data/scripts/{path.removeprefix('bin/')}"
        else:
            name = f"{wheel.stem}.data/data/{path}"
        yield _Member(name, path, digest)


def _path(wheel: InstalledWheel, row: str) -> str:
    """A row of RECORD as a path of the prefix."""
    try:
        if row.startswith("/"):
            raise ValueError(f"absolute path {row!r}")
        return checked_path(posixpath.normpath(f"{wheel.site_packages}/{row}"))
    except ValueError as error:
        raise PackageError(wheel.stem, f"its RECORD cannot be used: {error}") from None


def _commands(wheel: InstalledWheel, prefix: InstalledPrefix) -> set[str]:
    """The scripts that installers make of entry points."""
    path = f"{wheel.site_packages}/{wheel.dist_info}/entry_points.txt"
    if not prefix.exists(path):
        return set()
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(prefix.read(path, _MAX_DOCUMENT).decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        raise PackageError(wheel.stem, f"its entry_points.txt cannot be used: {error}") from error
    sections = [name for name in ("console_scripts", "gui_scripts") if parser.has_section(name)]
    return {f"bin/{command}" for section in sections for command in parser.options(section)}


def _add(
    archive: zipfile.ZipFile,
    wheel: InstalledWheel,
    member: _Member,
    prefix: InstalledPrefix,
    search: Search,
) -> tuple[str, str, str]:
    """Copy a file into the wheel, through the search; returns its row of RECORD."""
    path, is_script = member.path, member.name.startswith(f"{wheel.stem}.data/scripts/")
    installed, packed, size = hashlib.sha256(), hashlib.sha256(), 0
    try:
        with prefix.open(path) as (file, facts):
            info = _info(member.name, readable_mode(facts.st_mode))
            with archive.open(info, "w", force_zip64=True) as out:
                while block := file.read(_MAX_SCRIPT if is_script else BLOCK):
                    installed.update(block)
                    data = _as_built(block, prefix) if is_script and not size else block
                    packed.update(data)
                    search.take(data)
                    size += out.write(data)
    except FileNotFoundError:
        raise Changed(wheel.stem, f"{path!r} is not in {prefix}", hint=_HINT) from None
    found = _encoded(installed.digest())
    if member.digest is not None and member.digest.rstrip("=") != found:
        raise Changed(
            wheel.stem,
            f"{path!r} in {prefix} is not what was installed: "
            f"sha256 is {found}, RECORD says {member.digest}",
            hint=_HINT,
        )
    return member.name, f"sha256={_encoded(packed.digest())}", str(size)


def _as_built(script: bytes, prefix: InstalledPrefix) -> bytes:
    """A script with ``#!python`` again, which installers replace by the prefix's own."""
    matched = _SHEBANG.match(script)
    if matched is None:
        return script
    interpreter = matched["direct"] or matched["path"]
    places = [f"{origin}/bin/".encode() for origin in prefix.origins]
    if not any(interpreter.startswith(place) for place in places):
        return script
    return b"#!python" + script[matched.end() :]


def _encoded(digest: bytes) -> str:
    """A sha256 as RECORD writes it: base64 for URLs, without padding (PEP 376, PEP 427)."""
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _info(name: str, mode: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _ZIP_DATE)
    member.external_attr = (0o100000 | mode) << 16
    return member
