"""SIFs in registries and on nodes: as artifacts, made of any image, pulled once and in part.

Apptainer itself is asked in tests/apptainer/test_oras.py. Here requests and bytes are counted.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.digest import Digest
from pixi_ship.sif.file import read_sif
from pixi_ship.sif.pack_list import packs_in

from ..tiny import Ran, Tiny, ship
from .behaviour import Behaviour
from .distribution import DockerRegistry
from .fake import FakeRegistry
from .shipping import Registry, failed, home, hurry, package, pushed

__all__ = ["home"]

LARGE = 300_000  # bytes of a package that are worth a request of their own
SIF_LAYER = "application/vnd.sylabs.sif.layer.v1.sif"


@pytest.fixture
def tiny(tmp_path: Path, home: Path) -> Tiny:
    found = Tiny(tmp_path)
    change(found, 0)
    return found


def change(tiny: Tiny, seed: int) -> None:
    """Three packages, of which the second has new content."""
    tiny.lock(
        package(tiny, "first", size=LARGE),
        package(tiny, "second", seed=seed, size=LARGE),
        package(tiny, "third", size=LARGE),
    )


def oras(tiny: Tiny, registry: Registry, tag: str = "t") -> Ran:
    """Build, and push the SIF."""
    return ship(*tiny.words(to=f"oras://{registry.address}/team/tiny-sif:{tag}"))


def pull(reference: str, node: Path, *more: str | Path) -> dict[str, Any]:
    return ship("pull", reference, "--to", node, "--json", *more).document


def sif_of(tiny: Tiny) -> bytes:
    """What a build writes to a file."""
    path = tiny.root / "built.sif"
    assert ship(*tiny.words(to=f"sif:{path}")).status == 0
    return path.read_bytes()


def body_bytes(registry: FakeRegistry) -> int:
    """Bytes of blobs that went out."""
    return sum(each.sent or 0 for each in registry.log if "/blobs/" in each.path)


# Artifacts


def test_the_manifest_is_what_apptainer_reads(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    ran = oras(tiny, fake_registry)
    want = sif_of(tiny)
    found = fake_registry.store.repository("team/tiny-sif")
    manifest = json.loads(found.manifests[found.tags["t"]].data)
    assert manifest["schemaVersion"] == 2
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["config"] == {
        "mediaType": "application/vnd.sylabs.sif.config.v1+json",
        "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}",
        "size": 2,
    }
    (layer,) = manifest["layers"]
    assert layer == {
        "mediaType": SIF_LAYER,
        "digest": f"sha256:{hashlib.sha256(want).hexdigest()}",
        "size": len(want),
        "annotations": {"org.opencontainers.image.title": "tiny-sif.sif"},
    }
    assert fake_registry.store.blobs[layer["digest"]] == want
    assert fake_registry.integrity() == []
    (moved,) = ran.document["transfers"]
    assert (moved["sent"], moved["bytes_sent"]) == (2, len(want) + 2)


def test_the_same_sif_is_not_sent_twice(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    oras(tiny, fake_registry)
    fake_registry.log.clear()
    (moved,) = oras(tiny, fake_registry).document["transfers"]
    assert {each.method for each in fake_registry.log} == {"HEAD"}
    assert (moved["found"], moved["bytes_sent"]) == (2, 0)


def test_image_and_sif_in_one_build(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    place = f"{fake_registry.address}/team/tiny"
    ran = ship(*tiny.words("--to", f"oras://{place}:t-sif", to=f"docker://{place}:t"))
    assert ran.status == 0, ran.err
    tags = fake_registry.store.repository("team/tiny").tags
    assert set(tags) == {"t", "t-sif"}
    assert tags["t"] == ran.digest
    assert fake_registry.integrity() == []


def test_an_upload_that_is_cut_goes_on(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docker_registry: DockerRegistry
) -> None:
    """docker-registry judges the bytes of a SIF that no file holds."""
    hurry(monkeypatch)
    oras(tiny, docker_registry)
    found = pull(f"oras://{docker_registry.address}/team/tiny-sif:t", tmp_path / "node")
    assert Path(found["path"]).read_bytes() == sif_of(tiny)
    assert docker_registry.integrity() == []


# Any image becomes a SIF


@pytest.mark.parametrize("form", ["oci", "oci-archive", "docker-archive", "docker"])
def test_convert_gives_what_a_build_gives(
    fake_registry: FakeRegistry, tiny: Tiny, form: str
) -> None:
    place = f"docker://{fake_registry.address}/team/tiny:t" if form == "docker" else ""
    place = place or f"{form}:{tiny.root / 'image'}:t"
    assert ship(*tiny.words(to=place)).status == 0
    other = tiny.root / "converted.sif"
    cache = ("--cache-dir", tiny.root / "other-cache")
    ran = ship("convert", place, "--to", f"sif:{other}", "--json", *cache)
    assert ran.document["layers"] == 4
    built, converted = read_sif(tiny.root / "built.sif") if sif_of(tiny) else None, read_sif(other)
    assert built is not None
    assert packs_in(converted) == packs_in(built) or form == "docker-archive"
    if form != "docker-archive":  # which has no manifest to be named by
        assert other.read_bytes() == (tiny.root / "built.sif").read_bytes()
    again = ship("convert", place, "--to", f"sif:{other}", "--json", *cache)
    assert again.document["reused"] == 4


def test_convert_into_a_registry(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    pushed(tiny, fake_registry)
    place = f"{fake_registry.address}/team"
    ran = ship("convert", f"docker://{place}/tiny:t", "--to", f"oras://{place}/sif:t")
    assert ran.status == 0, ran.err
    found = fake_registry.store.repository("team/sif")
    (layer,) = json.loads(found.manifests[found.tags["t"]].data)["layers"]
    assert fake_registry.store.blobs[layer["digest"]] == sif_of(tiny)


def test_convert_keeps_no_layer(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    """Of a registry's layers only what they are packed to stays."""
    ran = pushed(tiny, fake_registry)
    cache = tiny.root / "other-cache"
    place = f"docker://{fake_registry.address}/team/tiny:t"
    to = f"sif:{tiny.root / 'x.sif'}"
    assert ship("convert", place, "--to", to, "--cache-dir", cache).status == 0
    kept = {f"sha256:{path.name}" for path in (cache / "blobs").iterdir()}
    assert not kept & {layer["digest"] for layer in ran.image["layers"]}


