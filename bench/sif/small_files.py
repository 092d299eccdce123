"""A base with many small files in several layers, as the packages of an environment have them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.sif.images import blob, manifest, read
from bench.workspaces import BASE_LAYOUT, BASE_TAG

PLACE = "data/small"
FILES = 20_000
_LAYERS, _DIRECTORIES, _NAMES = 16, 25, 50
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

# Prints how many there are and their bytes, by which every way to look at them is checked.
JOB = f"""
import os
count = size = 0
for root, _, names in os.walk("/{PLACE}"):
    for name in names:
        path = os.path.join(root, name)
        os.stat(path)
        with open(path, "rb") as file:
            size += len(file.read())
        count += 1
print(count, size)
"""


def write_base(layout: Path) -> str:
    """Write the base's layout with the files' layers on top; returns its reference."""
    shutil.copytree(BASE_LAYOUT, layout)
    made = manifest(layout)
    config = read(blob(layout, made["config"]["digest"]))
    for number in range(_LAYERS):
        tar = _tar(number)
        made["layers"].append(_write(layout, gzip.compress(tar, 6, mtime=0), _LAYER))
        config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(tar).hexdigest()}")
    config.pop("history", None)  # optional, and it would have to match the layers
    made["config"] = _write_json(layout, config, made["config"]["mediaType"])
    index = read(layout / "index.json")
    (row,) = index["manifests"]
    row |= _write_json(layout, made, row["mediaType"])
    (layout / "index.json").write_text(json.dumps(index))
    return f"oci:{layout}:{BASE_TAG}"


def _tar(number: int) -> bytes:
    """A layer; every one has directories of its own beside those of the others."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path, text in _files(number):
            member = tarfile.TarInfo(path)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return data.getvalue()


def _files(number: int) -> Iterator[tuple[str, bytes]]:
    """Files of 0.3 to 1.6 kB that compress about as well as code does."""
    for directory in range(_DIRECTORIES):
        for name in range(_NAMES):
            path = f"{PLACE}/package-{number:02}-{directory:02}/module_{name:02}.py"
            seed = hashlib.sha256(path.encode()).hexdigest()
            lines = [f"    return self.{seed[at : at + 8]}({at})\n" for at in range(56)]
            yield path, "".join(lines[: 10 + int(seed[:2], 16) % 47]).encode()


def _write_json(layout: Path, document: dict[str, Any], media_type: str) -> dict[str, Any]:
    return _write(layout, json.dumps(document).encode(), media_type)


def _write(layout: Path, data: bytes, media_type: str) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    blob(layout, digest).write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}
