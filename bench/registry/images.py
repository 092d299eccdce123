"""What is pushed: two versions of an environment, in our layers and in a single one.

The single layer is what a template with one ``COPY`` of the prefix gives: the same files on the
same base. It is packed by plain tools; the time that this takes has a row of its own.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Sample, run_apart
from bench.workspaces import BASE, BASE_LAYOUT

PACKER = "pigz -p2" if shutil.which("pigz") else "gzip"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
# Both digests while the bytes pass, as every maker of a layer needs them.
_PACK = """
set -euo pipefail
rm -f "$2.pipe"; mkfifo "$2.pipe"
sha256sum <"$2.pipe" >"$2.diff_id" &
tar -C "$1" --sort=name --owner=0 --group=0 --numeric-owner -c . \
    | tee "$2.pipe" | PACKER -n | tee "$2" | sha256sum
wait; rm "$2.pipe"; cat "$2.diff_id"; rm "$2.diff_id"
""".replace("PACKER", PACKER)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an environment as layouts whose only tag is ``tag``.

    layered and single: OCI layouts; tree: the files of the environment, as layers hold them.
    """

    workspace: Path
    tag: str
    layered: Path
    single: Path
    tree: Path

    def layout(self, image: str) -> Path:
        """The layout of an image, ``layered`` or ``single layer``."""
        return self.layered if image == LAYERED else self.single


LAYERED, SINGLE = "layered", "single layer"


def make_version(workspace: Path, tag: str, scratch: Path) -> Version:
    """Build the layered image, and the single layer from its files."""
    names = (scratch / f"{each}-{tag}" for each in ("layered", "single", "tree"))
    version = Version(workspace, tag, *names)
    command: list[str | Path] = [sys.executable, "-m", "pixi_ship", "build", "--quiet", "--offline"]
    command += ["--workspace", workspace, "--base", BASE, "--cache-dir", scratch / "prepared"]
    run_apart([*command, "--to", f"oci:{version.layered}:{tag}"])
    version.tree.mkdir()
    manifest = _manifest(version.layered)
    for layer in manifest["layers"][len(_manifest(BASE_LAYOUT)["layers"]) :]:
        blob = _blob(version.layered, layer["digest"])
        run_apart(["tar", "-xzf", blob, "-C", version.tree, "--no-same-owner"])
    _write_single(version, manifest)
    return version


def pack(tree: Path, into: Path) -> Sample:
    """Make a layer of a tree; the output is its digest and its diff_id, as sha256sum writes."""
    return run_apart(["bash", "-c", _PACK, "-", tree, into])


def _write_single(version: Version, layered: dict[str, Any]) -> None:
    """The layout of base and single layer, with the configuration of the layered image."""
    base = _manifest(BASE_LAYOUT)
    blobs = version.single / "blobs/sha256"
    blobs.mkdir(parents=True)
    for row in base["layers"]:
        shutil.copyfile(_blob(BASE_LAYOUT, row["digest"]), _blob(version.single, row["digest"]))
    packed = blobs / "packed"
    digest, diff_id = (f"sha256:{word}" for word in pack(version.tree, packed).output.split()[::2])
    layer = {"mediaType": _LAYER, "digest": digest, "size": packed.stat().st_size}
    packed.replace(_blob(version.single, digest))
    config = _read(_blob(version.layered, layered["config"]["digest"]))
    config["rootfs"]["diff_ids"][len(base["layers"]) :] = [diff_id]
    config.pop("history", None)  # optional, and it would have to match the layers
    media_type = layered["config"]["mediaType"]
    manifest = {
        **layered,
        "config": _write_blob(version.single, config, media_type),
        "layers": [*base["layers"], layer],
    }
    row = _write_blob(version.single, manifest, "application/vnd.oci.image.manifest.v1+json")
    row["annotations"] = {"org.opencontainers.image.ref.name": version.tag}
    index = {"schemaVersion": 2, "manifests": [row]}
    (version.single / "index.json").write_text(json.dumps(index))
    (version.single / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))


def _manifest(layout: Path) -> dict[str, Any]:
    """The manifest of the only image in a layout."""
    (row,) = _read(layout / "index.json")["manifests"]
    return _read(_blob(layout, row["digest"]))


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs/sha256" / digest.removeprefix("sha256:")


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def _write_blob(layout: Path, document: dict[str, Any], media_type: str) -> dict[str, Any]:
    data = json.dumps(document).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    _blob(layout, digest).write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}
