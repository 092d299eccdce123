"""OCI layouts written by hand, as hostile as a test wants them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixi_ship.oci.descriptor import (
    CONFIG,
    INDEX,
    LAYER_GZIP,
    LAYER_TAR,
    LAYER_ZSTD,
    MANIFEST,
)

from ..tiny import member, tar_of

LABELS = {
    "pixi-ship.environment": "default",
    "pixi-ship.platform": "linux-64",
    "pixi-ship.lock.digest": f"sha256:{'1' * 64}",
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Packed:
    """A layer: bytes, their media type, and the digest of the tar that they should hold."""

    data: bytes
    media_type: str = LAYER_TAR
    diff_id: str = f"sha256:{'0' * 64}"


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> Packed:
    """A good layer with gzip."""
    tar = tar_of(members)
    return Packed(gzip.compress(tar, mtime=0), LAYER_GZIP, digest_of(tar))


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class Layout:
    """A layout in a directory; it is made when the first image is added."""

    root: Path

    def reference(self, tag: str) -> str:
        return f"oci:{self.root}:{tag}"

    def path(self, digest: str) -> Path:
        return self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def put(self, data: bytes, media_type: str) -> Row:
        """Store a blob; its descriptor."""
        digest = digest_of(data)
        self.path(digest).parent.mkdir(parents=True, exist_ok=True)
        self.path(digest).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def document(self, digest: str) -> Any:
        return json.loads(self.path(digest).read_bytes())

    def row(self, tag: str) -> Row:
        """The descriptor that a tag names."""
        (found,) = [row for row in self.rows() if _tag_of(row) == tag]
        return found

    def rows(self) -> list[Row]:
        rows: list[Row] = json.loads((self.root / "index.json").read_bytes())["manifests"]
        return rows

    def config(self, tag: str) -> Row:
        digest = self.document(self.row(tag)["digest"])["config"]["digest"]
        found: Row = self.document(digest)
        return found

    def layers(self, tag: str) -> list[Packed]:
        """The layers of an image, to make another of."""
        rows = self.document(self.row(tag)["digest"])["layers"]
        diff_ids = self.config(tag)["rootfs"]["diff_ids"]
        return [
            Packed(self.path(row["digest"]).read_bytes(), row["mediaType"], diff_id)
            for row, diff_id in zip(rows, diff_ids, strict=True)
        ]

    def blobs(self, tag: str) -> dict[str, int]:
        """Digests and bytes of everything that a tag's one image is made of."""
        row = self.row(tag)
        document = self.document(row["digest"])
        rows = [row, document["config"], *document["layers"]]
        return {each["digest"]: each["size"] for each in rows}

    def image(self, config: Mapping[str, Any], layers: Sequence[Packed]) -> Row:
        """Store an image, its ``rootfs`` filled in; its descriptor."""
        rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
        text = json.dumps({"os": "linux", "architecture": "amd64", **config, "rootfs": rootfs})
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.put(text.encode(), CONFIG),
            "layers": [self.put(layer.data, layer.media_type) for layer in layers],
        }
        return self.put(json.dumps(document).encode(), MANIFEST)

    def add(self, tag: str | None, config: Mapping[str, Any], *layers: Packed) -> str:
        """Add an image under a tag; its digest."""
        return self.tag(tag, self.image(config, layers))

    def add_index(self, tag: str, *images: tuple[str, Row]) -> str:
        """Add an index of images, each after its architecture; its digest."""
        rows = [
            {**row, "platform": {"os": "linux", "architecture": architecture}}
            for architecture, row in images
        ]
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": rows}
        return self.tag(tag, self.put(json.dumps(document).encode(), INDEX))

    def tag(self, tag: str | None, row: Row) -> str:
        """Point a tag at something stored."""
        index = self.root / "index.json"
        rows = self.rows() if index.is_file() else []
        named = {"annotations": {"org.opencontainers.image.ref.name": tag}} if tag else {}
        rows = [each for each in rows if _tag_of(each) != tag] + [{**row, **named}]
        index.write_text(json.dumps({"schemaVersion": 2, "manifests": rows}))
        (self.root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return str(row["digest"])


def _tag_of(row: Row) -> object:
    return row.get("annotations", {}).get("org.opencontainers.image.ref.name")


def ours(*, labels: Mapping[str, Any] | None = None, history: object = None, **runtime: Any) -> Row:
    """A config that says that pixi-ship built its image of one layer, the last."""
    rows = [{"created_by": "pixi-ship", "comment": "manifest, lock, entrypoint, activation"}]
    return {
        "history": rows if history is None else history,
        "config": {"Labels": {**LABELS, **(labels or {})}, **runtime},
    }


def lock_layer(lock: bytes) -> Packed:
    """A last layer with a lock and something before and after it."""
    return packed(
        member("app/pixi.toml", b"[workspace]\n"),
        member("app/pixi.lock", lock),
        member("app/entrypoint.sh", b"#!/bin/sh\n"),
    )


def lock_of(*packages: tuple[str, str, str]) -> bytes:
    """A lock of conda packages: name, version, build."""
    urls = [f"https://host.example/linux-64/{'-'.join(each)}.conda" for each in packages]
    rows: Iterable[Row] = (
        {
            "conda": url,
            "name": name,
            "version": version,
            "build": build,
            "build_number": 0,
            "subdir": "linux-64",
            "sha256": "ab" * 32,
        }
        for url, (name, version, build) in zip(urls, packages, strict=True)
    )
    environment = {
        "channels": [{"url": "https://host.example"}],
        "packages": {"linux-64": [{"conda": url} for url in urls]},
    }
    document = {"version": 6, "environments": {"default": environment}, "packages": list(rows)}
    return json.dumps(document).encode()


def zstd_bomb(blocks: int) -> Packed:
    """A zstd frame of ``blocks`` times 128 KiB of zeros, four bytes each (RFC 8878, 3.1.1.2)."""
    repeated = (131072 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = (1 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
    out = io.BytesIO()
    out.write(b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x50")  # magic, no flags, a window of 1 MiB
    out.write(repeated * blocks + last)
    return Packed(out.getvalue(), LAYER_ZSTD)
