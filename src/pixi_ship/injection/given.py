"""Archives on this machine as packages that an environment can hold."""

from __future__ import annotations

import json
import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from email.message import Message
from email.parser import BytesHeaderParser
from pathlib import Path

from packaging.utils import canonicalize_name
from rattler.exceptions import InvalidPackageNameError, InvalidVersionError

from pixi_ship.cache import Cache
from pixi_ship.digest import copy_hashing, digest_file
from pixi_ship.errors import PackageError, UsageError
from pixi_ship.fetch.archives import MAX_ARCHIVE
from pixi_ship.injection.requires import WheelRequires
from pixi_ship.lock.model import CondaPackage, LockedPackage, PypiPackage
from pixi_ship.lock.parse import package_record
from pixi_ship.package.archive import CondaArchive

_MAX_METADATA = 16 << 20  # bytes of index.json, or of a wheel's METADATA
_CONDA = (".conda", ".tar.bz2")
_WHEEL = re.compile(r"(?P<name>[^-/]+)-(?P<version>[^-/]+)(-\d[^-/]*)?(-[^-/]+){3}\.whl\Z")
# What stands in a file name, where ``-`` separates the three (conda, CEP 26).
_CONDA_NAME = re.compile(r"[a-z0-9_.][a-z0-9_.-]*\Z")
_CONDA_WORD = re.compile(r"[A-Za-z0-9_.!+~]+\Z")
# The fields of a repodata record (rattler, ``PackageRecord``) that an archive tells of itself.
_TEXTS = (
    "arch",
    "features",
    "license",
    "license_family",
    "platform",
    "python_site_packages_path",
    "track_features",
)
_LISTS = ("constrains", "depends", "flags")


def given_package(path: Path, cache: Cache, *, write: bool) -> LockedPackage:
    """The package that an archive is, by what it says of itself.

    path: a ``.conda``, ``.tar.bz2`` or ``.whl``. write: put the archive into the cache, where
    :class:`~pixi_ship.fetch.archives.Archives` finds it by its digest. ``location`` is the file
    name only, so that nothing of this machine gets into an image. Raises UsageError for what is
    no such file, PackageError for a damaged one.
    """
    if not path.name.endswith((*_CONDA, ".whl")):
        raise UsageError(
            f"{path.name} is not a package", hint="want NAME.conda, NAME.tar.bz2 or NAME.whl"
        )
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise UsageError(f"{path} is not a file", hint="name the archive of a package")
        if facts.st_size > MAX_ARCHIVE:
            raise UsageError(f"{path} has {facts.st_size} bytes, more than an archive may have")
        sha256 = kept(path, cache) if write else digest_file(path).hex
    except OSError as error:
        raise UsageError(
            f"reading {path}: {error.strerror}", hint="name the archive of a package"
        ) from error
    archive = cache.archive(sha256) if write else path
    return described(archive, path.name, sha256)


def described(archive: Path, name: str, sha256: str) -> LockedPackage:
    """The package that an archive is; ``name`` is what it is called, ``sha256`` its digest."""
    size = archive.stat().st_size
    if name.endswith(".whl"):
        return _wheel(archive, name, sha256, size)
    suffix = next(each for each in _CONDA if name.endswith(each))
    return conda_package(_index(archive, name), name, suffix, sha256, size)


def kept(path: Path, cache: Cache) -> str:
    """Copy a file into the cache's archives; returns its sha256 in hex."""
    with path.open("rb") as source, cache.temporary() as file:
        digest, _ = copy_hashing(source, file.write)
        cache.keep(file, cache.archive(digest.hex))
    return digest.hex


