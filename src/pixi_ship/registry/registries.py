"""The registries that one run speaks to, each over one session."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from pixi_ship.cache import Cache
from pixi_ship.digest import Digest
from pixi_ship.oci.blob import Blob
from pixi_ship.oci.read import read_image, read_images
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.oci.sif_artifact import sif_descriptor
from pixi_ship.oci.stored import StoredImage
from pixi_ship.platform import Platform
from pixi_ship.registry.credentials import CredentialStore
from pixi_ship.registry.pull import RegistryStore, read_remote
from pixi_ship.registry.push import Push
from pixi_ship.registry.repository import Repository
from pixi_ship.registry.session import Session, Settings
from pixi_ship.registry.upload import Report
from pixi_ship.version import __version__


@dataclass(slots=True)
class Registries:
    """Sessions by host, opened when they are first needed."""

    settings: Settings
    cache: Cache
    _sessions: dict[str, Session] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __enter__(self) -> Registries:
        return self

    def __exit__(self, *error: object) -> None:
        for session in self._sessions.values():
            session.close()

    def repository(self, reference: Reference) -> Repository:
        """The repository of a reference to a registry."""
        with self._lock:
            if reference.host not in self._sessions:
                self._sessions[reference.host] = Session(reference.host, self.settings)
            return Repository(self._sessions[reference.host], reference.repository)

    def store(self, reference: Reference, *, keep: bool = True) -> RegistryStore:
        """The blobs of a repository; ``keep``: whether layers that are read are cached."""
        return RegistryStore(self.repository(reference), self.cache, keep)

    def read(self, reference: Reference, platform: Platform, *, keep: bool = True) -> StoredImage:
        """Open an image wherever it is; ``keep``: layers of a registry that are read are cached."""
        if reference.transport is not Transport.DOCKER:
            return read_image(reference, platform)
        return read_remote(reference, platform, self.store(reference, keep=keep))[0]

    def read_all(self, reference: Reference) -> list[StoredImage]:
        """Open an image for every platform it has; layers of a registry are only streamed."""
        if reference.transport is not Transport.DOCKER:
            return read_images(reference)
        return read_remote(reference, None, self.store(reference, keep=False))

    def sif(self, reference: Reference) -> tuple[Digest, Blob]:
        """The SIF that an ``oras://`` reference names: its manifest's digest, and its blob.

        The blob is read in the registry, any stretch of it, when it is asked for. Raises
        NotInRegistry, RegistryError, ImageError.
        """
        store = self.store(reference, keep=False)
        root, manifest = store.root(reference.digest or reference.tag or "latest")
        return root.digest, store.blob(sif_descriptor(manifest, str(reference)))

    def push(self, reference: Reference, report: Report) -> Push:
        """Begin a push to a reference in a registry."""
        return Push(self.repository(reference), self.cache, self.settings.parallel, report)


def without_login(cache: Cache, *, offline: bool = False) -> Registries:
    """Registries as a program without any login finds them; ``offline``: none is asked."""
    settings = Settings(
        credentials=CredentialStore((), None, {}),
        user_agent=f"pixi-ship/{__version__}",
        offline=offline,
    )
    return Registries(settings, cache)
