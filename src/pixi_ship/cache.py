"""The cache directory: archives, layers and small notes, each named by what it is made of.

    archives/<sha256>        package archives as fetched
    blobs/<sha256>           compressed layers, and blobs of registries
    layers/<key>.json        which blob a layer's recipe gave
    layers/<key>.tree        its files, one a line
    notes/<kind>/<key>.json  facts that are dear to find out again
    tmp/                     what is being written; directories as well in prefixes/, roots/
    lock                     held shared by who uses the cache, exclusively by who removes

Everything appears by an atomic rename of a complete file, so several processes may share
the directory and a process may be killed at any moment: what it leaves there is
locked while its owner lives and swept by the next one.

A file's time of modification says when it was last used, to the day.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pixi_ship.digest import Digest
from pixi_ship.disk_tree import remove_tree
from pixi_ship.errors import CacheError

_KEY = re.compile(r"[A-Za-z0-9._-]{1,200}\Z")
_HINT = "choose another place with --cache-dir or PIXI_SHIP_CACHE_DIR"
_HINT_NONE = "the first build makes one; name another with --cache-dir or PIXI_SHIP_CACHE_DIR"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_MARKER = "Signature: 8a477f597d28d172789f06886806bc55\n# This is the cache of pixi-ship.\n"
_DAY = 86400  # seconds
_POLL = 0.1  # seconds between two tries for the exclusive lock
_FRESH = re.compile(r"\..*\.tmp\Z", re.DOTALL)  # what replacing_directory makes
# Where processes write what they rename, or remove, when it is done.
UNFINISHED = ("tmp", "prefixes", "roots")

# The notes on blobs that came from a registry, each keyed by the blob's digest in hex: a
# blob in ``blobs`` that neither such a note nor a layer names is removed by a prune.
FETCHED_BLOB = "fetched-blob"
LAYERS = "layers"
# The notes on packed layers, each with the digest of the blob that holds the packed data.
PACK = "pack"


def usual_directory(environment: Mapping[str, str], home: Path) -> Path:
    """Where the cache is: by PIXI_SHIP_CACHE_DIR, else below XDG_CACHE_HOME."""
    if chosen := environment.get("PIXI_SHIP_CACHE_DIR"):
        return Path(chosen)
    kept = environment.get("XDG_CACHE_HOME")
    return (Path(kept) if kept else home / ".cache") / "pixi-ship"


class Cache:
    """A cache directory; made when first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._today: float | None = None
        self._lent: dict[tuple[str, str], Mapping[str, object]] = {}

    def archive(self, sha256: str) -> Path:
        """Where the archive with this digest lies, if it does."""
        return self.root / "archives" / _checked(sha256)

    def blob(self, digest: Digest) -> Path:
        """Where the blob with this digest lies, if it does."""
        return self.root / "blobs" / digest.hex

    def layer(self, key: str, suffix: str) -> Path:
        """Where the record (``json``) or file list (``tree``) of a layer recipe lies."""
        return self.root / "layers" / f"{_checked(key)}.{suffix}"

    def note(self, kind: str, key: str) -> Mapping[str, object] | None:
        """A note written earlier, or lent; None if there is none, or none that can be read."""
        path = self._note(kind, key)
        if (value := read_json(path)) is not None:
            self.mark_used(path)
            return value
        return self._lent.get((kind, key))

    def layer_note(self, key: str) -> Mapping[str, object] | None:
        """The record of a layer, as :meth:`note` gives others."""
        path = self.layer(key, "json")
        if (value := read_json(path)) is not None:
            self.mark_used(path)
            return value
        return self._lent.get((LAYERS, key))

    def lend(self, kind: str, key: str, value: Mapping[str, object]) -> None:
        """Give a note that counts where the cache has none, and is forgotten with this object.

        Layers are of the kind :data:`LAYERS`.
        """
        self._lent[kind, key] = value

    def write_note(self, kind: str, key: str, value: Mapping[str, object]) -> None:
        """Keep a note."""
        self.write_json(self._note(kind, key), value)

    def write_json(self, path: Path, value: Mapping[str, object]) -> None:
        """Write a JSON document in place of ``path``."""
        with self.writing(path) as file:
            file.write(json.dumps(value, separators=(",", ":")).encode())

    def _note(self, kind: str, key: str) -> Path:
        return self.root / "notes" / _checked(kind) / f"{_checked(key)}.json"

    @contextmanager
    def writing(self, path: Path) -> Iterator[BinaryIO]:
        """A new file that becomes ``path`` when the block ends well, and vanishes otherwise."""
        with self.temporary() as file:
            yield file
            self.keep(file, path)

    def keep(self, file: BinaryIO, path: Path) -> None:
        """Let a file of :meth:`temporary` become ``path``."""
        file.flush()
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(file.name).replace(path)

    @contextmanager
    def temporary(self) -> Iterator[BinaryIO]:
        """A new locked file in ``tmp``; removed at the end unless it was renamed."""
        directory = self._prepared()
        try:
            # Between its creation and its lock a file looks like an orphan: no sweep then.
            with _locked(directory, fcntl.LOCK_SH):
                file = tempfile.NamedTemporaryFile(dir=directory, delete=False)  # noqa: SIM115
                # Locked for as long as its owner lives: an unlocked file in tmp is an orphan.
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            with file:
                try:
                    yield file  # type: ignore[misc]
                finally:
                    with suppress(FileNotFoundError):
                        Path(file.name).unlink()
        except OSError as error:  # closing the file can fail as well
            if error.errno in _FULL and error.filename is None:
                raise self._unwritable(error) from error
            raise

    @contextmanager
    def in_use(self, *, make: bool = False) -> Iterator[None]:
        """Nothing is removed from the cache until the block ends; waits while a prune runs.

        make: make the cache if it is not there. A cache that this user cannot write to has
        no lock to take, and needs none if nobody else prunes it.
        """
        if make and not self.root.is_dir():
            self._prepared()
        handle, before = self._open_lock(), self._today
        try:
            if handle is not None:
                self._lock(handle, fcntl.LOCK_SH)
                with suppress(OSError):
                    os.utime(handle)
                # The file system's own time, which is what its files are marked with.
                self._today = os.fstat(handle).st_mtime
            yield
        finally:
            self._today = before
            if handle is not None:
                os.close(handle)

    @contextmanager
    def exclusive(self, wait: float) -> Iterator[None]:
        """Nobody else uses the cache in the block; raises CacheError after ``wait`` seconds."""
        self.check_marked()
        handle = self._open_lock()
        if handle is None:
            raise self._unwritable(PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        try:
            for attempt in range(1 + int(wait / _POLL)):
                if attempt:
                    time.sleep(_POLL)
                if self._lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    break
            else:
                raise CacheError(
                    f"locking the cache at {self.root}: it is in use",
                    hint="run the same again when no build runs, or give a longer --wait",
                )
            yield
        finally:
            os.close(handle)

    def mark_used(self, path: Path) -> None:
        """Set a file's time to now, at most once a day; a prune takes the oldest first.

        Does nothing outside of :meth:`in_use`, nor where the file cannot be marked.
        """
        if self._today is not None:
            with suppress(OSError):
                if path.stat().st_mtime < self._today - _DAY:
                    os.utime(path)

    def check_marked(self) -> None:
        """Raise CacheError where there is no cache of ours."""
        if not self.root.exists():
            raise CacheError(f"there is no cache at {self.root}", hint=_HINT_NONE)
        if not self.is_marked():
            raise CacheError(
                f"{self.root} is no cache: it holds no CACHEDIR.TAG of pixi-ship", hint=_HINT_NONE
            )

    def is_marked(self) -> bool:
        """Whether the directory says that it is a cache of ours: nothing else is cleaned up."""
        try:
            handle = os.open(self.root / "CACHEDIR.TAG", os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            return os.read(handle, len(_MARKER)) == _MARKER.encode()
        finally:
            os.close(handle)

    def sweep(self) -> int:
        """Remove what killed processes left unfinished; returns how many files and directories."""
        swept = 0
        for path in self.orphans():
            with suppress(OSError):
                if path.is_dir():
                    remove_tree(path)
                else:
                    path.unlink()
                swept += 1
        return swept

    def orphans(self) -> Iterator[Path]:
        """What killed processes left unfinished; each is locked until the next is asked for.

        Files of ``tmp``, and the directories that :func:`replacing_directory` makes in
        ``tmp``, ``prefixes`` and ``roots``.
        """
        if not self.is_marked():
            return
        for where in UNFINISHED:
            directory = self.root / where
            # A link may lead to a directory that is not ours.
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            with (
                suppress(FileNotFoundError, NotADirectoryError),
                _locked(directory, fcntl.LOCK_EX, flags),
            ):
                for path in directory.iterdir():
                    with suppress(OSError):
                        if is_unfinished(where, path.name, is_directory=_is_directory(path)):
                            with _orphan(path):
                                yield path

    def _open_lock(self) -> int | None:
        """The lock file, made if need be; None where there is none and none can be made."""
        path = self.root / "lock"
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise self._unwritable(error) from error
        with suppress(OSError):
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        return None

    def _lock(self, handle: int, how: int) -> bool:
        try:
            fcntl.flock(handle, how)
        except BlockingIOError:
            return False
        except OSError as error:
            raise CacheError(
                f"locking the cache at {self.root}: {error.strerror}", hint=_HINT
            ) from error
        return True

    def _prepared(self) -> Path:
        directory = self.root / "tmp"
        if not directory.is_dir():
            try:
                # The mark comes first: without it, what is left in tmp would never be swept.
                self.root.mkdir(parents=True, exist_ok=True)
                (self.root / "CACHEDIR.TAG").write_text(_MARKER)
                directory.mkdir(exist_ok=True)
            except OSError as error:
                raise CacheError(
                    f"making the cache at {self.root}: {error.strerror}", hint=_HINT
                ) from error
        return directory

    def _unwritable(self, error: OSError) -> CacheError:
        space = "free some space, or " if error.errno in _FULL else ""
        return CacheError(
            f"writing to the cache at {self.root}: {error.strerror}", hint=f"{space}{_HINT}"
        )


@contextmanager
def _locked(path: Path, how: int, flags: int = os.O_RDONLY | os.O_DIRECTORY) -> Iterator[None]:
    handle = os.open(path, flags)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


def _is_directory(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def is_unfinished(where: str, name: str, *, is_directory: bool) -> bool:
    """Whether what lies in one of :data:`UNFINISHED` is there only while it is written."""
    if is_directory:
        return _FRESH.match(name) is not None
    return where == "tmp"


def read_json(path: Path) -> Mapping[str, object] | None:
    """A JSON object from a file; None if there is none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file so that ``path`` holds the old bytes or the new ones, never a part."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A new file beside ``path`` that takes its place when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_beside(path)
    with _locked(path.parent, fcntl.LOCK_SH):
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115
            dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".tmp", delete=False
        )
        fcntl.flock(file, fcntl.LOCK_EX)
    with file:
        try:
            yield file  # type: ignore[misc]
            file.flush()
            os.fchmod(file.fileno(), mode)
            Path(file.name).replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(file.name).unlink()
            raise


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """A new directory beside ``path``, to be renamed to it; it vanishes if that was not done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_beside(path)
    with _locked(path.parent, fcntl.LOCK_SH):
        fresh = tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".tmp")
        handle = os.open(fresh, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield Path(fresh)
    finally:
        try:
            with suppress(OSError):
                remove_tree(fresh)
        finally:
            os.close(handle)


def sweep_beside(path: Path) -> None:
    """Remove what killed processes left of ``path``, files and directories."""
    pattern = f".{glob.escape(path.name[:100])}.*.tmp"
    if not any(path.parent.glob(pattern)):
        return
    with suppress(OSError), _locked(path.parent, fcntl.LOCK_EX):
        for orphan in path.parent.glob(pattern):
            with suppress(OSError):
                _remove_orphan(orphan)


def _remove_orphan(orphan: Path) -> None:
    with _orphan(orphan):
        if _is_directory(orphan):
            remove_tree(orphan)
        else:
            orphan.unlink()


@contextmanager
def _orphan(path: Path) -> Iterator[None]:
    """What has no owner, locked in the block; raises OSError where its owner lives."""
    is_directory = _is_directory(path)
    if is_directory and not os.access(path, os.R_OK):
        path.chmod(0o700)
    # Files for writing, or NFS would refuse the lock. A named pipe would be waited for.
    flags = os.O_RDONLY if is_directory else os.O_RDWR
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK
    with _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB, flags):
        yield


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Wait until no other process is in this block for the directory."""
    with _locked(directory, fcntl.LOCK_EX):
        yield


def _checked(key: str) -> str:
    if not _KEY.match(key):
        raise ValueError(f"not a cache key: {key!r}")
    return key
