"""A SIF in a registry is fetched whole, held against its digest, and proven from that copy.

Against the strict registry in memory and Debian's. What Apptainer's own commands change in a
SIF is found, or noted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..apptainer.conftest import apptainer_or_skip
from ..apptainer.runtime import Apptainer
from ..registry.distribution import DockerRegistry
from ..registry.fake import FakeRegistry
from ..registry.shipping import Registry, hurry
from ..tiny import ship
from .case import Case
from .sifs import Sif, push_sif
from .tamper import digest_of
from .test_sif_files import ONE

NAME = "team/app"


@pytest.fixture(params=["fake", "docker-registry"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    made: Registry
    if request.param == "docker-registry":
        made = DockerRegistry(tmp_path / "docker-registry")
    else:
        made = FakeRegistry()
    with made:
        yield made


def test_pushed_by_a_build(case: Case, registry: Registry, tmp_path: Path) -> None:
    reference = f"oras://{registry.address}/{NAME}:t"
    other = case.elsewhere(tmp_path / "other")
    ran = other.build(reference)
    verdict = other.verify(reference)
    verdict.holds()
    (image,) = verdict.document["images"]
    assert image["digest"] != ran.digest, "it is the artifact's digest, not the image's"
    other.verify(f"oras://{registry.address}/{NAME}@{image['digest']}").holds()


def test_changed_in_the_registry(case: Case, registry: Registry, sif: Path, tmp_path: Path) -> None:
    found = Sif.read(sif)
    found.flip(ONE)
    found.write(tmp_path / "x.sif")
    reference = push_sif(registry, NAME, "t", (tmp_path / "x.sif").read_bytes())
    case.verify(reference).differs(("file", f"/{ONE}"))


def test_nothing_of_it_is_kept(case: Case, registry: Registry, sif: Path, tmp_path: Path) -> None:
    other = case.elsewhere(tmp_path / "other")
    reference = push_sif(registry, NAME, "t", sif.read_bytes())
    other.verify(reference).holds()
    files = [path for path in other.tiny.cache.rglob("*") if path.is_file()]
    assert digest_of(sif.read_bytes()) not in {digest_of(path.read_bytes()) for path in files}
    assert list((other.tiny.cache / "tmp").iterdir()) == []


def test_other_bytes_than_the_digest_says(
    case: Case, sif: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However harmless they are: what runs would be another file."""
    hurry(monkeypatch)
    with FakeRegistry() as registry:
        data = sif.read_bytes()
        reference = push_sif(registry, NAME, "t", data)
        registry.store.blobs[digest_of(data)] = data[:-1] + b"\1"
        ran = case.verify(reference).ran
    assert (ran.status, ran.out) == (1, "")
    assert digest_of(data) in ran.err


def test_damage_is_told_of_the_reference(
    case: Case, registry: Registry, sif: Path, tmp_path: Path
) -> None:
    """And not of the copy that was looked at."""
    found = Sif.read(sif)
    found.named("rootfs").data = found.named("rootfs").data[:5000]
    found.write(tmp_path / "x.sif")
    reference = push_sif(registry, NAME, "t", (tmp_path / "x.sif").read_bytes())
    got = case.verify(reference).of("root filesystem")[1]
    assert got is not None
    assert f"reading {reference}: its squashfs" in got


def test_one_of_others_is_not_fetched(case: Case, sif: Path, tmp_path: Path) -> None:
    """The few bytes that tell are enough."""
    found = Sif.read(sif)
    found.drop("oci-config.json")
    found.add(0x4007, "large", bytes(10 << 20))  # type: ignore[arg-type]
    found.write(tmp_path / "x.sif")
    with FakeRegistry() as registry:
        reference = push_sif(registry, NAME, "t", (tmp_path / "x.sif").read_bytes())
        registry.log.clear()
        ran = case.verify(reference).ran
        sent = sum(each.sent or 0 for each in registry.log)
    assert "holds no config of an image" in ran.err
    assert sent < 1 << 20


def test_offline(case: Case, registry: Registry, sif: Path) -> None:
    reference = push_sif(registry, NAME, "t", sif.read_bytes())
    registry.log.clear()
    ran = case.verify(reference, "--offline").ran
    assert (ran.status, ran.out) == (1, "")
    assert len(registry.log) == 0


def test_an_image_by_the_name_of_a_sif(case: Case, registry: Registry) -> None:
    place = f"{registry.address}/{NAME}:t"
    case.build(f"docker://{place}")
    ran = case.verify(f"oras://{place}").ran
    assert (ran.status, ran.out) == (1, "")
    assert "is no SIF" in ran.err


@pytest.fixture
def apptainer(tmp_path: Path) -> Apptainer:
    return apptainer_or_skip("root", tmp_path / "apptainer")


def copied(sif: Path, apptainer: Apptainer) -> Path:
    target = apptainer.folder / "x.sif"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sif, target)
    return target


def told(apptainer: Apptainer, *words: str | Path) -> None:
    done = apptainer.run(*words)
    assert done.returncode == 0, done.stderr


@pytest.mark.contract
def test_an_overlay_that_apptainer_adds(case: Case, sif: Path, apptainer: Apptainer) -> None:
    """It would lie over the root in every call."""
    target = copied(sif, apptainer)
    (apptainer.folder / "empty").write_bytes(bytes(1 << 20))
    told(
        apptainer,
        *("sif", "add", "--datatype", "4", "--partfs", "2", "--parttype", "4", "--partarch", "2"),
        *(target, apptainer.folder / "empty"),
    )
    verdict = case.verify(f"sif:{target}")
    verdict.differs(("sif", "object 6"))
    assert verdict.of("object 6") == (None, f"overlay partition, {1 << 20} bytes")


@pytest.mark.contract
def test_a_signature_by_apptainer(case: Case, sif: Path, apptainer: Apptainer) -> None:
    target = copied(sif, apptainer)
    told(
        apptainer,
        *("key", "newpair", "--name", "x", "--email", "x@example.org", "--comment", "x"),
        *("--password", "", "--push=false"),
    )
    told(apptainer, "sign", target)
    verdict = case.verify(f"sif:{target}")
    verdict.holds()
    (note,) = verdict.document["images"][0]["warnings"]
    assert note == "the SIF holds 1 signature: by whom is not checked"
    (image,) = ship("inspect", f"sif:{target}", "--json").document["images"]
    assert image["sif"]["signatures"] == 1


@pytest.mark.contract
def test_what_apptainer_makes_of_the_image(case: Case, apptainer: Apptainer) -> None:
    """Nobody can prove that: it says so, and names the image."""
    apptainer.folder.mkdir(parents=True, exist_ok=True)
    layout = apptainer.folder / "layout"
    shutil.copytree(case.layout, layout)
    done = apptainer.run("build", apptainer.folder / "x.sif", f"oci:{layout}")
    assert done.returncode == 0, done.stderr
    ran = case.verify(f"sif:{apptainer.folder / 'x.sif'}").ran
    assert (ran.status, ran.out) == (1, "")
    assert "holds no config of an image" in ran.err
    assert f"bootstrap: oci\\nfrom: {layout}" in ran.err
