"""One name for several platforms: an index of images, of which each machine takes its own.

The images come from one lock with two platforms; skopeo and podman choose among them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from ..contract.tools import need, output, skopeo_json
from ..tiny import Ran, Tiny, info_of, member, paths_json, raw_conda, ship, tar_of
from .distribution import DockerRegistry
from .fake import FakeRegistry
from .graph import OCI_INDEX, OCI_MANIFEST
from .shipping import Registry, base_at, documents, home, lay, offer, package, pushed

__all__ = ["home"]

BOTH = ("--platform", "linux-64", "--platform", "linux-aarch64")


def for_arm(tiny: Tiny, name: str) -> Path:
    """The package of this name for the other platform."""
    payload = tar_of([member(f"share/{name}", b"for arm\n", mode=0o644)])
    info = info_of(name, paths=paths_json(f"share/{name}"), subdir="linux-aarch64")
    compressed = zstandard.ZstdCompressor().compress(payload)
    made = raw_conda(tiny.root / "arm", info, compressed, f"{name}-1.0-0.conda", packed=True)
    place = tiny.channel / "linux-aarch64" / made.name
    place.parent.mkdir(parents=True, exist_ok=True)
    return made.rename(place)


def noarch(tiny: Tiny, name: str) -> Path:
    """A package for every platform."""
    payload = tar_of([member(f"share/{name}", b"for all\n", mode=0o644)])
    info = info_of(name, paths=paths_json(f"share/{name}"), subdir="noarch", noarch="generic")
    made = raw_conda(tiny.root / "any", info, payload, f"{name}-1.0-0.conda")
    place = tiny.channel / "noarch" / made.name
    place.parent.mkdir(parents=True, exist_ok=True)
    return made.rename(place)


def lock_for_two(found: Tiny) -> Tiny:
    """Lock a workspace for two platforms that share one package."""
    found.lock(package(found, "one"), for_arm(found, "one"), noarch(found, "shared"))
    path = found.work / "pixi.lock"
    lock = json.loads(path.read_text())
    platforms = lock["environments"]["default"]["packages"]
    every = platforms["linux-64"]
    platforms["linux-64"] = [row for row in every if "/linux-aarch64/" not in row["conda"]]
    platforms["linux-aarch64"] = [row for row in every if "/linux-64/" not in row["conda"]]
    path.write_text(json.dumps(lock))
    manifest = found.work / "pixi.toml"
    both = '["linux-64", "linux-aarch64"]'
    manifest.write_text(manifest.read_text().replace('["linux-64"]', both))
    return found


@pytest.fixture
def tiny(tmp_path: Path, home: Path) -> Tiny:
    return lock_for_two(Tiny(tmp_path))


def index_in(registry: FakeRegistry, tag: str = "t") -> dict[str, object]:
    repository = registry.store.repository("team/tiny")
    found = repository.manifests[repository.tags[tag]]
    assert found.media_type == OCI_INDEX
    document: dict[str, object] = json.loads(found.data)
    return document


def offered(document: dict[str, object]) -> dict[str, str]:
    """Digest by architecture."""
    rows = document["manifests"]
    assert isinstance(rows, list)
    platforms = [(row["platform"]["os"], row["platform"]["architecture"]) for row in rows]
    assert {os for os, _ in platforms} == {"linux"}
    return {name: row["digest"] for (_, name), row in zip(platforms, rows, strict=True)}


def digests(ran: Ran) -> list[str]:
    return [image["digest"] for image in ran.document["images"]]


def test_an_index(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    """The tag names the index, the index both images, and all is there."""
    ran = pushed(tiny, fake_registry, *BOTH)
    assert fake_registry.store.repository("team/tiny").tags == {"t": ran.digest}
    document = index_in(fake_registry)
    amd, arm = digests(ran)
    assert offered(document) == {"amd64": amd, "arm64": arm}
    assert ran.digest not in digests(ran)
    assert fake_registry.integrity() == []


def test_the_tag_comes_last(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    ran = pushed(tiny, fake_registry, *BOTH)
    put = [each.path for each in fake_registry.log if each.method == "PUT"]
    manifests = [path.rpartition("/")[2] for path in put if "/manifests/" in path]
    assert manifests == [*digests(ran), ran.digest, "t"]
    assert put[-4:] == [path for path in put if "/manifests/" in path]


def test_each_image_is_the_one_that_is_built_alone(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    """And what the platforms share is made and sent once."""
    ran = pushed(tiny, fake_registry, *BOTH)
    alone = [
        pushed(tiny, fake_registry, *BOTH[start : start + 2], name=f"team/tiny:{start}")
        for start in (0, 2)
    ]
    assert digests(ran) == [each.digest for each in alone]
    assert all(each.document["transfers"][0]["sent"] == 0 for each in alone)
    first, second = ([row["digest"] for row in image["layers"]] for image in ran.document["images"])
    (shared,) = set(first) & set(second)
    assert len(fake_registry.log.matching("PUT", "blobs/uploads")) == len(fake_registry.store.blobs)
    assert ran.document["counters"]["layers_built"] + ran.document["counters"]["layers_reused"] == 4
    assert shared in fake_registry.store.blobs


def test_one_platform_leaves_no_index(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    ran = pushed(tiny, fake_registry, "--platform", "linux-aarch64", "--platform", "linux-aarch64")
    (manifest,) = fake_registry.store.repository("team/tiny").manifests.values()
    assert manifest.media_type == OCI_MANIFEST
    assert digests(ran) == [ran.digest]


def test_a_second_push_only_looks(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    first = pushed(tiny, fake_registry, *BOTH)
    fake_registry.log.clear()
    assert pushed(tiny, fake_registry, *BOTH).digest == first.digest
    assert {each.method for each in fake_registry.log} == {"HEAD"}


def arm_base(registry: FakeRegistry, layout: Path) -> None:
    """A base of two platforms; the second differs from the first in its config."""
    amd = offer(registry, layout)
    blobs, _ = documents(layout)
    manifest = json.loads(blobs[amd])
    config = json.loads(blobs[manifest["config"]["digest"]])
    data = json.dumps({**config, "architecture": "arm64"}).encode()
    name = lay(registry, "scrap", data, OCI_MANIFEST)
    registry.store.add_blob("base/os", name, data)
    manifest["config"] |= {"digest": name, "size": len(data)}
    other = json.dumps(manifest).encode()
    arm = lay(registry, "base/os", other, OCI_MANIFEST)
    rows = [
        {
            "mediaType": OCI_MANIFEST,
            "digest": digest,
            "size": size,
            "platform": {"os": "linux", "architecture": architecture},
        }
        for digest, size, architecture in (
            (amd, len(blobs[amd]), "amd64"),
            (arm, len(other), "arm64"),
        )
    ]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": rows}
    lay(registry, "base/os", json.dumps(index).encode(), OCI_INDEX, "both")


def test_each_platform_stands_on_its_own_base(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    """The lock keeps the digest of the base's index, which serves all platforms."""
    arm_base(fake_registry, tiny.base())
    base = base_at(fake_registry, tag="both")
    ran = pushed(tiny, fake_registry, *BOTH, "--base", base, "--base-lock")
    found = offered(index_in(fake_registry))
    names = set()
    for architecture in ("amd64", "arm64"):
        manifest = fake_registry.store.manifest("team/tiny", found[architecture])
        assert manifest is not None
        document = json.loads(manifest)
        config = fake_registry.store.blob("team/tiny", document["config"]["digest"])
        assert config is not None
        assert json.loads(config)["architecture"] == architecture
        names.add(document["annotations"]["org.opencontainers.image.base.digest"])
    assert len(names) == 2
    locked = fake_registry.store.repository("base/os").tags["both"]
    assert f'digest = "{locked}"' in (tiny.work / "pixi-ship.lock").read_text()
    assert ran.document["base"]["digest"] == locked
    assert fake_registry.integrity() == []


