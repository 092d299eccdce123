"""A base out of a registry: found by tag, digest or platform, read once, believed in nothing.

Every byte is held against its digest; what does not fit never comes into the cache.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixi_ship.cache import Cache
from pixi_ship.digest import BLOCK, Digest
from pixi_ship.errors import DigestMismatch, RegistryError
from pixi_ship.oci.descriptor import CONFIG, Descriptor
from pixi_ship.oci.reference import parse_reference
from pixi_ship.registry.registries import Registries

from ..tiny import Ran, Tiny, ship
from .behaviour import Behaviour
from .distribution import DockerRegistry
from .fake import FakeRegistry
from .faults import Faults, FaultyProxy, Kind
from .graph import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, digest_of
from .server import Answer, Exchange, LocalServer
from .shipping import (
    base_at,
    blobs_in,
    documents,
    failed,
    home,
    hurry,
    lay,
    offer,
    package,
    push_layout,
    random_blob,
    settings,
)
from .store import Manifest

__all__ = ["home"]

DOCKER = {
    OCI_MANIFEST: DOCKER_MANIFEST,
    CONFIG: "application/vnd.docker.container.image.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip": (
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    ),
}


@pytest.fixture
def tiny(tmp_path: Path, home: Path) -> Tiny:
    found = Tiny(tmp_path)
    found.lock(package(found, "one"))
    return found


@pytest.fixture
def layout(tiny: Tiny) -> Path:
    """An image of two layers to build on."""
    return tiny.base(glibc="2.36")


def on(tiny: Tiny, base: str, *more: str | Path) -> Ran:
    """Build on a base, into a layout."""
    return tiny.build("--base", base, *more)


def layers_of(layout: Path) -> list[str]:
    blobs, digest = documents(layout)
    return [layer["digest"] for layer in json.loads(blobs[digest])["layers"]]


def stands_on(ran: Ran, tiny: Tiny, layout: Path) -> None:
    """What was built has the base's layers below its own, in its layout too."""
    manifest = (tiny.output / "blobs/sha256" / ran.digest[7:]).read_bytes()
    built = [layer["digest"] for layer in json.loads(manifest)["layers"]]
    wanted = layers_of(layout)
    assert built[: len(wanted)] == wanted
    kinds = {layer["mediaType"] for layer in json.loads(manifest)["layers"]}
    assert all(kind.startswith("application/vnd.oci.image.layer.v1.tar") for kind in kinds)
    for digest in built:
        data = (tiny.output / "blobs/sha256" / digest[7:]).read_bytes()
        assert digest_of(data) == digest


# Names


def test_by_tag(fake_registry: FakeRegistry, tiny: Tiny, layout: Path) -> None:
    digest = offer(fake_registry, layout)
    ran = on(tiny, base_at(fake_registry))
    stands_on(ran, tiny, layout)
    assert ran.document["base"] == {"reference": base_at(fake_registry), "digest": digest}


def test_by_digest(fake_registry: FakeRegistry, tiny: Tiny, layout: Path) -> None:
    """The tag beside a digest is a name for people: it may not even be there."""
    digest = offer(fake_registry, layout)
    for name in (f"base/os@{digest}", f"base/os:gone@{digest}"):
        ran = on(tiny, f"docker://{fake_registry.address}/{name}")
        stands_on(ran, tiny, layout)
        assert ran.document["base"]["digest"] == digest


def index_of(*rows: dict[str, object], kind: str = OCI_INDEX) -> bytes:
    document = {"schemaVersion": 2, "mediaType": kind, "manifests": list(rows)}
    return json.dumps(document).encode()


def row(digest: str, size: int, architecture: str, os: str = "linux") -> dict[str, object]:
    platform = {"os": os, "architecture": architecture}
    return {"mediaType": OCI_MANIFEST, "digest": digest, "size": size, "platform": platform}


