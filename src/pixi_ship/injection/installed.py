"""What no archive of the lock can give, taken out of an environment that Pixi installed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from packaging.utils import canonicalize_name

from pixi_ship.cache import Cache
from pixi_ship.digest import digest_file
from pixi_ship.injection.fit import InjectionError, listed
from pixi_ship.injection.given import conda_package, described
from pixi_ship.lock.model import (
    CondaPackage,
    LockedEnvironment,
    LockedPackage,
    Obstacle,
)
from pixi_ship.prefix.python import PythonInfo
from pixi_ship.repack.conda import repack_conda
from pixi_ship.repack.prefix import InstalledPrefix
from pixi_ship.repack.record import InstalledRecord, read_records
from pixi_ship.repack.wheel import InstalledWheel, find_wheels, repack_wheel


def installed_packages(
    environment: LockedEnvironment,
    root: Path,
    cache: Cache,
    given: Sequence[LockedPackage],
    *,
    write: bool,
) -> tuple[list[LockedPackage], list[str]]:
    """Repack the packages of a prefix that the lock has no archive for; returns notes as well.

    environment: with ``given`` in it, which the prefix need not hold. root: an absolute path.
    Raises InjectionError where the prefix is not the locked environment, PackageError where a
    file of a package is not as it was installed.
    """
    names = sorted(
        {each.name for each in environment.unbuildable if each.obstacle is Obstacle.CONDA_SOURCE}
    )
    with InstalledPrefix.opened(root) as prefix:
        records = read_records(prefix)
        _check_same(environment, records, prefix, names, {str(each) for each in given})
        python = _python(records)
        wheels, notes = _wheels(environment, prefix, python)
        site_packages = python.site_packages if python else None

        def conda(record: InstalledRecord) -> LockedPackage:
            def pack(out: BinaryIO) -> None:
                repack_conda(record, prefix, site_packages, out)

            return _stored(f"{record}.conda", pack, cache, write=write)

        def pypi(wheel: InstalledWheel) -> LockedPackage:
            def pack(out: BinaryIO) -> None:
                for member in repack_wheel(wheel, prefix, out):
                    notes.append(
                        f"{member!r} of {wheel.file_name} holds the path {prefix.root}, or where "
                        "that was installed, which is nowhere in the image"
                    )

            return _stored(wheel.file_name, pack, cache, write=write)

        return [*(conda(records[name]) for name in names), *map(pypi, wheels)], notes


def _stored(
    name: str, pack: Callable[[BinaryIO], None], cache: Cache, *, write: bool
) -> LockedPackage:
    with _scratch(cache, write=write) as file:
        pack(file)
        file.flush()
        path = Path(file.name)
        sha256 = digest_file(path).hex
        package = described(path, name, sha256)
        if write:
            cache.keep(file, cache.archive(sha256))
    return package


@contextmanager
def _scratch(cache: Cache, *, write: bool) -> Iterator[BinaryIO]:
    """A file to write an archive to: in the cache, or nowhere for long."""
    if write:
        with cache.temporary() as file:
            yield file
    else:
        with tempfile.NamedTemporaryFile() as other:
            yield other  # type: ignore[misc]


def _python(records: Mapping[str, InstalledRecord]) -> PythonInfo | None:
    record = records.get("python")
    if record is None:
        return None
    return PythonInfo.of(conda_package(record.index, str(record), ".conda", "", 0))


def _check_same(
    environment: LockedEnvironment,
    records: Mapping[str, InstalledRecord],
    prefix: InstalledPrefix,
    sources: Sequence[str],
    given: set[str],
) -> None:
    """Raise InjectionError where the prefix holds other packages than the lock."""
    if not records:
        raise InjectionError(
            f"{prefix} is no conda environment: it holds no record in conda-meta",
            hint="name the directory that Pixi installed to, such as .pixi/envs/default",
        )
    rows = [*_other_archives(environment.conda, records, given)]
    rows += [f"{name}: locked, but not installed" for name in sources if name not in records]
    locked = {*sources, *(each.name for each in environment.conda)}
    rows += [
        f"{record}: installed, but not locked"
        for name, record in sorted(records.items())
        if name not in locked
    ]
    subdir = environment.platform.subdir
    rows += [
        f"{record}: installed for {record.subdir}, want {subdir}"
        for _, record in sorted(records.items())
        if record.subdir not in (subdir, "noarch")
    ]
    if rows:
        raise InjectionError(
            f"{prefix} is not the locked environment {environment.name!r}:\n" + listed(rows),
            hint=f"bring it up to date with 'pixi install --locked -e {environment.name}'",
        )


def _other_archives(
    packages: Sequence[CondaPackage], records: Mapping[str, InstalledRecord], given: set[str]
) -> Iterator[str]:
    for package in packages:
        if str(package) in given:
            continue
        want = f"{package.name}-{package.version}-{package.build}"
        record = records.get(package.name)
        if record is None:
            yield f"{want}: locked, but not installed"
        elif str(record) != want:
            yield f"{want}: locked, {record} is installed"


def _wheels(
    environment: LockedEnvironment, prefix: InstalledPrefix, python: PythonInfo | None
) -> tuple[list[InstalledWheel], list[str]]:
    """The locked sources of PyPI that are installed, and not as a mere pointer to their source."""
    if python is None or not environment.sources:
        return [], []
    names = {canonicalize_name(each.name) for each in environment.sources}
    installed = find_wheels(prefix, python.site_packages, names)
    found, notes = [], []
    for source in environment.sources:
        wheel = installed.get(canonicalize_name(source.name))
        if wheel is None:
            notes.append(f"{source.name} is not installed in {prefix.root}: built from its source")
        elif wheel.is_editable:
            notes.append(f"{source.name} is installed editable: built from its source")
        elif source.version is not None and wheel.version != source.version:
            raise InjectionError(
                f"{prefix} holds {source.name} {wheel.version}, the lock {source.version}",
                hint=f"bring it up to date with 'pixi install --locked -e {environment.name}'",
            )
        else:
            found.append(wheel)
    return found, notes
