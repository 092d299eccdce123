"""The programs that push and pull, each with the commands for it and what it needs before.

Addresses are HOST:PORT; nothing here is encrypted. Skopeo and podman share one record of where
blobs have been seen, below the system's directories: it is keyed by address, and each registry
here has a new one. Buildah is not among them: its push made the requests of podman's, byte for
byte.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.contract.tools import PATH, Podman

from bench.measure import CommandFailed, run_apart
from bench.registry.images import LAYERED, SINGLE, Version
from bench.workspaces import BASE_LAYOUT, BASE_TAG

Command = Sequence[str | Path]
CLIENTS = ("pixi-ship", "skopeo", "podman", "crane", "oras")
BASE_NAME = f"base:{BASE_TAG}"
_SKOPEO = ("skopeo", "--insecure-policy", "copy", "--quiet")


@dataclass(frozen=True, slots=True)
class Pusher:
    """Something that pushes one of the two images.

    command: of a version, an address and a repository; the tag is the version's. state: what
    the first push starts from, in words. again: whether more than the first push counts.
    prepare: called before a registry is filled anew.
    """

    name: str
    image: str
    command: Callable[[Version, str, str], Command]
    state: str = ""
    again: bool = True
    prepare: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Puller:
    """Something that pulls, and keeps what it has pulled.

    command: of NAME:TAG after an address. forget: removes all that it keeps.
    """

    name: str
    command: Callable[[str], Command]
    forget: Callable[[], None]


def pixi_ship(cache: Path) -> Iterator[Pusher]:
    """Ourselves, from lock to registry: first with no cache, then with that of the first."""

    def command(version: Version, address: str, repository: str) -> Command:
        words: list[str | Path] = [sys.executable, "-m", "pixi_ship", "build", "--quiet"]
        words += ["--workspace", version.workspace, "--cache-dir", cache]
        words += ["--base", f"docker://{address}/{BASE_NAME}"]
        return [*words, "--to", f"docker://{address}/{repository}:{version.tag}"]

    def forget() -> None:
        shutil.rmtree(cache, ignore_errors=True)

    yield Pusher("pixi-ship build", LAYERED, command, "empty cache", prepare=forget)
    yield Pusher("pixi-ship build", LAYERED, command, "layers cached", again=False)


def skopeo(image: str) -> Pusher:
    """From a layout, where layers lie compressed."""

    def command(version: Version, address: str, repository: str) -> Command:
        source = f"oci:{version.layout(image)}:{version.tag}"
        return skopeo_push(source, f"{address}/{repository}:{version.tag}")

    return Pusher("skopeo copy", image, command)


def crane(program: str) -> Pusher:
    """From a layout."""

    def command(version: Version, address: str, repository: str) -> Command:
        target = f"{address}/{repository}:{version.tag}"
        return [program, "push", "--insecure", version.single, target]

    return Pusher("crane push", SINGLE, command)


def oras(program: str) -> Pusher:
    """From a layout."""

    def command(version: Version, address: str, repository: str) -> Command:
        source = ["--from-oci-layout", f"{version.single}:{version.tag}"]
        target = ["--to-plain-http", f"{address}/{repository}:{version.tag}"]
        return [program, "cp", *source, *target]

    return Pusher("oras cp", SINGLE, command)


def podman_push(podman: Podman, images: Mapping[str, str]) -> Pusher:
    """From a store, where layers lie unpacked; images: identities there, by tag."""

    def command(version: Version, address: str, repository: str) -> Command:
        words = podman.words("push", "--quiet", "--tls-verify=false", images[version.tag])
        return [*words, f"docker://{address}/{repository}:{version.tag}"]

    return Pusher("podman push", SINGLE, command)


def skopeo_pull(layout: Path) -> Puller:
    """Into a layout, which keeps the blobs of what was pulled before."""

    def command(source: str) -> Command:
        tag = source.rpartition(":")[2]
        return [*_SKOPEO, "--src-tls-verify=false", f"docker://{source}", f"oci:{layout}:{tag}"]

    def forget() -> None:
        shutil.rmtree(layout, ignore_errors=True)

    return Puller("skopeo copy", command, forget)


def podman_pull(podman: Podman) -> Puller:
    """Into a store, unpacked."""

    def command(source: str) -> Command:
        return podman.words("pull", "--quiet", "--tls-verify=false", f"docker://{source}")

    return Puller("podman pull", command, lambda: empty(podman))


def skopeo_push(source: str, target: str) -> Command:
    """Copy an image to HOST:PORT/NAME:TAG."""
    return [*_SKOPEO, "--dest-tls-verify=false", source, f"docker://{target}"]


def found(program: str) -> str | None:
    """Where a program lies; those that `make setup` fetched come last."""
    return shutil.which(program, path=PATH)


def working_store(folder: Path) -> Podman | None:
    """Podman with an empty store of its own, by the first driver that takes an image in."""
    for driver in ("overlay", "vfs") if found("podman") else ():
        podman = Podman(folder / driver, driver)
        try:
            take_in(podman, BASE_LAYOUT, BASE_TAG)
        except CommandFailed:
            continue
        finally:
            empty(podman)
        return podman
    return None


def take_in(podman: Podman, layout: Path, tag: str) -> str:
    """The identity of an image that was in a layout; raises CommandFailed."""
    # Podman names it by the path, and takes offence at some absolute ones.
    words = podman.words("pull", "--quiet", f"oci:{layout.name}:{tag}")
    return run_apart(words, directory=layout.parent).output.split()[-1]


def empty(podman: Podman) -> None:
    """Remove a store with all its images."""
    podman.forget()
    # A podman that fails leaves its driver's directory mounted on itself.
    home = podman.store / "root" / podman.driver
    subprocess.run(["umount", str(home)], capture_output=True)
    shutil.rmtree(podman.store, ignore_errors=True)
