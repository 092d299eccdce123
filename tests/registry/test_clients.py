"""Outside clients push to our registries and pull from them, and find what they brought.

Skopeo, crane and oras were written by others: where they are content with the fake registry, it
speaks the protocol, and where they behave alike before it and before docker-registry, tests may
take the one for the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..contract.tools import need, need_newer, output, run
from .authorization import Authorization, Basic, Bearer, TokenRules
from .behaviour import Behaviour
from .certificates import Certificate
from .distribution import DockerRegistry
from .fake import FakeRegistry
from .faults import Faults, FaultyProxy, Kind
from .layout import Layout, make_layout
from .test_authorization import USERS

Registry = FakeRegistry | DockerRegistry
ANN = f"ann:{USERS['ann']}"
BEHAVIOURS = {
    "usual": Behaviour(),
    "poor": Behaviour(
        mount=False, single_post=False, upload_status=False, ranges=False, referrers=False
    ),
    "odd": Behaviour(relative_location=True, redirect_blobs=True, page=1),
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return make_layout(tmp_path_factory.mktemp("image") / "layout", 300_000, 5_000, 1_000_000)


@pytest.fixture(params=[*BEHAVIOURS, "docker-registry"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    made: Registry
    if behaviour := BEHAVIOURS.get(request.param):
        made = FakeRegistry(behaviour)
    else:
        made = DockerRegistry(tmp_path / "docker-registry")
    with made:
        yield made


def skopeo(*words: str | Path) -> str:
    need("skopeo")
    return output("skopeo", "--insecure-policy", *words)


def pulled(folder: Path, layout: Layout) -> None:
    """A directory that skopeo wrote has the same manifest and layers."""
    assert {layer[7:] for layer in layout.layers} <= {path.name for path in folder.iterdir()}
    digest = output("skopeo", "manifest-digest", folder / "manifest.json").strip()
    assert digest == layout.digest


def crane(*words: str | Path) -> str:
    need_newer("crane")
    return output("crane", "--insecure", *words)


def oras(*words: str | Path) -> str:
    need_newer("oras")
    return output("oras", *words)


def test_skopeo(registry: Registry, layout: Layout, tmp_path: Path) -> None:
    target = f"docker://{registry.address}/some/thing:one"
    skopeo("copy", "--dest-tls-verify=false", layout.reference, target)
    assert registry.log.blob_bytes_received() == layout.blob_bytes
    assert registry.integrity() == []
    skopeo("copy", "--src-tls-verify=false", target, f"dir:{tmp_path / 'back'}")
    pulled(tmp_path / "back", layout)
    skopeo("copy", "--dest-tls-verify=false", layout.reference, target)
    assert registry.log.blob_bytes_received() == layout.blob_bytes
    tags = json.loads(
        skopeo("list-tags", "--tls-verify=false", f"docker://{registry.address}/some/thing")
    )
    assert tags["Tags"] == ["one"]


def test_crane(registry: Registry, layout: Layout, tmp_path: Path) -> None:
    target = f"{registry.address}/some/thing"
    crane("push", layout.folder, f"{target}:one")
    received = registry.log.blob_bytes_received()
    assert crane("digest", f"{target}:one").strip() == layout.digest
    assert "PASS" in crane("validate", "--remote", f"{target}:one")
    crane("tag", f"{target}:one", "two")
    assert crane("ls", target).split() == ["one", "two"]
    crane("pull", "--format=oci", f"{target}@{layout.digest}", tmp_path / "back")
    blobs = {path.name for path in (tmp_path / "back" / "blobs" / "sha256").iterdir()}
    assert {layer[7:] for layer in layout.layers} <= blobs
    registry.log.clear()
    crane("copy", f"{target}:one", f"{registry.address}/other:one")
    mounts = not isinstance(registry, FakeRegistry) or registry.behaviour.mount
    assert (registry.log.blob_bytes_received() == 0) == mounts
    assert received == layout.blob_bytes
    assert registry.integrity() == []


def test_oras(registry: Registry, layout: Layout, tmp_path: Path) -> None:
    """Also an artifact that refers to the image, where referrers are known and where not."""
    target = f"{registry.address}/some/thing:one"
    oras("cp", "--from-oci-layout", f"{layout.folder}:{layout.tag}", "--to-plain-http", target)
    words = ["attach", "--plain-http", "--artifact-type", "text/note", "--disable-path-validation"]
    note = tmp_path / "note.txt"
    note.write_text("a note")
    oras(*words, target, f"{note}:text/plain")
    found = json.loads(oras("discover", "--plain-http", "--format", "json", target))
    rows = found["referrers"] if "referrers" in found else found["manifests"]
    assert [row["artifactType"] for row in rows] == ["text/note"]
    knows = isinstance(registry, FakeRegistry) and registry.behaviour.referrers
    fallback = registry.log.matching("PUT", rf"manifests/sha256-{layout.digest[7:]}$")
    assert [each.status for each in fallback] == ([] if knows else [201])
    back = tmp_path / "back"
    oras("cp", "--from-plain-http", target, "--to-oci-layout", f"{back}:one")
    assert (back / "blobs" / "sha256" / layout.digest[7:]).is_file()
    assert registry.integrity() == []


AUTHORIZATIONS: dict[str, Authorization] = {
    "basic": Basic(USERS),
    "bearer": Bearer(USERS),
    "bearer by GET": Bearer(USERS, TokenRules(oauth=False, fields=("access_token",))),
}


@pytest.mark.parametrize("name", AUTHORIZATIONS)
def test_skopeo_with_a_password(name: str, layout: Layout, tmp_path: Path) -> None:
    with FakeRegistry(authorization=AUTHORIZATIONS[name]) as registry:
        target = f"docker://{registry.address}/some/thing:one"
        to = ["copy", "--dest-tls-verify=false", "--dest-creds"]
        skopeo(*to, ANN, layout.reference, target)
        source = ["copy", "--src-tls-verify=false", "--src-creds", ANN]
        skopeo(*source, target, f"dir:{tmp_path / 'back'}")
        pulled(tmp_path / "back", layout)
        assert registry.integrity() == []
        wrong = run("skopeo", "--insecure-policy", *to, "ann:wrong", layout.reference, target)
        assert wrong.returncode != 0


def test_skopeo_with_a_password_for_docker_registry(tmp_path: Path, layout: Layout) -> None:
    with DockerRegistry(tmp_path, users=USERS) as registry:
        to = ["copy", "--dest-tls-verify=false", "--dest-creds"]
        target = f"docker://{registry.address}/some/thing:one"
        skopeo(*to, ANN, layout.reference, target)
        wrong = run("skopeo", "--insecure-policy", *to, "ann:wrong", layout.reference, target)
        assert wrong.returncode != 0
        assert registry.integrity() == []


@pytest.mark.parametrize("authorization", [Basic(USERS), Bearer(USERS)], ids=["basic", "bearer"])
def test_oras_with_a_password(authorization: Authorization, layout: Layout, tmp_path: Path) -> None:
    """Through a login, of which oras makes a token each time."""
    with FakeRegistry(authorization=authorization) as registry:
        config = str(tmp_path / "config.json")
        login = ["login", "--plain-http", "--registry-config", config, "--username", "ann"]
        oras(*login, "--password", USERS["ann"], registry.address)
        source = ["cp", "--from-oci-layout", f"{layout.folder}:{layout.tag}"]
        to = ["--to-plain-http", "--to-registry-config", config]
        oras(*source, *to, f"{registry.address}/some/thing:one")
        assert [digest for *_, digest in registry.store.tagged()] == [layout.digest]
        assert registry.integrity() == []


@pytest.mark.parametrize("kind", ["fake", "docker-registry"])
def test_skopeo_with_tls(
    kind: str, certificate: Certificate, layout: Layout, tmp_path: Path
) -> None:
    """The authority of the test is enough, and nothing else is."""
    trusted = tmp_path / "certs"
    trusted.mkdir()
    (trusted / "ca.crt").write_bytes(certificate.authority.read_bytes())
    with ExitStack() as stack:
        registry: Registry = (
            FakeRegistry(tls=certificate)
            if kind == "fake"
            else DockerRegistry(tmp_path / "registry", tls=certificate)
        )
        stack.enter_context(registry)
        target = f"docker://{registry.address}/some/thing:one"
        copy = ["skopeo", "--insecure-policy", "copy"]
        assert run(*copy, layout.reference, target).returncode != 0
        output(*copy, "--dest-cert-dir", trusted, layout.reference, target)
        output(*copy, "--src-cert-dir", trusted, target, f"dir:{tmp_path / 'back'}")
        pulled(tmp_path / "back", layout)
        assert registry.integrity() == []


def test_skopeo_past_faults(fake_registry: FakeRegistry, layout: Layout, tmp_path: Path) -> None:
    """Skopeo waits where it is told to, and finishes; a wrong byte it does not take."""
    for kind in (Kind.TOO_MANY, Kind.SLOW):
        faults = Faults(2, kinds=[kind], rate=1.0, budget=3, in_a_row=1)
        back = tmp_path / kind.name
        with FaultyProxy(fake_registry.address, faults) as proxy:
            target = f"docker://{proxy.address}/some/{kind.name.lower()}:one"
            skopeo("copy", "--dest-tls-verify=false", layout.reference, target)
            skopeo("copy", "--src-tls-verify=false", target, f"dir:{back}")
        pulled(back, layout)
        assert [each.kind for each in faults.injected] == [kind] * 3
    assert fake_registry.integrity() == []
    with FaultyProxy(fake_registry.address, Faults.endless(1, Kind.WRONG_BYTES)) as proxy:
        source = f"docker://{proxy.address}/some/slow:one"
        copy = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false"]
        assert run(*copy, source, f"dir:{tmp_path / 'wrong'}").returncode != 0


def test_the_base_image_goes_in_and_out(fake_registry: FakeRegistry, tmp_path: Path) -> None:
    base = Path(__file__).parents[2] / ".test-data" / "base"
    if not (base / "index.json").exists():
        pytest.skip("no base image here (make setup makes it)")
    reference = f"oci:{base}:bookworm"
    target = f"docker://{fake_registry.address}/base:one"
    skopeo("copy", "--dest-tls-verify=false", reference, target)
    skopeo("copy", "--src-tls-verify=false", target, f"dir:{tmp_path / 'back'}")
    kept = {path.name for path in (base / "blobs" / "sha256").iterdir()}
    back = {path.name for path in (tmp_path / "back").iterdir()}
    digest = output("skopeo", "manifest-digest", tmp_path / "back" / "manifest.json").strip()
    assert kept - back == {digest.removeprefix("sha256:")}
    assert fake_registry.integrity() == []