def _index(archive: Path, name: str) -> Mapping[str, object]:
    opened = CondaArchive(archive, name)
    with opened.info() as members:
        for member in members:
            if member.name.removeprefix("./") == "info/index.json" and member.kind == "file":
                if member.size > _MAX_METADATA:
                    raise PackageError(name, f"info/index.json has {member.size} bytes")
                text = member.read()
                break
        else:
            raise PackageError(name, "there is no info/index.json")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackageError(name, f"info/index.json is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise PackageError(name, "info/index.json is not a JSON object")
    return found


def conda_package(
    index: Mapping[str, object], called: str, suffix: str, sha256: str, size: int
) -> CondaPackage:
    """The package that an ``index.json`` is of; raises PackageError, which names ``called``."""
    try:
        metadata = _repodata(index)
        name, version, build = (str(metadata[key]) for key in ("name", "version", "build"))
        file_name = f"{name}-{version}-{build}{suffix}"
        site_packages = metadata.get("python_site_packages_path")
        package = CondaPackage(
            name=name,
            version=version,
            build=build,
            subdir=str(metadata["subdir"]),
            location=file_name,
            file_name=file_name,
            size=size,
            sha256=sha256,
            md5=None,
            depends=_texts(metadata, "depends"),
            constrains=_texts(metadata, "constrains"),
            site_packages_path=None if site_packages is None else str(site_packages),
            metadata={**metadata, "sha256": sha256, "size": size},
        )
        package_record(package)
    except (ValueError, TypeError, InvalidPackageNameError, InvalidVersionError) as error:
        raise PackageError(called, f"its info/index.json cannot be used: {error}") from error
    return package


def _repodata(index: Mapping[str, object]) -> dict[str, object]:
    """What a channel's index would say of an archive; raises ValueError."""
    number = index.get("build_number", 0)
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"build_number is {number!r}")
    found: dict[str, object] = {"build_number": number}
    for key, pattern in (("name", _CONDA_NAME), ("version", _CONDA_WORD), ("build", _CONDA_WORD)):
        value = index.get(key)
        if not isinstance(value, str) or not pattern.match(value):
            raise ValueError(f"{key} is {value!r}")
        found[key] = value
    noarch = index.get("noarch")
    if noarch:
        found["noarch"] = "python" if noarch == "python" else "generic"
    subdir = index.get("subdir") or ("noarch" if noarch else None)
    if not isinstance(subdir, str):
        raise ValueError("it does not say its subdir")
    found["subdir"] = subdir
    found |= {key: index[key] for key in _TEXTS if isinstance(index.get(key), str)}
    found |= {key: list(rows) for key in _LISTS if (rows := _texts(index, key))}
    found.setdefault("depends", [])
    if isinstance(index.get("timestamp"), int):
        found["timestamp"] = index["timestamp"]
    return dict(sorted(found.items()))


def _texts(mapping: Mapping[str, object], key: str) -> tuple[str, ...]:
    rows = mapping.get(key) or ()
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, str) for row in rows):
        raise ValueError(f"{key} is not a list of texts")
    return tuple(str(row) for row in rows)


def _wheel(archive: Path, file_name: str, sha256: str, size: int) -> PypiPackage:
    matched = _WHEEL.match(file_name)
    if not matched:
        raise PackageError(
            file_name,
            "its name is not that of a wheel",
            hint="keep the name it was built with: NAME-VERSION-PYTHON-ABI-PLATFORM.whl",
        )
    name, version = matched["name"], matched["version"]
    found = str(_wheel_metadata(archive, file_name, name, version)["Name"] or "")
    if canonicalize_name(found) != canonicalize_name(name):
        raise PackageError(file_name, f"its METADATA names {found!r}")
    return PypiPackage(
        name=canonicalize_name(name),
        version=version,
        location=file_name,
        file_name=file_name,
        sha256=sha256,
        size=size,
    )


def wheel_requires(package: PypiPackage, path: Path, cache: Cache, *, write: bool) -> WheelRequires:
    """What a wheel that :func:`given_package` took requires; its arguments are the same."""
    archive = cache.archive(package.sha256) if write and package.sha256 else path
    matched = _WHEEL.match(package.file_name)
    if not matched:
        raise PackageError(package.file_name, "its name is not that of a wheel")
    return WheelRequires.of(
        _wheel_metadata(archive, package.file_name, matched["name"], matched["version"])
    )


def _wheel_metadata(archive: Path, file_name: str, name: str, version: str) -> Message:
    """What a wheel says of itself."""
    member = f"{name}-{version}.dist-info/METADATA"
    try:
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as file:
            text = file.read(_MAX_METADATA + 1)
    except KeyError:
        raise PackageError(file_name, f"there is no {member}") from None
    except (
        *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError),
        *(NotImplementedError, RuntimeError),  # of zipfile: a method it lacks, a password
    ) as error:
        raise PackageError(file_name, f"the archive is damaged ({error})") from error
    if len(text) > _MAX_METADATA:
        raise PackageError(file_name, f"{member} has more than {_MAX_METADATA} bytes")
    return BytesHeaderParser().parsebytes(text)
