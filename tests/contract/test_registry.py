"""What we push is an image to everybody else: pulled, run, built upon, copied and validated.

The image of the numpy workspace goes into docker-registry once, and outside programs take it
from there; copies go to other registries and formats and come back with the same digests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..registry.distribution import DockerRegistry
from ..registry.fake import FakeRegistry
from ..registry.test_platforms import BOTH, lock_for_two
from ..tiny import Tiny, ship
from .conftest import BASE, Built, build_numpy
from .tools import Podman, need, need_newer, output, run, skopeo, skopeo_json

pytestmark = pytest.mark.xdist_group("podman")

PREFIX = "/app/.pixi/envs/default"
NAME = "team/numpy"


@dataclass(frozen=True)
class Pushed:
    """An image in a registry, and what the push said of it."""

    address: str
    digest: str
    config_digest: str

    @property
    def name(self) -> str:
        """As podman, crane and oras name it."""
        return f"{self.address}/{NAME}"

    @property
    def reference(self) -> str:
        """As skopeo and we name it."""
        return f"docker://{self.name}:t"


def push(registry: DockerRegistry | FakeRegistry, cache: Path) -> Pushed:
    target = f"docker://{registry.address}/{NAME}:t"
    report = build_numpy(cache, "--base", BASE, "--to", target)
    (image,) = report["images"]
    assert registry.integrity() == []
    return Pushed(registry.address, report["digest"], image["config_digest"])


@pytest.fixture(scope="module")
def pushed(gzip_image: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    """The image in docker-registry, from the layers that were made for the files."""
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as registry:
        found = push(registry, gzip_image.folder.parent / "cache")
        assert found.digest == gzip_image.digest, "the place does not change the image"
        yield found


@pytest.fixture(scope="module")
def identity(pushed: Pushed, podman: Podman) -> str:
    words = ["pull", "--quiet", "--tls-verify=false", f"{pushed.name}:t"]
    return output(*podman.words(*words)).split()[-1]


# Pulled, run, built upon


def test_podman_pulls_and_runs(pushed: Pushed, podman: Podman, identity: str) -> None:
    assert identity == pushed.config_digest.removeprefix("sha256:")
    done = podman.run(identity, "python", "-c", "import numpy; print(numpy.ones((3, 3)).sum())")
    assert (done.returncode, done.stdout.strip()) == (0, "9.0"), done.stderr
    done = podman.run(identity, "greet", options=["--user", "12345:12345", "--read-only"])
    assert (done.returncode, done.stdout.strip()) == (0, f"hello world from greet 1.0 in {PREFIX}")


def test_podman_pulls_by_digest(pushed: Pushed, podman: Podman, identity: str) -> None:
    words = ["pull", "--quiet", "--tls-verify=false", f"{pushed.name}@{pushed.digest}"]
    assert output(*podman.words(*words)).split()[-1] == identity


def test_buildah_builds_on_it(pushed: Pushed, podman: Podman) -> None:
    need("buildah", root=True)
    buildah = ["buildah", *podman.place]
    words = ["from", "--quiet", "--tls-verify=false", f"{pushed.name}:t"]
    container = output(*buildah, *words).strip()
    try:
        root = Path(output(*buildah, "mount", container).strip())
        assert (root / "app/pixi.lock").is_file()
        assert (root / "app/.pixi/envs/default/bin/python").exists()
    finally:
        output(*buildah, "rm", container)


# Looked at and copied


def test_skopeo_inspects(pushed: Pushed) -> None:
    need("skopeo")
    seen = skopeo_json("inspect", "--tls-verify=false", pushed.reference)
    assert seen["Digest"] == pushed.digest
    assert seen["RepoTags"] == ["t"]
    assert (seen["Os"], seen["Architecture"]) == ("linux", "amd64")


def digest_of_directory(folder: Path) -> str:
    return output("skopeo", "manifest-digest", folder / "manifest.json").strip()


COPY = ("copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false")


@pytest.mark.parametrize("form", ["dir", "oci", "oci-archive"])
def test_skopeo_copies_out_and_back(pushed: Pushed, tmp_path: Path, form: str) -> None:
    """Formats that keep a manifest's bytes keep the digest, also on the way back."""
    need("skopeo")
    place = f"{form}:{tmp_path / 'copy'}" + ("" if form == "dir" else ":t")
    skopeo(*COPY, pushed.reference, place)
    with FakeRegistry() as other:
        back = f"docker://{other.address}/copy:t"
        skopeo(*COPY, place, back)
        assert other.store.repository("copy").tags == {"t": pushed.digest}
        assert other.integrity() == []