def test_a_platform_that_is_not_locked(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    ran = pushed(tiny, fake_registry, *BOTH, "--platform", "linux-ppc64le")
    assert (ran.status, ran.out) == (2, "")
    assert "is not locked for platform 'linux-ppc64le'" in ran.err
    assert len(fake_registry.log) == 0


def test_into_files_and_registries_at_once(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    ran = pushed(tiny, fake_registry, *BOTH, "--to", f"oci:{tiny.output}:t")
    (row,) = json.loads((tiny.output / "index.json").read_bytes())["manifests"]
    assert row["digest"] == ran.digest
    assert row["mediaType"] == OCI_INDEX


@pytest.fixture(params=["fake", "docker-registry"])
def registry(
    request: pytest.FixtureRequest, fake_registry: FakeRegistry, tmp_path: Path
) -> Registry:
    if request.param == "fake":
        return fake_registry
    made: DockerRegistry = request.getfixturevalue("docker_registry")
    return made


@pytest.mark.parametrize(("architecture", "place"), [("amd64", 0), ("arm64", 1)])
def test_skopeo_takes_its_own(
    registry: Registry, tiny: Tiny, tmp_path: Path, architecture: str, place: int
) -> None:
    need("skopeo")
    ran = pushed(tiny, registry, *BOTH)
    reference = f"docker://{registry.address}/team/tiny:t"
    words = ["inspect", "--tls-verify=false", "--override-arch", architecture]
    seen = skopeo_json(*words, reference)
    assert (seen["Os"], seen["Architecture"]) == ("linux", architecture)
    layers = {row["digest"] for row in ran.document["images"][place]["layers"]}
    assert layers < set(seen["Layers"])
    copy = ["skopeo", "--insecure-policy", "--override-arch", architecture, "copy"]
    output(*copy, "--src-tls-verify=false", reference, f"dir:{tmp_path / 'copy'}")
    digest = output("skopeo", "manifest-digest", tmp_path / "copy" / "manifest.json").strip()
    assert digest == digests(ran)[place]


def test_skopeo_copies_the_whole_index(registry: Registry, tiny: Tiny, tmp_path: Path) -> None:
    need("skopeo")
    ran = pushed(tiny, registry, *BOTH)
    reference = f"docker://{registry.address}/team/tiny:t"
    layout = tmp_path / "layout"
    copy = ["skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests"]
    output(*copy, "--src-tls-verify=false", reference, f"oci:{layout}:t")
    (row,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    assert row["digest"] == ran.digest
    with FakeRegistry() as second:
        back = f"docker://{second.address}/team/tiny:t"
        output(*copy, "--dest-tls-verify=false", f"oci:{layout}:t", back)
        assert second.store.repository("team/tiny").tags == {"t": ran.digest}
        assert second.integrity() == []


def test_a_plan_of_both(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    ran = pushed(tiny, fake_registry, *BOTH)
    plan = ship(
        *("plan", "-w", tiny.work, "--base", "scratch", "--cache-dir", tiny.cache, "--json", *BOTH)
    )
    assert [image["digest"] for image in plan.document["images"]] == digests(ran)
