"""Hold every file of a cache against its name, and take out what is broken."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.cache import Cache
from pixi_ship.digest import BLOCK
from pixi_ship.upkeep.contents import Contents, holdings, survey
from pixi_ship.upkeep.directory import CacheFile, failed, opened_file
from pixi_ship.upkeep.removal import Reason, Removal, carry_out

Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a file; ``path`` is below the cache's root."""

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What :func:`verify` found: files looked at, bytes hashed, what is wrong.

    damaged: archives and blobs that are not what their names say.
    """

    files: int
    hashed: int
    faults: tuple[Fault, ...]
    damaged: tuple[CacheFile, ...]


def verify(cache: Cache, *, workers: int, report: Report) -> Verified:
    """Hash every archive and blob, read every note; nothing is changed.

    report: called from several threads with bytes hashed since its last call, and with the
    bytes to hash in all.
    """
    cache.check_marked()
    with cache.in_use():
        found = survey(cache)
        named = [*found.archives.values(), *found.blobs.values()]
        problems = _hash_all(found, named, workers, report)
        faults = [Fault(each.files[0].path, each.fault) for each in holdings(found) if each.fault]
    told = {each.path for each in faults}
    damaged = tuple(file for file in named if file.path in problems)
    faults += [Fault(path, why) for path, why in problems.items() if path not in told]
    files = len(named) + len(found.layers) + len(found.notes)
    hashed = sum(file.size for file in named if file.is_regular)
    return Verified(files, hashed, tuple(sorted(faults, key=lambda each: each.path)), damaged)


def _hash_all(
    found: Contents, files: list[CacheFile], workers: int, report: Report
) -> dict[str, str]:
    """Path → what is wrong with the file, where something is."""
    total = sum(file.size for file in files if file.is_regular)
    stop = threading.Event()

    def check(file: CacheFile) -> str | None:
        return _problem(found.root, file, lambda size: report(size, total), stop)

    with ThreadPoolExecutor(workers, thread_name_prefix="verify") as pool:
        # The largest first, so that it does not run alone at the end.
        futures = {
            file.path: pool.submit(check, file) for file in sorted(files, key=lambda x: -x.size)
        }
        try:
            ends = {path: future.result() for path, future in futures.items()}
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return {path: problem for path, problem in ends.items() if problem}


def _problem(
    root: Path, file: CacheFile, report: Callable[[int], None], stop: threading.Event
) -> str | None:
    if not file.is_regular:
        return "it is no regular file"
    digest = hashlib.sha256()
    try:
        with opened_file(root, file.path) as source:
            while not stop.is_set() and (block := source.read(BLOCK)):
                digest.update(block)
                report(len(block))
    except FileNotFoundError:  # by hand, since it was listed
        return None
    except OSError as error:
        if error.errno == errno.EIO:
            return f"it cannot be read: {error.strerror}"
        raise failed("reading", root, file.path, error) from error
    if stop.is_set() or digest.hexdigest() == file.name:
        return None
    return f"its digest is sha256:{digest.hexdigest()}"


def repair(cache: Cache, found: Verified, *, wait: float) -> tuple[Removal, ...]:
    """Remove what is broken, with what names it, so that the next build makes it again.

    What somebody replaced since it was verified stays. Raises CacheError if the cache is in
    use for longer than ``wait`` seconds.
    """
    with cache.exclusive(wait):
        now = survey(cache)
        present = {file.path: file for file in (*now.archives.values(), *now.blobs.values())}
        damaged = [file for file in found.damaged if present.get(file.path) == file]
        names = {file.path for file in damaged}
        broken = [
            each
            for each in holdings(now)
            if each.fault or each.files[0].path in names or f"blobs/{each.blob}" in names
        ]
        files = {file.path: file for each in broken for file in each.files}
        # Damaged blobs come last: a note must go before what it names.
        files |= {file.path: file for file in damaged}
        removals = tuple(Removal(file, Reason.BROKEN) for file in files.values())
        carry_out(cache.root, removals)
    return removals
