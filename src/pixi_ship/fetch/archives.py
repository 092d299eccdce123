"""Fetch package archives through py-rattler, with Pixi's own credentials and mirrors."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from rattler.networking import Client
from rattler.package_streaming import download_to_writer

from pixi_ship.cache import Cache
from pixi_ship.digest import BLOCK, digest_file
from pixi_ship.errors import DigestMismatch, FetchError
from pixi_ship.fetch.client import pixi_client
from pixi_ship.fetch.location import local_path
from pixi_ship.lock.model import LockedPackage
from pixi_ship.redaction import redacted, redacted_text

PARALLEL = 8
MAX_ARCHIVE = 64 << 30  # bytes, where the lock does not say the size
_HINT_DIGEST = (
    "the file is damaged, or was replaced after the lock was written; "
    "run 'pixi update' if the new one is wanted"
)
_HINT_LOCAL = "the lock names this file: put it there, or run 'pixi lock' where it moved"


@dataclass(frozen=True, slots=True)
class Fetched:
    """An archive on this machine; ``sha256`` is that of its bytes."""

    path: Path
    sha256: str


@dataclass(slots=True)
class Archives:
    """The archives of locked packages: from the cache, else from where the lock says.

    root: the directory of the lock. report: called with each number of bytes that arrived.
    """

    cache: Cache
    root: Path
    offline: bool = False
    report: Callable[[int], None] = lambda size: None
    fetched: int = 0
    fetched_bytes: int = 0
    _client: Client | None = field(default=None, init=False)
    _checked: set[str] = field(default_factory=set, init=False)
    _local: dict[str, str] = field(default_factory=dict, init=False)

    def identity(self, package: LockedPackage) -> str:
        """What the lock says the archive's bytes are: its sha256, or else its md5 or place.

        A file on this machine that the lock has no digest for is named by its present bytes.
        """
        if package.sha256:
            return f"sha256-{package.sha256}"
        md5 = getattr(package, "md5", None)
        if md5:
            return f"md5-{md5}"
        path = local_path(package.location, self.root)
        if path is not None:
            if package.location not in self._local:
                self._local[package.location] = _digest_of(path, str(package))
            return f"sha256-{self._local[package.location]}"
        return f"url-{hashlib.sha256(package.location.encode()).hexdigest()}"

    def get_all(self, packages: list[LockedPackage]) -> list[Fetched]:
        """Fetch several archives at once."""
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch") as pool:
            futures = [pool.submit(self.get, package) for package in packages]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def get(self, package: LockedPackage) -> Fetched:
        """The archive of a package, fetched and checked if it is not here yet."""
        identity = self.identity(package)
        known = identity.removeprefix("sha256-") if identity.startswith("sha256-") else None
        if known is None:
            note = self.cache.note("archives", identity)
            known = str(note["sha256"]) if note else None
        if known and self._is_cached(known):
            return Fetched(self.cache.archive(known), known)
        return self._fetch(package, identity)

    def _is_cached(self, sha256: str) -> bool:
        """Whether the cache holds these bytes; a file that rotted there does not count."""
        if sha256 in self._checked:
            return True
        path = self.cache.archive(sha256)
        if not path.is_file() or digest_file(path).hex != sha256:
            return False
        self.cache.mark_used(path)
        self._checked.add(sha256)
        return True

    def _fetch(self, package: LockedPackage, identity: str) -> Fetched:
        local = local_path(package.location, self.root)
        if local is None and self.offline:
            raise FetchError(
                f"{package} is not in the cache, and --offline forbids to fetch it",
                hint="run once without --offline",
            )
        with self.cache.temporary() as file:
            writer = _CheckingWriter(package, file, self.report)
            try:
                if local is not None:
                    with local.open("rb") as source:
                        shutil.copyfileobj(source, writer, BLOCK)
                else:
                    self._download(package, writer)
            except OSError as error:
                if error is writer.failure or (error.filename is None and local is None):
                    raise
                raise FetchError(
                    f"fetching {package} from {redacted(package.location)}: {error.strerror}",
                    hint=_HINT_LOCAL,
                ) from error
            sha256 = writer.finish()
            target = self.cache.archive(sha256)
            self.cache.keep(file, target)
        if not identity.startswith("sha256-"):
            self.cache.write_note("archives", identity, {"sha256": sha256})
        self._checked.add(sha256)
        self.fetched += 1
        self.fetched_bytes += writer.size
        return Fetched(target, sha256)

    def _download(self, package: LockedPackage, writer: _CheckingWriter) -> None:
        if self._client is None:
            self._client = pixi_client(self.root)
        try:
            asyncio.run(download_to_writer(self._client, package.location, writer))
        except (DigestMismatch, FetchError, KeyboardInterrupt):
            raise
        except Exception as error:  # py-rattler raises many kinds; all mean "not fetched"
            if writer.failure is not None:
                raise writer.failure from error
            reason = " ".join(str(error).replace(package.location, "").split())
            raise FetchError(
                f"fetching {package} from {redacted(package.location)}: {redacted_text(reason)}",
                hint="check the network and 'pixi auth', then run the same again",
            ) from error


class _CheckingWriter:
    """Write an archive while its size and digest are held against the lock's."""

    def __init__(
        self, package: LockedPackage, file: BinaryIO, report: Callable[[int], None]
    ) -> None:
        self._package = package
        self._file = file
        self._report = report
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._want_md5 = None if package.sha256 else getattr(package, "md5", None)
        self._limit = package.size if package.size is not None else MAX_ARCHIVE
        self.size = 0
        self.failure: Exception | None = None

    def write(self, data: bytes) -> int:
        self.size += len(data)
        if self.size > self._limit:
            self.failure = FetchError(
                f"fetching {self._package}: more than the {self._limit} bytes of the lock came",
                hint=_HINT_DIGEST,
            )
            raise self.failure
        self._sha256.update(data)
        if self._want_md5:
            self._md5.update(data)
        try:
            self._file.write(data)
        except OSError as error:
            self.failure = error
            raise
        self._report(len(data))
        return len(data)

    def finish(self) -> str:
        got = self._sha256.hexdigest()
        want = self._package.sha256
        if want and got != want:
            raise DigestMismatch(
                str(self._package), want=f"sha256:{want}", got=f"sha256:{got}", hint=_HINT_DIGEST
            )
        if self._want_md5 and self._md5.hexdigest() != self._want_md5:
            raise DigestMismatch(
                str(self._package),
                want=f"md5:{self._want_md5}",
                got=f"md5:{self._md5.hexdigest()}",
                hint=_HINT_DIGEST,
            )
        return got


def _digest_of(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FetchError(f"reading {name} at {path}: {error.strerror}", hint=_HINT_LOCAL) from error