@pytest.mark.parametrize("kind", [OCI_INDEX, DOCKER_LIST])
def test_by_platform(fake_registry: FakeRegistry, tiny: Tiny, layout: Path, kind: str) -> None:
    """Others in the index are not even looked at, and the attestations of BuildKit are none."""
    digest = offer(fake_registry, layout)
    blobs, _ = documents(layout)
    size = len(blobs[digest])
    rows = [
        row(f"sha256:{'1' * 64}", 7, "unknown", "unknown"),
        row(f"sha256:{'2' * 64}", 7, "arm64"),
        row(digest, size, "amd64"),
    ]
    index = lay(fake_registry, "base/os", index_of(*rows, kind=kind), kind, "all")
    ran = on(tiny, base_at(fake_registry, tag="all"))
    stands_on(ran, tiny, layout)
    assert ran.document["base"]["digest"] == index
    other = lay(fake_registry, "base/os", index_of(*rows[:2], kind=kind), kind, "none")
    assert other != index
    base = base_at(fake_registry, tag="none")
    failed(
        on(tiny, base),
        f"error: {base} has no image for linux/amd64",
        "  hint: it has: unknown/unknown, linux/arm64",
    )


def test_another_platform(fake_registry: FakeRegistry, tiny: Tiny, layout: Path) -> None:
    """An image without an index says in its config what it is for."""
    blobs, digest = documents(layout)
    manifest = json.loads(blobs[digest])
    config = json.loads(blobs[manifest["config"]["digest"]])
    data = json.dumps({**config, "architecture": "arm64"}).encode()
    manifest["config"] |= {"digest": digest_of(data), "size": len(data)}
    offer(fake_registry, layout)
    fake_registry.store.add_blob("base/os", digest_of(data), data)
    lay(fake_registry, "base/os", json.dumps(manifest).encode(), OCI_MANIFEST, "arm")
    base = base_at(fake_registry, tag="arm")
    failed(
        on(tiny, base),
        f"error: {base} is an image for linux/arm64, want linux/amd64",
        "  hint: take a base for this platform, or give --platform",
    )


def test_what_is_not_there(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    base = base_at(fake_registry)
    failed(
        on(tiny, base),
        f"error: reading {base}: there is none (MANIFEST_UNKNOWN manifest unknown to registry)",
    )


# Forms


def test_docker_media_types(fake_registry: FakeRegistry, tiny: Tiny, layout: Path) -> None:
    """An image as docker pushes it: the layers are the same bytes under OCI's names."""
    offer(fake_registry, layout, kinds=DOCKER)
    manifest = fake_registry.store.repository("base/os").manifests.popitem()[1]
    assert b"vnd.oci" not in manifest.data
    offer(fake_registry, layout, kinds=DOCKER)
    stands_on(on(tiny, base_at(fake_registry)), tiny, layout)


def test_zstd_layers(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    other = Tiny(tiny.root / "zstd")
    other.lock(package(other, "below"))
    assert other.build("--compression", "zstd").status == 0
    offer(fake_registry, other.output)
    stands_on(on(tiny, base_at(fake_registry)), tiny, other.output)


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(redirect_blobs=True), Behaviour(ranges=False)],
    ids=["redirects", "no ranges"],
)
def test_behaviours(tiny: Tiny, layout: Path, behaviour: Behaviour) -> None:
    with FakeRegistry(behaviour) as registry:
        offer(registry, layout)
        stands_on(on(tiny, base_at(registry)), tiny, layout)


def test_compressed_on_the_way(fake_registry: FakeRegistry, tiny: Tiny, layout: Path) -> None:
    """A proxy that compresses whatever it may: it is asked not to."""
    offer(fake_registry, layout)
    on(tiny, base_at(fake_registry))
    asked = set()

    def handle(exchange: Exchange) -> None:
        asked.add(exchange.headers.get("Accept-Encoding"))
        exchange.answer(Answer(404))

    with LocalServer(handle) as server:
        on(tiny, f"docker://{server.address}/x:y")
    assert asked == {"identity"}


# The cache


