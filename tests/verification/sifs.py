"""SIFs taken apart, changed in one place, and put together so that everything fits again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixi_ship.sif.file import Part, lay_out, read_sif
from pixi_ship.sif.format import DataType
from pixi_ship.sif.pieces import Pieces
from pixi_ship.squashfs.format import InodeType, SquashfsCompression
from pixi_ship.squashfs.read import SquashfsReader

from ..contract.tools import need, output
from ..registry.client import Client, descriptor, image_manifest
from ..registry.shipping import Registry
from ..squashfs.sketch import Sketch

METADATA = "inspect-metadata.json"
CONFIG = "oci-config.json"
PACKS = "pixi-ship-packs.json"


@dataclass
class Thing:
    """What a path is, to be changed. link: of a symlink, or the first name of a hard link."""

    kind: str
    mode: int = 0o644
    data: bytes = b""
    link: str = ""
    type: InodeType = InodeType.FILE
    device: int = 0


@dataclass
class Object:
    """A data object, to be changed."""

    kind: int
    name: str
    data: bytes
    extra: bytes = b""

    def part(self) -> Part:
        kind = DataType(self.kind) if self.kind in {*DataType} else self.kind
        return Part(kind, self.name, Pieces.of(self.data), self.extra)  # type: ignore[arg-type]


@dataclass
class Sif:
    """A SIF in memory. root: what its paths are, the root's own being empty.

    edit: changes the bytes at the end.
    """

    objects: list[Object]
    root: dict[str, Thing]
    architecture: str
    edit: Callable[[bytearray], object] = lambda data: None
    _before: dict[str, Thing] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Sif:
        found = read_sif(path)
        objects = [
            Object(each.kind, each.name, found.read(each), each.extra) for each in found.objects
        ]
        with SquashfsReader(path, found.root.offset, found.root.size) as reader:
            root = {"": Thing("directory", reader.root.mode)}
            for each in reader.entries():
                data = b"".join(each.chunks())
                root[each.path] = Thing(
                    each.kind, each.mode, data, each.link, each.type, each.device
                )
        return cls(objects, root, found.architecture, _before=copied(root))

    # --- objects ---------------------------------------------------------------------------

    def named(self, name: str) -> Object:
        (found,) = (each for each in self.objects if each.name == name)
        return found

    def drop(self, name: str) -> None:
        self.objects.remove(self.named(name))

    def add(self, kind: DataType, name: str, data: bytes = b"more", extra: bytes = b"") -> None:
        self.objects.append(Object(kind, name, data, extra))

    def change_json(self, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change a document, and write it as we would."""
        found = self.named(name)
        document = json.loads(found.data)
        change(document)
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        found.data = text.encode()

    # --- files -----------------------------------------------------------------------------

    def flip(self, path: str) -> None:
        """Change one bit in the middle of a file."""
        data = bytearray(self.root[path].data)
        data[len(data) // 2] ^= 1
        self.root[path].data = bytes(data)

    def remove(self, path: str) -> None:
        """Take a path away, and what is below it."""
        for each in [name for name in self.root if name == path or name.startswith(f"{path}/")]:
            del self.root[each]

    # --- written -----------------------------------------------------------------------------

    def write(self, path: Path) -> str:
        """Write it; a root that was changed is packed anew, and has no list of packs any more."""
        if self.root != self._before:
            self.named("rootfs").data = self._squashfs(path.with_suffix(".squashfs"))
            self.objects = [each for each in self.objects if each.name != PACKS]
        made = lay_out([each.part() for each in self.objects], self.architecture, 0)
        data = bytearray(b"".join(made.read(0, made.size)))
        self.edit(data)
        path.write_bytes(data)
        return f"sif:{path}"

    def _squashfs(self, path: Path) -> bytes:
        sketch = Sketch(SquashfsCompression.GZIP)
        sketch.root.mode = self.root[""].mode
        for name, each in sorted(self.root.items()):
            if name and each.kind != "hardlink":
                _draw(sketch, name, each)
        for name, each in self.root.items():
            if each.kind == "hardlink":
                sketch.link(name, each.link)
        return sketch.write(path).read_bytes()


def copied(root: dict[str, Thing]) -> dict[str, Thing]:
    return {path: Thing(**vars(each)) for path, each in root.items()}


def _draw(sketch: Sketch, path: str, each: Thing) -> None:
    if each.kind == "file":
        sketch.file(path, each.data, each.mode)
    elif each.kind == "directory":
        sketch.directory(path, each.mode)
    elif each.kind == "symlink":
        sketch.symlink(path, each.link)
    else:
        sketch.special(path, each.type, each.mode, each.device)


def push_sif(registry: Registry, name: str, tag: str, data: bytes) -> str:
    """Put a SIF into a registry as Apptainer does; returns its reference."""
    client = Client(registry.address)
    for blob in (b"{}", data):
        client.push_blob(name, blob)
    layers = [descriptor(data, "application/vnd.sylabs.sif.layer.v1.sif")]
    config = descriptor(b"{}", "application/vnd.sylabs.sif.config.v1+json")
    reply = client.push_manifest(
        name, tag, {**image_manifest(), "config": config, "layers": layers}
    )
    assert reply.status == 201, reply
    return f"oras://{registry.address}/{name}:{tag}"


def repacked(sif: Path, target: Path, edit: Callable[[Path], object], *options: str) -> str:
    """The SIF with a root that unsquashfs unpacked, and mksquashfs packed again.

    edit: changes the unpacked files. options: of mksquashfs.
    """
    need("unsquashfs", "mksquashfs", root=True)
    found = Sif.read(sif)
    folder, image = target.with_suffix(".root"), target.with_suffix(".squashfs")
    image.write_bytes(found.named("rootfs").data)
    output("unsquashfs", "-quiet", "-no-progress", "-strict-errors", "-d", folder, image)
    try:
        edit(folder)
        image.unlink()
        output("mksquashfs", folder, image, "-quiet", "-no-progress", *options)
    finally:
        shutil.rmtree(folder)
    found.named("rootfs").data = image.read_bytes()
    found.drop(PACKS)
    return found.write(target)