def test_skopeo_copies_through_docker_archive(pushed: Pushed, tmp_path: Path) -> None:
    """That form has no manifest and no compression; config and contents stay."""
    need("skopeo")
    place = f"docker-archive:{tmp_path / 'copy.tar'}:example/numpy:t"
    skopeo(*COPY, pushed.reference, place)
    seen = skopeo_json("inspect", "--raw", "--config", place)
    want = skopeo_json("inspect", "--raw", "--config", "--tls-verify=false", pushed.reference)
    assert seen["rootfs"] == want["rootfs"]
    assert seen["config"]["Env"] == want["config"]["Env"]


def test_skopeo_copies_to_dockers_manifest(pushed: Pushed, tmp_path: Path) -> None:
    """Converted to Docker's media types it is another manifest about the same layers."""
    need("skopeo")
    skopeo(*COPY, "--format", "v2s2", pushed.reference, f"dir:{tmp_path / 'copy'}")
    assert digest_of_directory(tmp_path / "copy") != pushed.digest
    manifest = json.loads((tmp_path / "copy" / "manifest.json").read_bytes())
    ours = skopeo_json("inspect", "--raw", "--tls-verify=false", pushed.reference)
    assert [row["digest"] for row in manifest["layers"]] == [
        row["digest"] for row in ours["layers"]
    ]
    assert manifest["config"]["digest"] == pushed.config_digest


def test_what_skopeo_copied_is_known_to_us(pushed: Pushed, gzip_image: Built) -> None:
    """A registry that skopeo filled has all that our push would send."""
    need("skopeo")
    with FakeRegistry() as other:
        skopeo(*COPY, pushed.reference, f"docker://{other.address}/{NAME}:t")
        other.log.clear()
        again = push(other, gzip_image.folder.parent / "cache")
        assert again.digest == pushed.digest
        assert other.log.blob_bytes_received() == 0
        assert not other.log.matching("PUT")


def test_a_base_that_skopeo_pushed(tmp_path: Path, gzip_image: Built) -> None:
    """The base out of a registry gives the layers that the base out of a file gives."""
    need("skopeo")
    with DockerRegistry(tmp_path / "registry") as registry:
        base = f"docker://{registry.address}/base:bookworm"
        skopeo(*COPY, BASE, base)
        registry.log.clear()
        cache = gzip_image.folder.parent / "cache"
        target = f"docker://{registry.address}/{NAME}:t"
        report = build_numpy(cache, "--base", base, "--to", target)
        (transfers,) = report["transfers"]
        assert transfers["mounted"] == 1
        assert registry.log.blob_bytes_sent() < 1 << 20, "what the base offers is known"
        seen = skopeo_json("inspect", "--tls-verify=false", target)
        want = skopeo_json("inspect", gzip_image.references["oci"])
        assert seen["Layers"] == want["Layers"]
        assert seen["Labels"]["org.opencontainers.image.base.name"] == base[len("docker://") :]


# Others' validators


def test_crane_validates(pushed: Pushed) -> None:
    need_newer("crane")
    said = run("crane", "--insecure", "validate", "--remote", f"{pushed.name}:t")
    assert said.returncode == 0, said.stderr
    assert "PASS" in said.stdout + said.stderr
    assert output("crane", "--insecure", "digest", f"{pushed.name}:t").strip() == pushed.digest
    assert output("crane", "--insecure", "ls", pushed.name).split() == ["t"]


def test_oras_copies(pushed: Pushed, tmp_path: Path) -> None:
    need_newer("oras")
    place = f"{tmp_path / 'layout'}:t"
    output("oras", "cp", "--from-plain-http", f"{pushed.name}:t", "--to-oci-layout", place)
    (row,) = json.loads((tmp_path / "layout" / "index.json").read_bytes())["manifests"]
    assert row["digest"] == pushed.digest
    blobs = {path.name for path in (tmp_path / "layout" / "blobs" / "sha256").iterdir()}
    assert {pushed.digest[7:], pushed.config_digest[7:]} <= blobs


# Another registry, several platforms


def test_another_registry_takes_it(gzip_image: Built, pushed: Pushed) -> None:
    """One that is stricter than docker-registry about what it takes."""
    need("skopeo")
    with FakeRegistry() as other:
        found = push(other, gzip_image.folder.parent / "cache")
        assert found.digest == pushed.digest
        seen = skopeo_json("inspect", "--tls-verify=false", found.reference)
        assert (seen["Digest"], seen["RepoTags"]) == (pushed.digest, ["t"])


def test_podman_takes_its_platform(podman: Podman, tmp_path: Path) -> None:
    """Of an index; podman's identity of an image is the digest of its config."""
    tiny = lock_for_two(Tiny(tmp_path))
    with FakeRegistry() as registry:
        name = f"{registry.address}/team/tiny:t"
        report = ship(*tiny.words(*BOTH, to=f"docker://{name}")).document
        for image, architecture in zip(report["images"], ("amd64", "arm64"), strict=True):
            words = ["pull", "--quiet", "--tls-verify=false", "--arch", architecture, name]
            found = output(*podman.words(*words)).split()[-1]
            assert f"sha256:{found}" == image["config_digest"]