def test_every_blob_comes_once(fake_registry: FakeRegistry, tiny: Tiny, layout: Path) -> None:
    """Two names in two repositories, a push and an output in a file share what was read."""
    offer(fake_registry, layout)
    offer(fake_registry, layout, "mirror/os", "two")
    blobs, digest = documents(layout)
    config = json.loads(blobs[digest])["config"]["digest"]
    want = sum(len(blobs[each]) for each in {config, *layers_of(layout)})
    assert on(tiny, base_at(fake_registry)).status == 0
    assert fake_registry.log.blob_bytes_sent() == want
    assert {config, *layers_of(layout), digest} <= blobs_in(tiny)
    fake_registry.log.clear()
    to = f"docker://{fake_registry.address}/elsewhere:t"
    base = base_at(fake_registry, "mirror/os", "two")
    assert on(tiny, base, "--to", to, "--to", f"oci:{tiny.root / 'more'}:t").status == 0
    assert fake_registry.log.blob_bytes_sent() == 0
    assert {each.path for each in fake_registry.log.matching("GET")} == {
        "/v2/mirror/os/manifests/two"
    }
    assert ship("cache", "verify", "--cache-dir", tiny.cache).status == 0


def test_a_known_base_is_not_read_for_a_push(
    fake_registry: FakeRegistry, tiny: Tiny, layout: Path
) -> None:
    """Its layers are mounted, and what they offer is in the notes: no byte comes here."""
    offer(fake_registry, layout)
    assert on(tiny, base_at(fake_registry)).status == 0
    for path in (tiny.cache / "blobs").iterdir():
        path.unlink()
    fake_registry.log.clear()
    ran = ship(*tiny.words("--base", base_at(fake_registry), to=base_at(fake_registry, "me", "t")))
    assert ran.document["transfers"][0]["mounted"] == 2
    got = {each.path for each in fake_registry.log.matching("GET") if "/blobs/" in each.path}
    assert len(got) == 1, "the config"


def test_a_rotten_blob_is_fetched_again(
    fake_registry: FakeRegistry, tiny: Tiny, layout: Path
) -> None:
    offer(fake_registry, layout)
    first = on(tiny, base_at(fake_registry))
    for digest in layers_of(layout):
        path = tiny.cache / "blobs" / digest[7:]
        path.write_bytes(bytes(path.stat().st_size))
    again = on(tiny, base_at(fake_registry), "--to", f"oci:{tiny.root / 'again'}:t")
    assert again.digest == first.digest
    stands_on(again, tiny, layout)
    assert ship("cache", "verify", "--cache-dir", tiny.cache).status == 0


# Cuts and damage


def test_what_came_before_a_cut_comes_once(tmp_path: Path) -> None:
    """The next request asks for what is left, from the last whole block on."""
    data = random_blob(5 * BLOCK)
    asked: list[str | None] = []

    def handle(exchange: Exchange) -> None:
        wanted = exchange.headers.get("Range")
        asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        rest = b"".join(data.source.read(start, 5 * BLOCK - start))
        exchange.begin(206 if wanted else 200, [], len(rest))
        exchange.write(rest[: 2 * BLOCK + 1000])
        exchange.cut()

    with (
        LocalServer(handle) as server,
        Registries(settings(), Cache(tmp_path)) as registries,
    ):
        store = registries.store(parse_reference(f"docker://{server.address}/a"))
        assert b"".join(store.blob(data.descriptor).chunks()) == b"".join(data.chunks())
    last = 5 * BLOCK - 1
    assert asked == [None, f"bytes={2 * BLOCK}-{last}", f"bytes={4 * BLOCK}-{last}"]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_cut_download_goes_on(tmp_path: Path, ranges: bool, seed: int) -> None:
    """Also where the registry knows no ranges, and sends all from the beginning."""
    other = Tiny(tmp_path)
    other.lock(package(other, "large", size=6_000_000))
    other.works()
    blobs, digest = documents(other.output)
    manifest = json.loads(blobs[digest])
    large = max(manifest["layers"], key=lambda layer: int(layer["size"]))
    want = Descriptor.from_json(large, "here")
    faults = Faults(seed, kinds=[Kind.CUT_ANSWER], rate=1.0, budget=3, in_a_row=None)
    with FakeRegistry(Behaviour(ranges=ranges)) as registry:
        offer(registry, other.output)
        with (
            FaultyProxy(registry.address, faults) as proxy,
            Registries(settings(), Cache(tmp_path / "fresh")) as registries,
        ):
            reference = parse_reference(f"docker://{proxy.address}/base/os")
            blob = registries.store(reference).blob(want)
            data = b"".join(blob.chunks())
        assert len(faults.injected) == 3
        assert digest_of(data) == large["digest"]


