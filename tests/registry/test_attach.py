"""Statements about an image: written into files, and found beside it in a registry.

Proves that bills of materials and provenance reach a registry before the tag does, by the
referrers API and by its fallback tag, are about the right image, and are not added twice;
``oras`` finds and reads them in docker-registry.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.cache import Cache
from pixi_ship.digest import Digest
from pixi_ship.oci.reference import parse_reference
from pixi_ship.registry.registries import Registries, without_login
from tests.tiny import Ran, Tiny, ship

from .behaviour import Behaviour
from .client import Client
from .distribution import DockerRegistry
from .fake import FakeRegistry

ORAS = Path(__file__).parents[2] / ".test-data/tools/bin/oras"
KINDS = {
    "spdx": "application/spdx+json",
    "cyclonedx": "application/vnd.cyclonedx+json",
    "slsa": "application/vnd.in-toto+json",
}
ALL = ("--sbom", "spdx", "--sbom", "cyclonedx", "--provenance", "slsa")


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    found = Tiny(tmp_path / "tiny")
    found.lock(found.good())
    return found


@pytest.fixture
def registries(tmp_path: Path) -> Iterator[Registries]:
    with without_login(Cache(tmp_path / "reader")) as found:
        yield found


def push(tiny: Tiny, address: str, *more: str | Path) -> Ran:
    ran = ship(*tiny.words(*more, to=f"docker://{address}/lab/tiny:1"))
    assert ran.status == 0, ran.err
    return ran


def attached(registries: Registries, address: str, digest: str) -> dict[str, dict[str, Any]]:
    """What a client finds for an image: artifact type → document."""
    repository = registries.repository(parse_reference(f"docker://{address}/lab/tiny:1"))
    found = {}
    for row in repository.referrers(Digest.parse(digest)):
        _, data = repository.manifest(row.digest)
        manifest = json.loads(data)
        assert manifest["subject"]["digest"] == digest
        (layer,) = manifest["layers"]
        client = Client(address)
        body = client.ask("GET", f"/v2/lab/tiny/blobs/{layer['digest']}").body
        assert layer["mediaType"] == manifest["artifactType"]
        found[manifest["artifactType"]] = json.loads(body)
    return found


@pytest.mark.parametrize("by_api", [True, False], ids=["by the API", "by the fallback tag"])
def test_found_beside_the_image(tiny: Tiny, registries: Registries, by_api: bool) -> None:
    with FakeRegistry(Behaviour(referrers=by_api)) as registry:
        digest = push(tiny, registry.address, *ALL).digest
        found = attached(registries, registry.address, digest)
        assert set(found) == set(KINDS.values())
        statement = found[KINDS["slsa"]]
        assert statement["subject"][0]["digest"] == {"sha256": digest.removeprefix("sha256:")}
        assert digest.removeprefix("sha256:") in json.dumps(found[KINDS["spdx"]])
        assert digest.removeprefix("sha256:") in json.dumps(found[KINDS["cyclonedx"]])
        tags = registry.store.repositories["lab/tiny"].tags
        assert set(tags) == {"1"} if by_api else {"1", digest.replace(":", "-")}
        assert registry.integrity() == []


@pytest.mark.parametrize("by_api", [True, False], ids=["by the API", "by the fallback tag"])
def test_not_twice(tiny: Tiny, registries: Registries, by_api: bool) -> None:
    with FakeRegistry(Behaviour(referrers=by_api)) as registry:
        digest = push(tiny, registry.address, "--sbom", "spdx").digest
        push(tiny, registry.address, "--sbom", "spdx", "--provenance", "slsa")
        repository = registries.repository(parse_reference(f"docker://{registry.address}/lab/tiny"))
        rows = repository.referrers(Digest.parse(digest))
        assert len(rows) == len({row.digest for row in rows}) == 2


def test_before_the_tag(tiny: Tiny) -> None:
    with FakeRegistry() as registry:
        push(tiny, registry.address, *ALL)
        puts = [each.path for each in registry.log if each.method == "PUT"]
        manifests = [path for path in puts if "/manifests/" in path]
        assert manifests[-1].endswith("/manifests/1")
        assert len(manifests) == 1 + len(KINDS) + 1


def test_files(tiny: Tiny, tmp_path: Path) -> None:
    spdx, slsa = tmp_path / "out" / "bill.json", tmp_path / "provenance.json"
    words = ("--sbom", f"spdx:{spdx}", "--provenance", f"slsa:{slsa}")
    first = tiny.build(*words)
    assert json.loads(spdx.read_text())["spdxVersion"] == "SPDX-2.3"
    assert json.loads(slsa.read_text())["predicateType"] == "https://slsa.dev/provenance/v1"
    before = spdx.read_bytes(), slsa.read_bytes()
    assert tiny.build(*words).digest == first.digest
    assert (spdx.read_bytes(), slsa.read_bytes()) == before


def test_no_place(tiny: Tiny) -> None:
    tiny.refused(
        "error: the spdx document has no place: only registries keep it beside the image",
        "  hint: name a file: spdx:FILE",
        status=2,
        more=("--sbom", "spdx"),
    )


@pytest.mark.parametrize("words", ["slsa", "spdx:", "SPDX", ""])
def test_unknown_document(tiny: Tiny, words: str) -> None:
    tiny.refused(
        f"error: {words!r} is no such document",
        "  hint: want spdx or cyclonedx, or FORMAT:FILE",
        status=2,
        more=("--sbom", words),
    )


@pytest.mark.contract
@pytest.mark.skipif(not ORAS.is_file(), reason="oras is not here: setup/newer_tools.sh fetches it")
def test_oras_discovers(tiny: Tiny, docker_registry: DockerRegistry) -> None:
    digest = push(tiny, docker_registry.address, *ALL).digest
    place = f"{docker_registry.address}/lab/tiny@{digest}"
    command = [str(ORAS), "discover", "--plain-http", "--format", "json", place]
    ran = subprocess.run(command, capture_output=True, check=True, timeout=60)
    document = json.loads(ran.stdout)
    rows = document.get("referrers") or document.get("manifests")
    assert {row["artifactType"] for row in rows} == set(KINDS.values())
