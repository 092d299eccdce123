"""A small image as an OCI layout, which outside programs push."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .graph import OCI_INDEX, OCI_MANIFEST, digest_of

_IMAGE = "application/vnd.oci.image"


@dataclass(frozen=True, slots=True)
class Layout:
    """An OCI layout with one image; ``layers`` are the digests of its layers."""

    folder: Path
    tag: str
    digest: str
    layers: tuple[str, ...]
    blob_bytes: int

    @property
    def reference(self) -> str:
        """As skopeo wants it."""
        return f"oci:{self.folder}:{self.tag}"


def _layer(seed: int, size: int) -> tuple[bytes, str]:
    """A gzipped tar with one file of random bytes, and the digest of the tar."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        member = tarfile.TarInfo(f"file-{seed}")
        member.size = size
        tar.addfile(member, io.BytesIO(Random(seed).randbytes(size)))
    return gzip.compress(plain.getvalue(), mtime=0), digest_of(plain.getvalue())


def make_layout(folder: Path, *sizes: int, tag: str = "small") -> Layout:
    """An image with a layer of about each size in bytes."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def kept(data: bytes, kind: str) -> dict[str, object]:
        digest = digest_of(data)
        (blobs / digest.removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    made = [_layer(seed, size) for seed, size in enumerate(sizes)]
    layers = [kept(data, f"{_IMAGE}.layer.v1.tar+gzip") for data, _ in made]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in made]},
    }
    raw = json.dumps(document).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": kept(raw, f"{_IMAGE}.config.v1+json"),
        "layers": layers,
    }
    row = kept(json.dumps(manifest).encode(), OCI_MANIFEST)
    named = {**row, "annotations": {"org.opencontainers.image.ref.name": tag}}
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [named]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    size = len(raw) + sum(len(data) for data, _ in made)
    digests = tuple(str(layer["digest"]) for layer in layers)
    return Layout(folder, tag, str(row["digest"]), digests, size)