def wrong(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def damaged(tiny: Tiny, ran: Ran, digest: str) -> list[str]:
    """The run failed and left nothing of the blob; the lines of its error."""
    assert (ran.status, ran.out) == (1, "")
    assert digest not in blobs_in(tiny)
    tiny.assert_clean()
    return ran.err.splitlines()


def test_a_layer_of_other_bytes(fake_registry: FakeRegistry, tiny: Tiny, layout: Path) -> None:
    offer(fake_registry, layout)
    digest = layers_of(layout)[0]
    data = fake_registry.store.blobs[digest]
    spoiled = fake_registry.store.blobs[digest] = data[:-1] + bytes([data[-1] ^ 1])
    assert damaged(tiny, on(tiny, base_at(fake_registry)), digest) == [
        f"error: reading docker://{fake_registry.address}/base/os@{digest}: "
        f"digest is {digest_of(spoiled)}, its manifest says {digest}",
        "  hint: the registry's copy is damaged: push the image anew",
    ]
    fake_registry.store.blobs[digest] = data
    stands_on(on(tiny, base_at(fake_registry)), tiny, layout)


def test_a_layer_that_ends_too_early(
    fake_registry: FakeRegistry, tiny: Tiny, layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    offer(fake_registry, layout)
    digest = layers_of(layout)[0]
    fake_registry.store.blobs[digest] = fake_registry.store.blobs[digest][:-9]
    size = len(fake_registry.store.blobs[digest])
    assert damaged(tiny, on(tiny, base_at(fake_registry)), digest) == [
        f"error: reading blob {digest} of docker://{fake_registry.address}/base/os: "
        f"it ends after {size} bytes, want {size + 9}",
        "  hint: the registry's copy is damaged: push the image anew",
    ]


def test_a_longer_layer_is_cut_at_its_size(
    fake_registry: FakeRegistry, tiny: Tiny, layout: Path
) -> None:
    offer(fake_registry, layout)
    digest = layers_of(layout)[0]
    fake_registry.store.blobs[digest] += b"more"
    stands_on(on(tiny, base_at(fake_registry)), tiny, layout)


def test_a_manifest_of_other_bytes(
    fake_registry: FakeRegistry, tiny: Tiny, layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By digest and by tag: the registry says itself which digest its tag names."""
    hurry(monkeypatch)
    digest = offer(fake_registry, layout)
    manifests = fake_registry.store.repository("base/os").manifests
    spoiled = manifests[digest].data + b" "
    manifests[digest] = Manifest(OCI_MANIFEST, spoiled)
    for base in (base_at(fake_registry), f"docker://{fake_registry.address}/base/os@{digest}"):
        failed(
            on(tiny, base),
            f"error: reading {base}: digest is {digest_of(spoiled)}, want {digest}",
            "  hint: is the registry up, and the network? Run the same again to go on",
        )
    assert blobs_in(tiny) == set()


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_a_wrong_byte_on_the_way(tiny: Tiny, layout: Path, budget: int) -> None:
    """What came with another byte is read again, manifest, config and layers, and then right."""
    with FakeRegistry() as registry:
        offer(registry, layout)
        faults = Faults(1, kinds=[Kind.WRONG_BYTES], rate=1.0, budget=budget, in_a_row=1)
        with FaultyProxy(registry.address, faults) as proxy:
            ran = on(tiny, f"docker://{proxy.address}/base/os:one")
        assert len(faults.injected) == budget
        stands_on(ran, tiny, layout)
    assert ship("cache", "verify", "--cache-dir", tiny.cache).status == 0


MANIFEST = {"schemaVersion": 2, "mediaType": OCI_MANIFEST}
ODD = {
    "not json": (b"<html>", "it is not JSON"),
    "a list": (b"[]", "it is not a JSON object"),
    "deep": (b"[" * 100_000, "it is not JSON"),
    "nothing": (b"{}", "a field is missing or odd"),
    "no descriptor": (json.dumps({**MANIFEST, "config": 7}).encode(), "is not an object"),
    "schema 1": (
        json.dumps(
            {"mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws"}
        ).encode(),
        "is not an image",
    ),
    "too large": (b" " * (33 << 20), "the answer is larger than 33554432 bytes"),
    "endless config": (
        json.dumps(
            {
                **MANIFEST,
                "config": {"mediaType": CONFIG, "digest": f"sha256:{'0' * 64}", "size": 40 << 20},
                "layers": [],
            }
        ).encode(),
        "a document of 41943040 bytes",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_manifests(tiny: Tiny, name: str) -> None:
    data, want = ODD[name]

    def handle(exchange: Exchange) -> None:
        exchange.answer(Answer(200, {"Content-Type": OCI_MANIFEST}, data))

    with LocalServer(handle) as server:
        ran = on(tiny, f"docker://{server.address}/base:x")
    assert (ran.status, ran.out) == (1, "")
    first = ran.err.splitlines()[0]
    assert first.startswith("error: ")
    assert want in first
    assert len(first) < 500
    tiny.assert_clean()


def test_an_index_within_itself(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    """A chain of indexes is followed so far and no farther."""
    inner = lay(fake_registry, "base/os", b"{}", OCI_MANIFEST)
    size, kind = 2, OCI_MANIFEST
    for depth in range(8):
        one = {**row(inner, size, "amd64"), "mediaType": kind}
        data = index_of(one, kind=OCI_INDEX)
        inner = lay(fake_registry, "base/os", data, OCI_INDEX, "deep" if depth == 7 else None)
        size, kind = len(data), OCI_INDEX
    base = base_at(fake_registry, tag="deep")
    ran = on(tiny, base)
    assert ran.err == f"error: reading {base}: indexes lie in indexes without end\n"


# Offline


def test_offline(fake_registry: FakeRegistry, tiny: Tiny, layout: Path) -> None:
    """With a locked base nobody is asked; without, the error says what would help."""
    offer(fake_registry, layout)
    first = on(tiny, base_at(fake_registry), "--base-lock")
    fake_registry.log.clear()
    again = on(tiny, base_at(fake_registry), "--offline")
    assert again.digest == first.digest
    (tiny.work / "pixi-ship.lock").unlink()
    failed(
        on(tiny, base_at(fake_registry), "--offline"),
        f"error: reading {base_at(fake_registry)}: it is not in the cache, "
        f"and --offline forbids to ask {fake_registry.address}",
        "  hint: run once without --offline; --base-lock keeps the digest of the base",
    )
    assert len(fake_registry.log) == 0


def test_docker_registry(docker_registry: DockerRegistry, tiny: Tiny, layout: Path) -> None:
    digest = push_layout(docker_registry, layout)
    ran = on(tiny, base_at(docker_registry))
    stands_on(ran, tiny, layout)
    assert ran.document["base"]["digest"] == digest


def test_library_errors_are_its_own(fake_registry: FakeRegistry, tmp_path: Path) -> None:
    """A blob that nobody has, and one of other bytes: by their types a caller tells them apart."""
    with Registries(settings(), Cache(tmp_path / "cache")) as registries:
        reference = parse_reference(f"docker://{fake_registry.address}/a")
        fake_registry.store.add_blob("a", str(Digest.of(b"right")), b"wrong")
        blob = registries.store(reference).blob(Descriptor("x", Digest.of(b"right"), 5))
        with pytest.raises(DigestMismatch):
            b"".join(blob.chunks())
        gone = registries.store(reference).blob(Descriptor("x", Digest.of(b"gone"), 4))
        with pytest.raises(RegistryError, match="there is none"):
            b"".join(gone.chunks())
    assert not (tmp_path / "cache" / "blobs").exists()
