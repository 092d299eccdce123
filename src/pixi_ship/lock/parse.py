"""Read ``pixi.lock`` (versions 1 to 7) through py-rattler into :mod:`~pixi_ship.lock.model`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import rattler
from rattler.exceptions import ParseCondaLockError

from pixi_ship.errors import LockError, UsageError
from pixi_ship.lock.model import (
    CondaPackage,
    LockedEnvironment,
    LockedPlatform,
    Obstacle,
    PypiPackage,
    PypiSource,
    SourceKind,
    Unbuildable,
)
from pixi_ship.platform import is_shippable

MAX_LOCK_BYTES = 256 << 20
_MAX_DEPTH = 500
_NOT_OF_A_BUILD = re.compile(r"[^A-Za-z0-9_.+]")  # CEP 26
_BRACKET = re.compile(rb"[\[\]{}]")
_GIT_LFS = b"version https://git-lfs.github.com/spec"
_CONFLICT = b"<<<<<<< "
_SDIST_SUFFIXES = (".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")


class LockFile:
    """A parsed lock: which environments and platforms it holds, and their packages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _parse(path)
        self._environments = dict(self._lock.environments())

    @property
    def environment_names(self) -> tuple[str, ...]:
        """The environments of the lock, ``default`` first, then by name."""
        return tuple(sorted(self._environments, key=lambda name: (name != "default", name)))

    def platforms(self, environment: str) -> tuple[LockedPlatform, ...]:
        """The platforms an environment is locked for, by name."""
        found = self._environments[environment].platforms()
        return tuple(sorted((_platform(each) for each in found), key=lambda each: each.name))

    def environment(self, name: str, platform: LockedPlatform) -> LockedEnvironment:
        """The packages of an environment on one of its platforms."""
        environment = self._environments[name]
        key = next(each for each in environment.platforms() if each.name == platform.name)
        return _environment(name, platform, environment, environment.packages(key) or [])


def choose(lock: LockFile, name: str, platform: str) -> LockedEnvironment:
    """Pick an environment by name, and its packages by platform name or conda subdir.

    A platform *name* wins over a subdir. Where several locked platforms share the subdir
    and none bears its name, UsageError lists them: a guess could be the CPU variant.
    """
    if name not in lock.environment_names:
        raise UsageError(
            f"environment {name!r} is not in {lock.path}",
            hint=f"locked environments: {', '.join(lock.environment_names) or 'none'}",
        )
    platforms = lock.platforms(name)
    named = [each for each in platforms if each.name == platform]
    matching = named or [each for each in platforms if each.subdir == platform]
    if len(matching) == 1:
        return lock.environment(name, matching[0])
    if matching:
        raise UsageError(
            f"environment {name!r} is locked for several platforms of subdir {platform!r}",
            hint=f"choose one by name with --platform: {_listing(matching)}",
        )
    shippable = [each for each in platforms if is_shippable(each.subdir)]
    raise UsageError(
        f"environment {name!r} is not locked for platform {platform!r}",
        hint=f"locked Linux platforms: {_listing(shippable)}; "
        "add the platform to the manifest and run 'pixi lock'"
        if not shippable
        else f"locked Linux platforms, for --platform: {_listing(shippable)}",
    )


def _listing(platforms: Iterable[LockedPlatform]) -> str:
    words = [
        each.name if each.name == each.subdir else f"{each.name} ({each.subdir})"
        for each in platforms
    ]
    return ", ".join(words) or "none"


def _depth(text: bytes) -> int:
    """How deep brackets nest, those in strings counted too: parsers take quadratic time there."""
    depth = deepest = 0
    for found in _BRACKET.finditer(text):
        depth = depth + 1 if found[0] in (b"[", b"{") else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def _parse(path: Path) -> rattler.LockFile:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_LOCK_BYTES + 1)
    except FileNotFoundError:
        raise LockError(f"there is no lock at {path}", hint="run 'pixi lock'") from None
    except OSError as error:
        raise LockError(f"reading {path}: {error.strerror}") from error
    if _depth(text) > _MAX_DEPTH:
        raise LockError(f"reading {path}: its brackets nest deeper than those of any lock")
    if problem := _not_a_lock(text):
        raise LockError(f"reading {path}: {problem[0]}", hint=problem[1])
    try:
        return rattler.LockFile.from_path(path)
    except ParseCondaLockError as error:
        sentence = " ".join(str(error).split())
        raise LockError(
            f"reading {path}: {sentence}",
            hint="pixi-ship reads lock versions 1 to 7; run 'pixi lock' to write the lock anew",
        ) from error


def _not_a_lock(text: bytes) -> tuple[str, str] | None:
    if len(text) > MAX_LOCK_BYTES:
        return f"more than {MAX_LOCK_BYTES >> 20} MiB is no lock", "run 'pixi lock'"
    if not text.strip():
        return "the file is empty", "run 'pixi lock'"
    if text.startswith(_GIT_LFS):
        return "this is a Git LFS pointer, not the lock itself", "run 'git lfs pull'"
    if any(line.startswith(_CONFLICT) for line in text.splitlines()):
        return (
            "it holds merge conflict markers ('<<<<<<<')",
            "resolve the conflict, or take one side and run 'pixi lock'",
        )
    if text.count(b"\n") <= 1 and b":" not in text:
        target = text.decode("utf-8", "replace").strip()
        return f"it holds only {target!r}, a symlink checked out as text", "check the link out"
    return None


