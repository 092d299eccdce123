"""A workspace with packages that only Pixi can build, and the image that comes of it, as files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rattler
from rattler import PackageRecord, RepoDataRecord, Subdir

from pixi_ship.builder import Builder, recipes_for
from pixi_ship.cache import Cache
from pixi_ship.fetch.archives import Archives
from pixi_ship.injection import injected
from pixi_ship.machine import Machine
from pixi_ship.oci.reference import SCRATCH
from pixi_ship.progress import SILENCE
from pixi_ship.selection import Options, Selection, refuse_unbuildable, select
from pixi_ship.workspace import find_workspace

from ..channel.conda_package import CondaPackage, File

CHANNEL = "https://example.org/channel/"
OPTIONS = Options(base=SCRATCH, compile_bytecode=False, workers=1)


@dataclass(frozen=True)
class Node:
    """What is at one path of an image; a hard link is the file that it names."""

    kind: str
    mode: int = 0
    content: bytes = b""


Row = dict[str, Any]


@dataclass
class Site:
    """A workspace in `root/work`; its channel may be shared by several, as addresses are locked."""

    root: Path
    version: int = 6
    shared_channel: Path | None = None
    rows: list[Row] = field(default_factory=list)

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def channel(self) -> Path:
        return self.shared_channel or self.root / "channel"

    @property
    def cache(self) -> Cache:
        return Cache(self.root / "cache")

    def archive(self, package: CondaPackage, **facts: Any) -> Path:
        """Write a package and lock its archive."""
        path = package.write(self.channel)
        data = path.read_bytes()
        row: Row = {"conda": path.as_uri(), "sha256": hashlib.sha256(data).hexdigest()}
        row |= {"name": package.name, "version": package.version, "build": package.build}
        row |= {"build_number": 0, "subdir": package.subdir, "size": len(data)}
        row |= {"depends": package.depends}
        row |= {"noarch": package.noarch} if package.noarch else {}
        self.rows.append({**row, **package.index_extra, **facts})
        return path

    def source(self, package: CondaPackage) -> Path:
        """Write a package beside the workspace, and lock that it is to be built of `src/NAME`."""
        facts: Row = {"version": package.version, "subdir": package.subdir}
        facts |= {"depends": package.depends}
        facts |= {"noarch": package.noarch} if package.noarch else {}
        if self.version == 6:
            named = {"name": package.name, "build": package.build}
            self.rows.append({"conda": f"src/{package.name}", **named, **facts})
        else:
            self.rows.append({"conda_source": f"{package.name}[0123abcd] @ src/{package.name}"})
            self.rows[-1] |= facts
        return package.write(self.root / "built")

    def pypi(self, location: str, name: str, **facts: Any) -> None:
        self.rows.append({"pypi": location, "name": name, **facts})

    def lock(self, *, manifest: str = "") -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        (self.work / "pixi.toml").write_text(
            f'[workspace]\nname = "site"\nchannels = ["{CHANNEL}"]\nplatforms = ["linux-64"]\n'
            + manifest
        )
        kinds = ("conda", "conda_source", "pypi")
        listed = [{kind: row[kind]} for row in self.rows for kind in kinds if kind in row]
        environment = {"channels": [{"url": CHANNEL}], "packages": {"linux-64": listed}}
        document: Row = {"version": self.version, "environments": {"default": environment}}
        if self.version > 6:
            document["platforms"] = [{"name": "linux-64"}]
        document["packages"] = self.rows
        (self.work / "pixi.lock").write_text(json.dumps(document, indent=1))  # JSON is YAML

    def selection(self) -> Selection:
        self.lock()
        workspace = find_workspace(self.work, search_upward=False)
        return select(workspace, OPTIONS, "linux-64", Machine())

    def inject(self, *archives: Path, prefix: Path | None = None, write: bool = True) -> Selection:
        return injected(self.selection(), archives, prefix, self.cache, write=write)

    def image(self, selection: Selection | None = None) -> Image:
        """The layers of packages, made by the engine out of the cache and the channel alone."""
        selection = selection or self.selection()
        refuse_unbuildable(selection.environment)
        cache = self.cache
        archives = Archives(cache, self.work, offline=True)
        builder = Builder(cache, archives, selection, OPTIONS, SILENCE)
        merged = builder.merged()
        layers = builder.layers(recipes_for(builder, merged), merged)
        nodes: dict[str, Node] = {}
        for layer in layers:
            with tarfile.open(cache.blob(layer.known.digest)) as tar:
                nodes |= _nodes(tar, nodes)
        return Image(nodes, tuple(str(layer.known.diff_id) for layer in layers))


@dataclass(frozen=True)
class Image:
    """The files below the prefix, and the layers' digests."""

    nodes: dict[str, Node]
    diff_ids: tuple[str, ...]

    @property
    def files(self) -> dict[str, Node]:
        """Everything but prefix records."""
        return {path: node for path, node in self.nodes.items() if not _is_record(path)}

    @property
    def records(self) -> dict[str, Row]:
        found = {path: node.content for path, node in self.nodes.items() if _is_record(path)}
        return {path: json.loads(content) for path, content in found.items()}


def _is_record(path: str) -> bool:
    return path.startswith("conda-meta/") and path.endswith(".json")


def _nodes(tar: tarfile.TarFile, known: dict[str, Node]) -> dict[str, Node]:
    root = "app/.pixi/envs/default/"
    found: dict[str, Node] = {}
    for member in tar:
        path = member.name.removeprefix(root)
        if path == member.name or member.isdir():
            continue
        if member.issym():
            found[path] = Node("link", content=member.linkname.encode())
        else:
            content = tar.extractfile(member)
            assert content is not None
            found[path] = Node("file", member.mode, content.read())
    return found


def record_of(package: CondaPackage, archive: Path) -> RepoDataRecord:
    data = archive.read_bytes()
    record = PackageRecord(
        package.name,
        package.version,
        rattler.BuildString(package.build),
        0,
        package.subdir,
        noarch=package.noarch,
        depends=package.depends,
        sha256=hashlib.sha256(data).digest(),
        size=len(data),
        python_site_packages_path=package.index_extra.get("python_site_packages_path"),
    )
    return RepoDataRecord(record, archive.name, archive.as_uri(), CHANNEL)


def install(prefix: Path, packages: Iterable[tuple[CondaPackage, Path]]) -> Path:
    """Let rattler install archives, as Pixi does."""
    records = [record_of(*each) for each in packages]

    async def run(cache: str) -> None:
        await rattler.install(
            records, prefix, cache_dir=Path(cache), platform=Subdir("linux-64"), show_progress=False
        )

    with tempfile.TemporaryDirectory() as cache:
        asyncio.run(run(cache))
    return prefix


PYTHON = CondaPackage(
    "python", "3.11.9", [File("bin/python3.11", b"#!/bin/sh\n", 0o755)], build="h1_0_cpython"
)


def tool(version: str = "1.0", **facts: Any) -> CondaPackage:
    """A package of one file."""
    name = facts.pop("name", "tool")
    text = f"{name} {version}\n".encode()
    return CondaPackage(name, version, [File(f"share/{name}.txt", text)], **facts)
