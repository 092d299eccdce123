"""Change one thing in an image, and write an image again in which everything fits.

All digests, sizes and counts are made anew, so nothing but a comparison with what the image
should be can find the change. What is not changed keeps its bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

RECORD = 512
END = bytes(2 * RECORD)
_IMAGE = "application/vnd.oci.image"
_REF_NAME = "org.opencontainers.image.ref.name"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def blob_path(folder: Path, digest: str) -> Path:
    return folder / "blobs" / digest.replace(":", "/")


@dataclass
class Piece:
    """A member of a tar: its extended headers, header, content and padding as they stand there."""

    path: str
    info: tarfile.TarInfo
    data: bytes
    raw: bytes


def piece(path: str, data: bytes = b"", **fields: Any) -> Piece:
    """A new member; `fields` are those of TarInfo."""
    info = tarfile.TarInfo(path)
    info.mode = 0o644
    return _encoded(info, data, fields)


def _encoded(info: tarfile.TarInfo, data: bytes, fields: dict[str, Any]) -> Piece:
    for key, value in fields.items():
        setattr(info, key, value)
    if not info.isreg() and "size" not in fields:
        data = b""
    info.size = len(data)
    raw = info.tobuf(tarfile.PAX_FORMAT)
    return Piece(info.name.rstrip("/"), info, data, raw + data + bytes(-len(data) % RECORD))


def pieces(tar: bytes) -> list[Piece]:
    """The members of a tar."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        found = archive.getmembers()
        starts = [info.offset for info in found]
        made = []
        for info, start in zip(found, starts, strict=True):
            size = info.size if info.isreg() else 0
            end = info.offset_data + size + -size % RECORD
            data = tar[info.offset_data : info.offset_data + size]
            made.append(Piece(info.name.rstrip("/"), info, data, tar[start:end]))
        return made


def joined(found: list[Piece]) -> bytes:
    return b"".join(each.raw for each in found) + END


@dataclass
class Image:
    """An image with its layers unpacked to tars; ``base`` is how many of them are not ours.

    raw_config: bytes to write in place of ``config``. edit: changes the manifest at the end.
    """

    config: dict[str, Any]
    layers: list[bytes]
    manifest: dict[str, Any]
    base: int
    raw_config: Callable[[bytes], bytes] = lambda raw: raw
    edit: Callable[[dict[str, Any]], object] = lambda manifest: None
    edit_raw: Callable[[bytes], bytes] = lambda raw: raw
    index: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path, base: int) -> Image:
        """The one image of a layout."""
        (row,) = json.loads((folder / "index.json").read_bytes())["manifests"]
        manifest = json.loads(blob_path(folder, row["digest"]).read_bytes())
        config = json.loads(blob_path(folder, manifest["config"]["digest"]).read_bytes())
        layers = [
            unpacked(blob_path(folder, each["digest"]).read_bytes()) for each in manifest["layers"]
        ]
        return cls(config, layers, manifest, base)

    # --- files -----------------------------------------------------------------------------

    def layer_of(self, path: str) -> int:
        """The uppermost layer that has an entry for a path."""
        for place in reversed(range(len(self.layers))):
            if any(each.path == path for each in pieces(self.layers[place])):
                return place
        raise KeyError(path)

    def change(self, place: int, edit: Callable[[list[Piece]], object]) -> None:
        """Edit the members of a layer in place."""
        found = pieces(self.layers[place])
        edit(found)
        self.layers[place] = joined(found)

    def _replace(self, path: str, new: Callable[[Piece], list[Piece]]) -> None:
        def edit(found: list[Piece]) -> None:
            (at,) = (at for at, each in enumerate(found) if each.path == path)
            found[at : at + 1] = new(found[at])

        self.change(self.layer_of(path), edit)

    def read_file(self, path: str) -> bytes:
        (found,) = (e for e in pieces(self.layers[self.layer_of(path)]) if e.path == path)
        return found.data

    def flip(self, path: str) -> None:
        """Change one bit of a file; its header keeps its bytes."""

        def flipped(old: Piece) -> list[Piece]:
            at = len(old.data) // 2
            data = old.data[:at] + bytes([old.data[at] ^ 1]) + old.data[at + 1 :]
            head = len(old.raw) - len(old.data) - -len(old.data) % RECORD
            raw = old.raw[:head] + data + old.raw[head + len(data) :]
            return [Piece(path, old.info, data, raw)]

        self._replace(path, flipped)

    def write_file(self, path: str, data: bytes) -> None:
        self._replace(path, lambda old: [_encoded(old.info, data, {})])

    def set(self, path: str, **fields: Any) -> None:
        """Change fields of an entry's header; its content stays where it can."""
        self._replace(path, lambda old: [_encoded(old.info, old.data, fields)])

    def become(self, path: str, data: bytes = b"", **fields: Any) -> None:
        """Put something else in the place of an entry."""
        self._replace(path, lambda old: [piece(path, data, **fields)])

    def remove(self, path: str) -> None:
        self._replace(path, lambda old: [])

    def add(self, path: str, data: bytes = b"", layer: int = -1, **fields: Any) -> None:
        """One more entry at the end of a layer, the last one if nothing is said."""
        self.change(layer, lambda found: found.append(piece(path, data, **fields)))

    # --- documents ---------------------------------------------------------------------------

    @property
    def runtime(self) -> dict[str, Any]:
        """The part of the config that runtimes apply."""
        found: dict[str, Any] = self.config["config"]
        return found

    @property
    def labels(self) -> dict[str, Any]:
        found: dict[str, Any] = self.runtime["Labels"]
        return found

    def forget_layer(self, place: int) -> None:
        """Take a layer away, and its row of the history."""
        del self.layers[place], self.config["history"][place]

    # --- written -----------------------------------------------------------------------------

    def write(
        self,
        folder: Path,
        tag: str = "t",
        pack: Callable[[bytes], bytes] | None = None,
        kind: str | None = None,
    ) -> str:
        """Write a consistent layout; returns its reference.

        pack: how layers are compressed. kind: what the manifest says of that.
        """
        pack = pack or gzipped
        kind = kind or ("zstd" if pack is zstd_packed else "gzip")
        rootfs = {**self.config.get("rootfs", {})}
        rootfs["diff_ids"] = [digest_of(layer) for layer in self.layers]
        document = {**self.config, "rootfs": rootfs}
        raw = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        config = self._put(folder, f"{_IMAGE}.config.v1+json", self.raw_config(raw.encode()))
        manifest = {**self.manifest, "config": config}
        manifest["layers"] = [
            self._put(folder, f"{_IMAGE}.layer.v1.tar+{kind}", pack(layer)) for layer in self.layers
        ]
        self.edit(manifest)
        raw_manifest = self.edit_raw(json.dumps(manifest).encode())
        row = self._put(folder, f"{_IMAGE}.manifest.v1+json", raw_manifest)
        rows = [{**row, "annotations": {_REF_NAME: tag}}]
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": rows}))
        return f"oci:{folder}:{tag}"

    def _put(self, folder: Path, media_type: str, data: bytes) -> dict[str, Any]:
        path = blob_path(folder, digest_of(data))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def zstd_packed(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(1).compress(data)


def unpacked(blob: bytes) -> bytes:
    if blob[:2] == b"\x1f\x8b":
        return gzip.decompress(blob)
    if blob[:4] == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(blob)
    return blob
