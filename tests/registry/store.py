"""What the fake registry holds, in memory."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as it came."""

    media_type: str
    data: bytes


@dataclass(slots=True)
class Upload:
    """A blob that is being sent; hold ``lock`` to touch it."""

    identity: str
    state: str
    data: bytearray = field(default_factory=bytearray)
    ended_short: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class Repository:
    """One name: which blobs it may serve, its manifests, tags and uploads."""

    blobs: set[str] = field(default_factory=set)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """An upload alone makes no repository."""
        return bool(self.blobs or self.manifests)


class Store:
    """All repositories; blobs are kept once and shared. Tests may look and break things here."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.repositories: dict[str, Repository] = {}
        self.lock = threading.RLock()

    def repository(self, name: str) -> Repository:
        """The repository, made when it is first named; unused ones stay invisible."""
        with self.lock:
            return self.repositories.setdefault(name, Repository())

    def begin_upload(self, name: str) -> Upload:
        upload = Upload(str(uuid.uuid4()), uuid.uuid4().hex)
        with self.lock:
            self.repository(name).uploads[upload.identity] = upload
        return upload

    def end_upload(self, name: str, upload: Upload) -> None:
        with self.lock:
            self.repository(name).uploads.pop(upload.identity, None)

    def add_blob(self, name: str, digest: str, data: bytes) -> None:
        with self.lock:
            self.blobs[digest] = data
            self.repository(name).blobs.add(digest)

    def mount(self, name: str, digest: str, source: str) -> bool:
        """Let a blob of one repository appear in another, where the first has it."""
        with self.lock:
            if digest not in self.repository(source).blobs:
                return False
            self.repository(name).blobs.add(digest)
            return True

    def tagged(self) -> Iterator[tuple[str, str, str]]:
        """Repository, tag and digest of every tag."""
        with self.lock:
            rows = [
                (name, tag, digest)
                for name, repository in sorted(self.repositories.items())
                for tag, digest in sorted(repository.tags.items())
            ]
        yield from rows

    def manifest(self, repository: str, digest: str) -> bytes | None:
        found = self.repository(repository).manifests.get(digest)
        return found.data if found else None

    def blob(self, repository: str, digest: str) -> bytes | None:
        """A blob, if this repository may serve it."""
        with self.lock:
            if digest in self.repository(repository).blobs:
                return self.blobs.get(digest)
            return None