@pytest.mark.parametrize("to", ["oci:x", "docker://localhost/x", "docker-archive:x"])
def test_convert_makes_sifs_only(tiny: Tiny, to: str) -> None:
    ran = ship("convert", "oci:image", "--to", to)
    assert ran.status == 2
    assert "is no place for a SIF" in ran.err
    assert "want sif:FILE or oras://HOST/NAME:TAG" in ran.err


# Nodes


def test_pull_of_an_image_packs_it_here(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    digest = pushed(tiny, fake_registry).digest
    node = tiny.root / "node"
    found = pull(f"docker://{fake_registry.address}/team/tiny:t", node)
    assert found["digest"] == digest
    assert found["path"] == str(node / f"{digest.replace(':', '-')}.sif")
    assert not found["there_before"]
    assert found["bytes_fetched"] > 3 * LARGE
    assert Path(found["path"]).read_bytes() == sif_of(tiny)


def test_pull_prints_the_path_alone(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    pushed(tiny, fake_registry)
    ran = ship("pull", f"docker://{fake_registry.address}/team/tiny:t", "--to", tiny.root / "node")
    (file,) = (tiny.root / "node").glob("*.sif")
    assert ran.out == f"{file}\n"


@pytest.mark.parametrize("transport", ["docker", "oras"])
def test_a_digest_that_is_there_asks_nobody(
    fake_registry: FakeRegistry, tiny: Tiny, transport: str
) -> None:
    name = "team/tiny" if transport == "docker" else "team/tiny-sif"
    assert ship(*tiny.words(to=f"{transport}://{fake_registry.address}/{name}:t")).status == 0
    node = tiny.root / "node"
    digest = fake_registry.store.repository(name).tags["t"]
    reference = f"{transport}://{fake_registry.address}/{name}@{digest}"
    pull(reference, node)
    fake_registry.log.clear()
    again = pull(reference, node)
    assert again["there_before"]
    assert again["bytes_fetched"] == 0
    assert list(fake_registry.log) == []


@pytest.mark.parametrize("transport", ["docker", "oras"])
def test_of_the_next_version_only_what_changed(
    fake_registry: FakeRegistry, tiny: Tiny, transport: str
) -> None:
    name = "team/tiny" if transport == "docker" else "team/tiny-sif"
    to = f"{transport}://{fake_registry.address}/{name}:t"
    node = tiny.root / "node"
    for seed in (0, 1):
        change(tiny, seed)
        assert ship(*tiny.words(to=to)).status == 0
        fake_registry.log.clear()
        found = pull(to, node)
        assert Path(found["path"]).read_bytes() == sif_of(tiny)
        if seed:
            assert LARGE < found["bytes_fetched"] < 1.5 * LARGE
            assert body_bytes(fake_registry) < 1.6 * LARGE
    assert len(list(node.glob("*.sif"))) == 2


def test_nothing_but_sifs_takes_room(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    node = tiny.root / "node"
    for seed in (0, 1):
        change(tiny, seed)
        pushed(tiny, fake_registry)
        pull(f"docker://{fake_registry.address}/team/tiny:t", node)
    rest = [path for path in (node / ".cache").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in rest) < LARGE // 4
    old, _ = sorted(node.glob("*.sif"), key=lambda path: path.stat().st_mtime)
    before = len(list((node / ".cache/notes/pack").iterdir()))
    old.unlink()
    change(tiny, 2)
    pushed(tiny, fake_registry)
    pull(f"docker://{fake_registry.address}/team/tiny:t", node)
    after = len(list((node / ".cache/notes/pack").iterdir()))
    assert after == before, "a note went with the file, one came"


@pytest.mark.parametrize("transport", ["docker", "oras"])
def test_a_file_that_rotted_is_not_taken_from(
    fake_registry: FakeRegistry, tiny: Tiny, transport: str
) -> None:
    """One byte in each pack of the earlier file: everything is fetched, and right."""
    name = "team/tiny" if transport == "docker" else "team/tiny-sif"
    to = f"{transport}://{fake_registry.address}/{name}:t"
    node = tiny.root / "node"
    assert ship(*tiny.words(to=to)).status == 0
    first = Path(pull(to, node)["path"])
    with first.open("r+b") as file:
        for each in packs_in(read_sif(first)):
            file.seek(each.offset + each.size // 2)
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1]))
    change(tiny, 1)
    assert ship(*tiny.words(to=to)).status == 0
    found = pull(to, node)
    assert found["bytes_fetched"] > 3 * LARGE
    assert Path(found["path"]).read_bytes() == sif_of(tiny)


def test_a_registry_without_ranges(tiny: Tiny) -> None:
    """Then a SIF comes whole, and once."""
    with FakeRegistry(Behaviour(ranges=False)) as registry:
        node = tiny.root / "node"
        for seed in (0, 1):
            change(tiny, seed)
            oras(tiny, registry)
            found = pull(f"oras://{registry.address}/team/tiny-sif:t", node)
            want = sif_of(tiny)
            assert Path(found["path"]).read_bytes() == want
            assert found["bytes_fetched"] <= len(want) + 2**18


def test_a_sif_that_ends_early_is_fetched_anew(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    to = f"docker://{fake_registry.address}/team/tiny:t"
    pushed(tiny, fake_registry)
    path = Path(pull(to, tiny.root / "node")["path"])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert not pull(to, tiny.root / "node")["there_before"]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("transport", ["docker", "oras"])
def test_many_at_once_are_one_transfer(
    docker_registry: DockerRegistry, tiny: Tiny, transport: str
) -> None:
    name = "team/tiny" if transport == "docker" else "team/tiny-sif"
    to = f"{transport}://{docker_registry.address}/{name}:t"
    assert ship(*tiny.words(to=to)).status == 0
    docker_registry.log.clear()
    words = [sys.executable, "-m", "pixi_ship", "pull", to, "--to", str(tiny.root / "node")]
    jobs = [
        subprocess.Popen([*words, "--json"], stdout=subprocess.PIPE, text=True) for _ in range(12)
    ]
    said = [json.loads(job.communicate(timeout=120)[0]) for job in jobs]
    assert sorted(each["there_before"] for each in said) == [False] + 11 * [True]
    assert len({each["path"] for each in said}) == 1
    got = [e.path for e in docker_registry.log if e.method == "GET" and "/blobs/" in e.path]
    whole = {path for path in got if got.count(path) > 1}
    assert {path for path in whole if not _is_config(path, docker_registry)} == set()


def _is_config(path: str, registry: DockerRegistry) -> bool:
    """Every job reads the small config that it was not told of."""
    digest = path.rpartition(":")[2]
    data = registry.folder / f"storage/docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"
    return data.stat().st_size < 20_000


@pytest.mark.parametrize("moment", [0.02, 0.05, 0.1, 0.2, 0.4])
@pytest.mark.parametrize("transport", ["docker", "oras"])
def test_a_pull_that_is_killed(
    fake_registry: FakeRegistry, tiny: Tiny, transport: str, moment: float
) -> None:
    """Only complete files have the name, and the next pull ends well and leaves nothing more."""
    name = "team/tiny" if transport == "docker" else "team/tiny-sif"
    to = f"{transport}://{fake_registry.address}/{name}:t"
    assert ship(*tiny.words(to=to)).status == 0
    want, node = sif_of(tiny), tiny.root / "node"
    words = [sys.executable, "-m", "pixi_ship", "pull", to, "--to", str(node)]
    seen = len(fake_registry.log)
    job = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(fake_registry.log) == seen and job.poll() is None:
        pass  # its first request
    try:
        job.wait(moment)
    except subprocess.TimeoutExpired:
        job.kill()
        job.wait()
    for path in node.glob("*.sif"):
        assert path.read_bytes() == want
    found = pull(to, node)
    assert Path(found["path"]).read_bytes() == want
    assert [path.name for path in node.iterdir() if path.name.endswith(".tmp")] == []
    assert list((node / ".cache/tmp").iterdir()) == []


# Errors


def test_an_image_is_no_sif(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    pushed(tiny, fake_registry)
    place = f"{fake_registry.address}/team/tiny:t"
    failed(
        ship("pull", f"oras://{place}", "--to", tiny.root / "node"),
        f"error: oras://{place} is no SIF",
        "  hint: an image is named by docker://, only a SIF by oras://",
    )


def test_a_sif_is_no_image(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    oras(tiny, fake_registry)
    ran = ship(
        *("pull", f"docker://{fake_registry.address}/team/tiny-sif:t"),
        *("--to", tiny.root / "node"),
    )
    assert ran.status == 1
    assert "oras://" in ran.err
    assert "Traceback" not in ran.err


def test_a_damaged_sif_in_the_registry(
    fake_registry: FakeRegistry, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    oras(tiny, fake_registry)
    found = fake_registry.store.repository("team/tiny-sif")
    (layer,) = json.loads(found.manifests[found.tags["t"]].data)["layers"]
    data = bytearray(fake_registry.store.blobs[layer["digest"]])
    data[-5] ^= 1
    fake_registry.store.blobs[layer["digest"]] = bytes(data)
    reference = f"oras://{fake_registry.address}/team/tiny-sif:t"
    ran = ship("pull", reference, "--to", tiny.root / "node")
    assert ran.status == 1
    assert str(Digest.of(bytes(data))) in ran.err
    assert list((tiny.root / "node").glob("*sif*")) == []


def test_nothing_to_pull_of_a_file(tiny: Tiny) -> None:
    ran = ship("pull", "sif:x.sif", "--to", tiny.root / "node")
    assert (ran.status, ran.out) == (2, "")
    assert "is a SIF on this machine already" in ran.err


def test_a_directory_that_cannot_be_made(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    pushed(tiny, fake_registry)
    place = f"docker://{fake_registry.address}/team/tiny:t"
    ran = ship("pull", place, "--to", "/proc/nowhere/images")
    assert (ran.status, ran.out) == (1, "")
    assert "/proc/nowhere/images" in ran.err
    assert "choose another place with --to\n" in ran.err
