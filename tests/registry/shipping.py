"""What tests of pushes and pulls share: packages, bases in a registry, logins, little patience."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import pytest

from pixi_ship.digest import Digest
from pixi_ship.oci.blob import Blob
from pixi_ship.oci.descriptor import Descriptor
from pixi_ship.registry.credentials import CredentialStore
from pixi_ship.registry.patience import Patience
from pixi_ship.registry.repository import Repository
from pixi_ship.registry.session import Session, Settings

from ..channel.conda_package import CondaPackage, File
from ..tiny import Ran, Tiny, ship
from .client import Client
from .distribution import DockerRegistry
from .fake import FakeRegistry
from .graph import OCI_MANIFEST
from .store import Manifest

Registry = FakeRegistry | DockerRegistry
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


class Hurried(threading.Event):
    """Waits for a fiftieth of the time, so that what takes seconds is tested in no time."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout is None else timeout / 50)


def brief() -> Patience:
    """As many tries as ever, in no time."""
    return Patience(first=0.001, longest=0.01, longest_asked=2.0, stop=Hurried())


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line lose no time between tries."""
    monkeypatch.setattr("pixi_ship.registry.session.Patience", brief)


def settings(*files: Path, parallel: int = 6, offline: bool = False) -> Settings:
    """The library's settings with the logins in ``files``."""
    return Settings(
        credentials=CredentialStore(files, None, {}),
        user_agent="tests",
        offline=offline,
        parallel=parallel,
        patience=brief(),
    )


def repository(address: str, name: str, *files: Path) -> Iterator[Repository]:
    """A repository over a session that is closed at the end; for fixtures."""
    session = Session(address, settings(*files))
    yield Repository(session, name)
    session.close()


def random_blob(size: int, seed: int = 0) -> Blob:
    data = Random(seed).randbytes(size)
    return Blob.of(Descriptor(LAYER, Digest.of(data), size), data)


def package(tiny: Tiny, name: str, *, seed: int = 0, size: int = 2000) -> Path:
    """A package with one file of random bytes."""
    content = Random(f"{name} {seed}").randbytes(size)
    return CondaPackage(name, "1.0", [File(f"share/{name}", content)]).write(tiny.channel)


def pushed(tiny: Tiny, registry: Registry, *more: str | Path, name: str = "team/tiny:t") -> Ran:
    """Build, and push to a registry; ``--base`` is scratch unless ``more`` says otherwise."""
    return ship(*tiny.words(*more, to=f"docker://{registry.address}/{name}"))


def logged_in(file: Path, address: str, user: str, password: str) -> Path:
    """A file as ``podman login`` leaves it."""
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    file.write_text(json.dumps({"auths": {address: {"auth": login}}}))
    return file


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, where nobody is logged in anywhere."""
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def documents(layout: Path) -> tuple[dict[str, bytes], str]:
    """The blobs of an OCI layout with one image, by digest; and the digest of its manifest."""
    blobs = {
        f"sha256:{path.name}": path.read_bytes() for path in (layout / "blobs/sha256").iterdir()
    }
    (row,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return blobs, str(row["digest"])


def offer(
    registry: FakeRegistry,
    layout: Path,
    name: str = "base/os",
    tag: str = "one",
    kinds: Mapping[str, str] | None = None,
) -> str:
    """Lay the image of a layout into the fake registry's store, whoever may log in there.

    kinds: media types to write in place of others. Returns the digest of the manifest.
    """
    blobs, digest = documents(layout)
    text = blobs.pop(digest).decode()
    for data_digest, data in blobs.items():
        registry.store.add_blob(name, data_digest, data)
    for kind, other in (kinds or {}).items():
        text = text.replace(kind, other)
    return lay(registry, name, text.encode(), (kinds or {}).get(OCI_MANIFEST, OCI_MANIFEST), tag)


def lay(registry: FakeRegistry, name: str, data: bytes, kind: str, tag: str | None = None) -> str:
    """Lay a manifest or an index into the fake registry's store."""
    digest = str(Digest.of(data))
    found = registry.store.repository(name)
    found.manifests[digest] = Manifest(kind, data)
    if tag is not None:
        found.tags[tag] = digest
    return digest


def push_layout(registry: Registry, layout: Path, name: str = "base/os", tag: str = "one") -> str:
    """Push the image of a layout, without a login; returns the digest of its manifest."""
    client = Client(registry.address)
    blobs, digest = documents(layout)
    data = blobs.pop(digest)
    for each in blobs.values():
        client.push_blob(name, each)
    kind = {"Content-Type": OCI_MANIFEST}
    assert client.ask("PUT", f"/v2/{name}/manifests/{tag}", data, kind).status == 201
    return digest


def tag_of(registry: Registry, repository: str) -> str:
    """The digest that the tag ``t`` names, straight from the registry's contents."""
    if isinstance(registry, FakeRegistry):
        return registry.store.repository(repository).tags["t"]
    folder = registry.folder / "storage/docker/registry/v2/repositories" / repository
    return (folder / "_manifests/tags/t/current/link").read_text()


def problems_of(registry: Registry) -> list[str]:
    """As ``integrity()`` has it, when docker-registry is done with clients that went away."""
    pause = threading.Event()
    for _ in range(100):
        try:
            return registry.integrity()
        except FileNotFoundError:  # it is just removing an upload
            pause.wait(0.02)
    return registry.integrity()


def base_at(registry: Registry, name: str = "base/os", tag: str = "one") -> str:
    return f"docker://{registry.address}/{name}:{tag}"


def blobs_in(tiny: Tiny) -> set[str]:
    """The digests of the blobs in the cache."""
    folder = tiny.cache / "blobs"
    return {f"sha256:{path.name}" for path in folder.iterdir()} if folder.exists() else set()


def failed(ran: Ran, *lines: str) -> None:
    """The run ended with status 1 and exactly these lines on stderr."""
    assert (ran.err, ran.status, ran.out) == ("".join(f"{line}\n" for line in lines), 1, "")