def _platform(platform: rattler.LockPlatform) -> LockedPlatform:
    return LockedPlatform(
        platform.name, str(platform.subdir), tuple(sorted(platform.virtual_packages))
    )


def _environment(
    name: str,
    platform: LockedPlatform,
    environment: rattler.Environment,
    packages: Sequence[rattler.LockedPackage],
) -> LockedEnvironment:
    archives: list[rattler.CondaLockedBinaryPackage] = []
    wheels: dict[str, PypiPackage] = {}
    sources: dict[str, PypiSource] = {}
    unbuildable: list[Unbuildable] = []
    for package in packages:
        if isinstance(package, rattler.CondaLockedBinaryPackage):
            archives.append(package)
        elif isinstance(package, rattler.PypiLockedPackage):
            found = _pypi(package)
            if isinstance(found, PypiPackage):
                wheels[found.location] = found
            else:
                sources[found.location] = found
        else:
            unbuildable.append(Unbuildable(package.name, package.location, Obstacle.CONDA_SOURCE))
    conda = link_order(_conda(archive) for archive in archives)
    if not any(package.name == "python" for package in conda):
        python_code: list[PypiPackage | PypiSource] = [*wheels.values(), *sources.values()]
        unbuildable.extend(
            Unbuildable(each.name, each.location, Obstacle.NO_PYTHON) for each in python_code
        )
    return LockedEnvironment(
        name=name,
        platform=platform,
        channels=tuple(str(channel) for channel in environment.channels()),
        conda=conda,
        pypi=tuple(sorted(wheels.values(), key=lambda wheel: (wheel.name, wheel.location))),
        sources=tuple(sorted(sources.values(), key=lambda each: (each.name, each.location))),
        unbuildable=tuple(sorted(unbuildable, key=lambda each: (each.name, each.location))),
    )


def link_order(packages: Iterable[CondaPackage]) -> tuple[CondaPackage, ...]:
    """Sort packages as rattler links them; of several with one name the last counts."""
    # Rattler lets the package that comes last in this order win a clobbered path
    # (rattler, install/clobber_registry.rs), so the order is part of the result. Locks v4
    # and v5 can list one archive twice; the order wants unique names.
    unique = {package.name: package for package in packages}
    records = [package_record(package) for package in unique.values()]
    ordered = rattler.PackageRecord.sort_topologically(records)
    return tuple(unique[record.name.normalized] for record in ordered)


def package_record(package: CondaPackage) -> rattler.PackageRecord:
    """What py-rattler sorts packages and matches specs by."""
    number, noarch = package.metadata.get("build_number"), package.metadata.get("noarch")
    return rattler.PackageRecord(
        name=package.name,
        version=rattler.VersionWithSource(package.version),
        # Locks may hold builds that py-rattler reads, but does not make.
        build=rattler.BuildString(_NOT_OF_A_BUILD.sub("_", package.build) or "_"),
        build_number=number if isinstance(number, int) else 0,
        subdir=package.subdir,
        noarch="python" if noarch == "python" else "generic" if noarch else None,
        depends=list(package.depends),
        constrains=list(package.constrains),
    )


def _conda(archive: rattler.CondaLockedBinaryPackage) -> CondaPackage:
    record = archive.repo_data_record()
    return CondaPackage(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        subdir=record.subdir,
        location=archive.location,
        file_name=record.file_name,
        size=record.size,
        sha256=record.sha256.hex() if record.sha256 else None,
        md5=record.md5.hex() if record.md5 else None,
        depends=tuple(record.depends),
        constrains=tuple(record.constrains),
        site_packages_path=record.python_site_packages_path,
        metadata=json.loads(record.to_json()),
    )


def _pypi(package: rattler.PypiLockedPackage) -> PypiPackage | PypiSource:
    location = package.location
    if location.startswith(("git+", "git:")):
        return _source(package, SourceKind.GIT, location)
    url, _, fragment = location.removeprefix("direct+").partition("#")
    path = unquote(urlsplit(url).path) if "://" in url else url
    file_name = path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    sha256 = _sha256(package, fragment)
    if file_name.endswith(".whl"):
        return PypiPackage(
            name=package.name,
            version=package.version,
            location=url,
            file_name=file_name,
            sha256=sha256,
        )
    if not file_name.endswith(_SDIST_SUFFIXES):
        return _source(package, SourceKind.DIRECTORY, url)
    return replace(_source(package, SourceKind.SDIST, url), file_name=file_name, sha256=sha256)


def _source(package: rattler.PypiLockedPackage, kind: SourceKind, location: str) -> PypiSource:
    return PypiSource(
        name=package.name,
        # What py-rattler says where the lock has none.
        version=None if package.version == "<dynamic>" else package.version,
        kind=kind,
        location=location,
        requires_dist=tuple(str(each) for each in package.requires_dist),
        requires_python=package.requires_python,
    )


def _sha256(package: rattler.PypiLockedPackage, fragment: str) -> str | None:
    try:
        hashes = package.hashes
        digest = hashes.sha256 if hashes else None
    except AttributeError:  # py-rattler 0.28 wraps "no hashes" in an object without any
        digest = None
    if digest:
        return digest.hex()
    algorithm, _, value = fragment.partition("=")
    return value if algorithm == "sha256" else None
