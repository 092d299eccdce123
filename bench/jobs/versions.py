"""Two versions of an environment where the lab's nodes can have them, in every form."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.cluster import Lab
from lab.machine import Machine

from bench.jobs.changed import PACKAGE, with_rebuilt_package
from bench.measure import run_apart
from bench.registry.images import Version, make_version
from bench.workspaces import LARGE

CHANNEL_PORT = 8000
_CHANNEL = "/scratch/channel"
# As `python -m http.server`, which lets five clients wait and no more.
_SERVER = """\
import functools, http.server, sys
server = http.server.ThreadingHTTPServer
server.request_queue_size = 1024
files = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[2])
server(("", int(sys.argv[1])), files).serve_forever()
"""


@dataclass(frozen=True, slots=True)
class Published:
    """A version in the lab's registry.

    references: of the single layer, our layers and our SIF. environment: bytes of its files.
    """

    lock: str
    channels: tuple[str, ...]
    references: Mapping[str, str]
    environment: int

    def lock_at(self, url: str) -> str:
        """Its lock, with archives to be fetched from a server."""
        lock = self.lock
        for channel in self.channels:
            lock = lock.replace(f"file://{channel}", url).replace(channel, url)
        return lock


def publish(lab: Lab, scratch: Path) -> tuple[Published, Published, int]:
    """Both versions, and how many bytes the layer of the package that changed has."""
    changed = with_rebuilt_package(LARGE, scratch / "changed")
    channels = (str(LARGE.resolve().parents[1] / "channel"), str(changed / "channel"))
    old, new = (
        make_version(workspace, tag, scratch) for workspace, tag in ((LARGE, "1"), (changed, "2"))
    )
    published = [_published(lab, each, channels, scratch) for each in (old, new)]
    _serve_archives(lab.machine("registry"), channels)
    return published[0], published[1], _layer_bytes(old, new)


def _published(lab: Lab, version: Version, channels: tuple[str, ...], scratch: Path) -> Published:
    place = f"{lab.registry}/bench/environment"
    for name, layout in (("single", version.single), ("layers", version.layered)):
        source = f"oci:{layout}:{version.tag}"
        target = f"docker://{place}:{name}-{version.tag}"
        words = ("skopeo", "copy", "--quiet", "--dest-tls-verify=false", source, target)
        run_apart(lab.submit.with_network(*words))
    convert = (sys.executable, "-m", "pixi_ship", "convert", "--quiet", "--plain-http")
    source = f"oci:{version.layered}:{version.tag}"
    to = ("--to", f"oras://{place}:sif-{version.tag}", "--cache-dir", scratch / "prepared")
    run_apart(lab.submit.with_network(*convert, source, *to))
    return Published(
        (version.workspace / "pixi.lock").read_text(),
        channels,
        {
            "single": f"docker://{place}:single-{version.tag}",
            "layers": f"docker://{place}:layers-{version.tag}",
            "sif": f"oras://{place}:sif-{version.tag}",
        },
        sum(each.stat().st_size for each in version.tree.rglob("*") if each.is_file()),
    )


def _serve_archives(registry: Machine, channels: tuple[str, ...]) -> None:
    """The archives of both versions over HTTP, until the lab goes down."""
    for channel in channels:
        for archive in Path(channel).rglob("*.*"):
            if archive.name.endswith((".conda", ".tar.bz2")):
                registry.copy_in(archive, f"{_CHANNEL}/{archive.parent.name}", user="root")
    registry.serve("python3", "-c", _SERVER, str(CHANNEL_PORT), _CHANNEL, log="channel.log")


def _layer_bytes(old: Version, new: Version) -> int:
    """Compressed bytes of the blobs that only the new version has."""
    before, after = (
        {each.name: each.stat().st_size for each in (version.layered / "blobs/sha256").iterdir()}
        for version in (old, new)
    )
    found = sum(size for name, size in after.items() if name not in before)
    if not found:
        raise RuntimeError(f"{PACKAGE} is the same in both versions")
    return found
