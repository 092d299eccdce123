"""An image in a registry is verified there: streamed, with its base from a registry too.

Against the strict registry in memory and against Debian's docker-registry. What comes back
from a copy of skopeo's is the same image; what somebody changed there is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..contract.tools import need, skopeo
from ..registry.behaviour import Behaviour
from ..registry.distribution import DockerRegistry
from ..registry.fake import FakeRegistry
from ..registry.shipping import Registry, hurry, push_layout
from ..tiny import Ran, Tiny, ship
from .case import Verdict, lock, packages, write_base
from .tamper import Image, digest_of


@pytest.fixture(params=["fake", "redirecting", "docker-registry"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    made: Registry
    if request.param == "docker-registry":
        made = DockerRegistry(tmp_path / "docker-registry")
    else:
        made = FakeRegistry(Behaviour(redirect_blobs=request.param == "redirecting"))
    with made:
        yield made


class Remote:
    """A workspace whose base and whose image are in a registry."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry = registry
        self.tiny = Tiny(folder)
        self.base = write_base(folder / "base")
        lock(self.tiny, *packages(self.tiny.channel))
        self.base_digest = push_layout(registry, self.base, "base/os", "one")
        ran = ship(
            "build",
            "--to",
            self.at("team/app:t"),
            "--base",
            self.at("base/os:one"),
            "--quiet",
            "--json",
            *self.place(),
        )
        assert ran.status == 0, ran.err
        self.digest = ran.digest

    def at(self, name: str) -> str:
        return f"docker://{self.registry.address}/{name}"

    def place(self, cache: Path | None = None) -> list[str | Path]:
        return ["-w", self.tiny.work, "--cache-dir", cache or self.tiny.cache]

    def verify(self, name: str, *more: str | Path, cache: Path | None = None) -> Verdict:
        """Without a word about the base, which the image's labels name."""
        return Verdict(ship("verify", self.at(name), "--json", *self.place(cache), *more))

    def image(self, folder: Path) -> Image:
        """What is in the registry, to be changed."""
        need("skopeo")
        copy(self.at("team/app:t"), f"oci:{folder}:t")
        return Image.read(folder, 2)


def copy(source: str, target: str, *options: str) -> None:
    plain = ["--src-tls-verify=false"] if source.startswith("docker:") else []
    plain += ["--dest-tls-verify=false"] if target.startswith("docker:") else []
    need("skopeo")
    skopeo("copy", "--quiet", *plain, *options, source, target)


@pytest.fixture
def remote(registry: Registry, tmp_path: Path) -> Remote:
    return Remote(registry, tmp_path / "remote")


def test_pushed(remote: Remote) -> None:
    verdict = remote.verify("team/app:t")
    verdict.holds()
    (image,) = verdict.document["images"]
    assert image["digest"] == remote.digest
    assert image["base"]["digest"] == remote.base_digest
    (note,) = image["warnings"]
    base = f"{remote.at('base/os:one')}@{remote.base_digest}"
    assert note == f"only the image says that its base is {base}: insist on one with --base"


def test_by_digest(remote: Remote) -> None:
    remote.verify(f"team/app@{remote.digest}").holds()


