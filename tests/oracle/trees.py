"""Two ways to the same prefix: rattler links packages to disk, ours makes a tar of them."""

from __future__ import annotations

import asyncio
import json
import stat
import tarfile
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import rattler
from rattler import LockFile as RattlerLock
from rattler import RepoDataRecord, Subdir
from rattler.lock import LockChannel, LockPlatform

from pixi_ship.layer.tar import TarWriter
from pixi_ship.lock.model import CondaPackage, LockedEnvironment
from pixi_ship.lock.parse import LockFile
from pixi_ship.package.archive import CondaArchive
from pixi_ship.package.metadata import read_metadata
from pixi_ship.prefix.bytecode import Compiler
from pixi_ship.prefix.conda import CondaTree, installed_paths
from pixi_ship.prefix.layout import PrefixLayout
from pixi_ship.prefix.merge import merge
from pixi_ship.prefix.python import PythonInfo

PREFIX = "/app/.pixi/envs/default"
ATTEMPTS = 5  # rattler links concurrently and can lose a race over a file and a directory


@dataclass(frozen=True)
class Node:
    """What is at one path; `record` is the document of a file in `conda-meta`."""

    kind: str
    mode: int = 0
    content: bytes = b""
    target: str = ""
    record: Any = None


Prefix = dict[str, Node]


def locked(records: Sequence[RepoDataRecord], folder: Path) -> Path:
    """A lock of these records, as both sides will read it."""
    platform = LockPlatform("linux-64", Subdir("linux-64"), [])
    lock = RattlerLock([platform])
    lock.set_channels("default", [LockChannel("https://example.org/channel")])
    for record in records:
        lock.add_conda_package("default", platform, record)
    path = folder / "pixi.lock"
    lock.to_path(path)
    return path


def rattlers(lock: Path, cache: Path) -> Prefix:
    """What rattler puts on disk for the default environment of a lock."""
    environment = dict(RattlerLock.from_path(lock).environments())["default"]
    records = environment.conda_repodata_records_for_platform(
        next(each for each in environment.platforms() if each.name == "linux-64")
    )
    for attempt in range(ATTEMPTS):
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch).resolve() / "prefix"
            try:
                asyncio.run(_install(records or [], target, cache))
            except rattler.exceptions.InstallerError as error:
                if "directory" not in str(error).lower() or attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.05)
            else:
                return _on_disk(target)
    raise AssertionError("the last attempt either returns or raises")


async def _install(records: list[RepoDataRecord], target: Path, cache: Path) -> None:
    await rattler.install(
        records,
        target,
        cache_dir=cache,
        platform=Subdir("linux-64"),
        execute_link_scripts=False,
        show_progress=False,
        alternative_target_prefix=PREFIX,
    )


def _on_disk(root: Path) -> Prefix:
    found: Prefix = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        facts = path.lstat()
        mode = stat.S_IMODE(facts.st_mode)
        if path.is_symlink():
            found[name] = Node("link", target=str(path.readlink()))
        elif path.is_dir():
            found[name] = Node("directory", mode)
        else:
            found[name] = _file(name, mode, path.read_bytes())
    return found


def ours(lock: Path, compiler: Compiler | None = None) -> Prefix:
    """What our trees, merged and written as a tar, hold for the same environment."""
    file = LockFile(lock)
    platform = next(each for each in file.platforms("default") if each.name == "linux-64")
    environment = file.environment("default", platform)
    with tempfile.TemporaryFile() as scratch:
        writer = TarWriter(scratch.write)
        for tree in trees(environment, compiler):
            writer.add_all(tree.entries())
        writer.close()
        scratch.seek(0)
        with tarfile.open(fileobj=scratch) as tar:
            return _in_tar(tar)


def trees(environment: LockedEnvironment, compiler: Compiler | None) -> Iterable[CondaTree]:
    """The trees of an environment's conda packages, each where the merge places it."""
    python = PythonInfo.of(environment.python) if environment.python else None
    packages = environment.conda
    archives = [_archive(package) for package in packages]
    paths = [
        installed_paths(read_metadata(CondaArchive(archive, package.file_name)), python)
        for package, archive in zip(packages, archives, strict=True)
    ]
    merged = merge([package.file_name for package in packages], paths, [])
    layout = PrefixLayout(PREFIX, python, compiler)
    return [
        CondaTree(package, archive, layout, placement, package.location)
        for package, archive, placement in zip(packages, archives, merged.placements, strict=True)
    ]


def _archive(package: CondaPackage) -> Path:
    return Path(unquote(urlsplit(package.location).path))


def _in_tar(tar: tarfile.TarFile) -> Prefix:
    root = PurePosixPath(PREFIX[1:])
    found: Prefix = {}
    for member in tar:
        path = PurePosixPath(member.name)
        if path in (root, *root.parents):
            continue
        name = path.relative_to(root).as_posix()
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
        if member.issym():
            found[name] = Node("link", target=member.linkname)
        elif member.isdir():
            found[name] = Node("directory", member.mode)
        elif member.islnk():
            found[name] = found[PurePosixPath(member.linkname).relative_to(root).as_posix()]
        else:
            content = tar.extractfile(member)
            assert content is not None
            assert name not in found, f"{name} comes twice"
            found[name] = _file(name, member.mode, content.read())
    return found


def _file(name: str, mode: int, content: bytes) -> Node:
    if name.startswith("conda-meta/") and name.endswith(".json"):
        return Node("record", mode, content, record=json.loads(content))
    return Node("file", mode, content)
