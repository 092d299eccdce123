"""A builder with an empty cache takes over what an earlier build of the image found out.

Proves by counters and by the registry's log that only what changed is fetched and made, that
the image is the one a full build gives, that nothing taken over stays in the cache, and that
a record that is damaged, absurd or lying ends in a clear error or in an image that `verify`
refuses.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pixi_ship.build_record import MEDIA_TYPE
from pixi_ship.cache import Cache
from pixi_ship.digest import Digest
from pixi_ship.oci.artifact import Artifact
from pixi_ship.oci.descriptor import MANIFEST, Descriptor
from pixi_ship.oci.reference import parse_reference
from pixi_ship.registry.attach import attach
from pixi_ship.registry.registries import without_login
from tests.conftest import TestData
from tests.tiny import Ran, ship

from .fake import FakeRegistry

BASE = Path(__file__).parents[2] / ".test-data" / "base"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as found:
        yield found


def build(
    data: TestData, workspace: str | Path, cache: Path, registry: FakeRegistry, *more: str | Path
) -> Ran:
    workspace = data.workspace(workspace) if isinstance(workspace, str) else workspace
    place = f"docker://{registry.address}/lab/ci:1"
    return ship(
        *("build", "-w", workspace, "--base", f"oci:{BASE}:bookworm"),
        *(
            "--cache-dir",
            cache,
            "--to",
            place,
            "--cache-from",
            place,
            "--json",
            "--no-compile",
            *more,
        ),
    )


def renamed(workspace: Path, folder: Path) -> Path:
    """A copy that is called `numpy`: a workspace's name is a variable that scripts see."""
    copy = folder / "renamed"
    shutil.copytree(workspace, copy)
    manifest, lock = copy / "pixi.toml", copy / "pixi.lock"
    manifest.write_text(manifest.read_text().replace('"numpy-updated"', '"numpy"'))
    wheels = str(workspace.parents[1] / "wheelhouse")
    lock.write_text(lock.read_text().replace("../../wheelhouse", wheels))
    return copy


def counters(ran: Ran) -> dict[str, int]:
    return dict(ran.document["counters"])


@pytest.fixture
def first(channel_data: TestData, tmp_path: Path, registry: FakeRegistry) -> Ran:
    ran = build(channel_data, "numpy", tmp_path / "first", registry)
    assert counters(ran)["layers_built"] > 4, "there was nothing to take over"
    registry.log.clear()
    return ran


def test_nothing_is_left_to_do(
    channel_data: TestData, tmp_path: Path, registry: FakeRegistry, first: Ran
) -> None:
    again = build(channel_data, "numpy", tmp_path / "empty", registry)
    assert again.digest == first.digest
    done = counters(again)
    assert done.pop("layers_reused") == len(first.image["layers"])
    assert set(done.values()) == {0}, done
    assert registry.log.blob_bytes_received() == 0
    cache = tmp_path / "empty"
    assert not list(cache.glob("archives/*"))
    assert not list(cache.glob("layers/*")), "what was taken over stays in the registry"
    assert not list(cache.glob("notes/merge/*"))


def test_only_what_changed(
    channel_data: TestData, tmp_path: Path, registry: FakeRegistry, first: Ran
) -> None:
    updated = renamed(channel_data.workspace("numpy-updated"), tmp_path)
    after = build(channel_data, updated, tmp_path / "empty", registry)
    done = counters(after)
    assert (done["archives_fetched"], done["layers_built"]) == (1, 1)
    whole = build(channel_data, updated, tmp_path / "first", registry)
    assert whole.digest == after.digest != first.digest
    assert registry.integrity() == []


def test_no_image_yet(channel_data: TestData, tmp_path: Path, registry: FakeRegistry) -> None:
    ran = build(channel_data, "numpy", tmp_path / "empty", registry)
    assert counters(ran)["layers_reused"] == 0


def record(registry: FakeRegistry) -> tuple[str, dict[str, Any]]:
    """The digest of the record's blob, and what it says."""
    for manifest in registry.store.repositories["lab/ci"].manifests.values():
        document = json.loads(manifest.data)
        if document.get("artifactType") == MEDIA_TYPE:
            digest = document["layers"][0]["digest"]
            raw = (
                zstandard.ZstdDecompressor()
                .decompressobj()
                .decompress(registry.store.blobs[digest])
            )
            return digest, json.loads(raw)
    raise AssertionError("there is no record")


def test_record_holds_keys_and_paths_only(
    tmp_path: Path, registry: FakeRegistry, first: Ran
) -> None:
    _, document = record(registry)
    assert set(document) == {"notes"}
    assert set(document["notes"]) == {"activation", "base", "layers", "merge", "paths", "post-link"}
    assert str(tmp_path) not in json.dumps(document)


def test_damaged_record(
    channel_data: TestData, tmp_path: Path, registry: FakeRegistry, first: Ran
) -> None:
    digest, _ = record(registry)
    data = bytearray(registry.store.blobs[digest])
    data[len(data) // 2] ^= 1
    registry.store.blobs[digest] = bytes(data)
    ran = build(channel_data, "numpy", tmp_path / "empty", registry)
    assert ran.status == 1
    assert ran.err.startswith("error: reading docker://")
    assert "digest is sha256:" in ran.err


def test_lying_record(
    channel_data: TestData, tmp_path: Path, registry: FakeRegistry, first: Ran
) -> None:
    """Who can push to the repository can make it lie; then `verify` does not hold."""
    _, document = record(registry)
    notes = document["notes"]["layers"]
    one, other = sorted(notes)[:2]
    notes[one] = notes[other]
    reference = parse_reference(f"docker://{registry.address}/lab/ci:1")
    with without_login(Cache(tmp_path / "attacker")) as registries:
        (image,) = registries.read_all(reference)
        assert image.manifest is not None
        subject = Descriptor(MANIFEST, Digest.of(image.manifest), len(image.manifest))
        lie = zstandard.ZstdCompressor().compress(json.dumps(document).encode())
        attach(Artifact(subject, MEDIA_TYPE, lie), registries.repository(reference))
    ran = build(channel_data, "numpy", tmp_path / "empty", registry)
    assert ran.digest != first.digest
    checked = ship(
        *("verify", str(reference), "-w", channel_data.workspace("numpy")),
        *("--base", f"oci:{BASE}:bookworm", "--cache-dir", tmp_path / "checker"),
    )
    assert checked.status == 1
    assert "differs in" in checked.out