COPIES = {
    "--all": "application/vnd.oci.image.layer.v1.tar+gzip",
    "--format v2s2": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "--dest-compress-format zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}


@pytest.mark.parametrize("options", COPIES)
def test_copied_to_another_repository(remote: Remote, options: str) -> None:
    target = remote.at("other/copy:t")
    copy(remote.at("team/app:t"), target, *options.split())
    raw = skopeo("inspect", "--raw", "--tls-verify=false", target)
    # skopeo may find a layer there as it was, and then does not pack it anew.
    assert COPIES[options] in {row["mediaType"] for row in json.loads(raw)["layers"]}
    remote.verify("other/copy:t").holds()


def test_pulled_and_pushed_again(remote: Remote, tmp_path: Path) -> None:
    copy(remote.at("team/app:t"), f"docker-archive:{tmp_path / 'a.tar'}:team/app:t")
    copy(f"docker-archive:{tmp_path / 'a.tar'}:team/app:t", remote.at("other/again:t"))
    remote.verify("other/again:t").holds()


def test_another_image_under_the_name(remote: Remote, tmp_path: Path) -> None:
    """A change that is consistent, pushed in the place of the right one."""
    image = remote.image(tmp_path / "pulled")
    image.flip("app/pixi.lock")
    copy(image.write(tmp_path / "wrong"), remote.at("team/app:t"))
    remote.verify("team/app:t").differs(("file", "/app/pixi.lock"))


def test_a_base_whose_tag_moved(remote: Remote, tmp_path: Path) -> None:
    """The image names the digest of its base; the tag's new image is another one."""
    other = write_base(tmp_path / "other", programs=b"#!/bin/other\n")
    moved = push_layout(remote.registry, other, "base/os", "one")
    remote.verify("team/app:t").holds()
    remote.verify("team/app:t", "--base", remote.at("base/os:one")).holds()
    verdict = remote.verify("team/app:t", "--base", f"{remote.at('base/os')}@{moved}")
    assert ("layer", "layer 1, of the base") in verdict.found
    (remote.tiny.work / "pixi-ship.lock").write_text(
        f'version = 1\n\n[[base]]\nreference = "{remote.at("base/os:one")}"\ndigest = "{moved}"\n'
    )
    verdict = remote.verify("team/app:t")
    assert ("layer", "layer 1, of the base") in verdict.found


def test_an_image_that_is_not_there(remote: Remote) -> None:
    ran = remote.verify("team/nothing:t").ran
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("error: ")
    assert "team/nothing" in ran.err


def test_a_base_that_is_not_there(remote: Remote, tmp_path: Path) -> None:
    """An image that names a base which nobody has cannot be proven."""
    image = remote.image(tmp_path / "pulled")
    image.labels["org.opencontainers.image.base.digest"] = f"sha256:{'7' * 64}"
    copy(image.write(tmp_path / "wrong"), remote.at("team/app:t"))
    ran = remote.verify("team/app:t").ran
    assert (ran.status, ran.out) == (1, "")
    assert "7" * 64 in ran.err
    verdict = remote.verify("team/app:t", "--base", f"{remote.at('base/os')}@{remote.base_digest}")
    assert ("config", "config.config.Labels.org.opencontainers.image.base.digest") in verdict.found


def kept(cache: Path) -> set[str]:
    """The digests of everything below a cache."""
    return {digest_of(path.read_bytes()) for path in cache.rglob("*") if path.is_file()}


def test_nothing_of_the_image_is_kept(remote: Remote, tmp_path: Path) -> None:
    """Of ours no layers come into the cache, only documents; of the base what is looked into."""
    folder = tmp_path / "pulled"
    copy(remote.at("team/app:t"), f"oci:{folder}:t")
    (row,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    manifest = json.loads((folder / "blobs" / row["digest"].replace(":", "/")).read_bytes())
    base = {path.name for path in (remote.base / "blobs" / "sha256").iterdir()}
    fresh = tmp_path / "fresh"
    remote.verify("team/app:t", cache=fresh).holds()
    ours = {row["digest"] for row in manifest["layers"] if row["digest"][7:] not in base}
    assert len(ours) == len(manifest["layers"]) - 2
    assert not ours & kept(fresh)
    named = {path.name for path in (fresh / "blobs").iterdir()}
    documents = [row["digest"], remote.digest, manifest["config"]["digest"]]
    assert named <= base | {digest[7:] for digest in documents}
    assert not (fresh / "layers").exists()
    assert list((fresh / "tmp").iterdir()) == []


def test_offline(remote: Remote) -> None:
    """Nobody is asked, so the image cannot be read."""
    remote.registry.log.clear()
    ran = remote.verify("team/app:t", "--offline").ran
    assert (ran.status, ran.out) == (1, "")
    assert len(remote.registry.log) == 0


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Remote, str]]:
    """An image in the registry in memory, and the digest of one of its layers, to be broken."""
    hurry(monkeypatch)
    with FakeRegistry() as registry:
        remote = Remote(registry, tmp_path / "remote")
        raw = registry.store.manifest("team/app", remote.digest)
        assert raw is not None
        yield remote, json.loads(raw)["layers"][4]["digest"]


def test_a_registry_that_gives_other_bytes(broken: tuple[Remote, str], tmp_path: Path) -> None:
    remote, digest = broken
    store = remote.registry.store  # type: ignore[union-attr]
    data = store.blobs[digest]
    store.blobs[digest] = data[:-1] + bytes([data[-1] ^ 1])
    verdict = remote.verify("team/app:t", cache=tmp_path / "fresh")
    assert verdict.ran.status == 1
    assert verdict.found == [("layer", "layer 5")]
    assert verdict.of("layer 5")[0] == digest


def test_a_registry_without_the_layer(broken: tuple[Remote, str], tmp_path: Path) -> None:
    remote, digest = broken
    del remote.registry.store.blobs[digest]  # type: ignore[union-attr]
    ran = remote.verify("team/app:t", cache=tmp_path / "fresh").ran
    assert_error(ran, digest)


def assert_error(ran: Ran, word: str) -> None:
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("error: ")
    assert word in ran.err
    assert "Traceback" not in ran.err
