"""An image that was not tampered with holds, in whatever form and made with whatever options."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ..conftest import TestData
from ..contract.tools import need, output, skopeo
from ..tiny import Tiny, ship
from .case import Case, made_case, packages, write_base
from .tamper import blob_path, digest_of, zstd_packed

FORMS = {
    "oci": "oci:{}/image:t",
    "oci-archive": "oci-archive:{}/image.tar:t",
    "docker-archive": "docker-archive:{}/image.tar:example/tiny:t",
}


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("form", FORMS)
def test_each_form(case: Case, tmp_path: Path, form: str, compression: str) -> None:
    reference = FORMS[form].format(tmp_path)
    case.build(reference, "--compression", compression)
    verdict = case.verify(reference)
    verdict.holds()
    (image,) = verdict.document["images"]
    assert image["files"] > 60
    assert (image["digest"] is None) == (form == "docker-archive")


@pytest.mark.parametrize("form", FORMS)
def test_a_change_is_found_in_each_form(case: Case, tmp_path: Path, form: str) -> None:
    """Holding would mean nothing if the form were not read to the end."""
    need("skopeo")
    image = case.image()
    image.flip("app/pixi.lock")
    wrong = image.write(tmp_path / "wrong")
    reference = FORMS[form].format(tmp_path)
    skopeo("copy", "--quiet", wrong, reference)
    case.verify(reference).differs(("file", "/app/pixi.lock"))


@pytest.mark.parametrize(
    "options",
    [
        ["--no-compile"],
        ["--max-layers", "5"],
        ["--max-layers", "4"],
        ["--max-layers", "126"],
        ["-e", "other"],
        ["--no-compile", "--max-layers", "3", "-e", "other", "--compression", "zstd"],
    ],
    ids=" ".join,
)
def test_each_option(case: Case, tmp_path: Path, options: list[str]) -> None:
    """The labels tell how it was built; nothing of it is said again."""
    reference = f"oci:{tmp_path / 'image'}:t"
    case.build(reference, *options)
    verdict = case.verify(reference)
    verdict.holds()
    assert verdict.document["images"][0]["warnings"] == []


def test_options_lead_to_other_images(case: Case, tmp_path: Path) -> None:
    """So that the test above is one: what the options change is there to be compared."""
    digests = set()
    for number, options in enumerate(
        ([], ["--no-compile"], ["--max-layers", "4"], ["-e", "other"])
    ):
        ran = case.build(f"oci:{tmp_path / str(number)}:t", *options)
        digests.add(ran.digest)
    assert len(digests) == 4


def test_a_time_of_the_build(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = f"oci:{tmp_path / 'image'}:t"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    case.build(reference)
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    case.verify(reference).holds()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    case.verify(reference).holds()


def test_on_scratch(case: Case, tmp_path: Path) -> None:
    reference = f"oci:{tmp_path / 'image'}:t"
    case.build(reference, "--base", "scratch")
    case.verify(reference, "--base", "scratch").holds()
    ran = ship("verify", reference, *case.place)
    assert (ran.status, ran.err) == (0, ""), "a base that is not there need not be named"


@pytest.mark.parametrize("form", FORMS)
def test_a_base_in_each_form(case: Case, tmp_path: Path, form: str) -> None:
    need("skopeo")
    base, reference = FORMS[form].format(tmp_path), f"oci:{tmp_path / 'built'}:t"
    skopeo("copy", "--quiet", f"oci:{case.base}:t", base)
    case.build(reference, "--base", base)
    case.verify(reference, "--base", base).holds()


def test_a_base_that_the_manifest_names(tmp_path: Path) -> None:
    case = made_case(tmp_path / "case")
    manifest = case.tiny.work / "pixi.toml"
    manifest.write_text(manifest.read_text() + '\n[tool.pixi-ship]\nbase = "oci:../base:t"\n')
    reference = f"oci:{tmp_path / 'built'}:t"
    assert ship("build", "--to", reference, "--quiet", *case.place).status == 0
    ran = ship("verify", reference, *case.place)
    assert (ran.status, ran.err) == (0, "")
    assert f"  on oci:{case.tiny.work / '../base'}:t" in ran.out


def test_offline(case: Case) -> None:
    case.verify(f"oci:{case.layout}:t", "--offline").holds()


def test_an_empty_cache(case: Case, tmp_path: Path) -> None:
    """Nothing of the build's cache is needed where the archives can be fetched."""
    fresh = tmp_path / "fresh"
    case.verify(f"oci:{case.layout}:t", "--cache-dir", fresh).holds()
    assert not (fresh / "layers").exists()


def test_a_cache_that_lies(case: Case, tmp_path: Path) -> None:
    """Notes and layers that an earlier build left are neither needed nor believed."""
    own = case.elsewhere(tmp_path / "own")
    kinds = [each.name for each in (own.tiny.cache / "notes").iterdir()]
    assert {"merge", "paths"} <= set(kinds)
    for kind in ("merge", "paths"):
        for note in (own.tiny.cache / "notes" / kind).iterdir():
            note.write_text('{"paths": ["bin/nothing"]}')
    for path in [*(own.tiny.cache / "blobs").iterdir(), *(own.tiny.cache / "layers").iterdir()]:
        path.write_bytes(b"nothing")
    own.verify(f"oci:{case.layout}:t").holds()
    wrong = case.tampered(tmp_path / "x", lambda image: image.flip("app/pixi.lock"))
    own.verify(wrong).differs(("file", "/app/pixi.lock"))


def test_an_archive_that_rotted(case: Case, tmp_path: Path) -> None:
    """It is fetched again; the image is not blamed for it."""
    own = case.elsewhere(tmp_path / "own")
    for path in (own.tiny.cache / "archives").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    own.verify(f"oci:{case.layout}:t").holds()


def test_an_archive_that_is_another_one(case: Case, tmp_path: Path) -> None:
    """A channel that gives other bytes than the lock says proves nothing: no verdict at all."""
    own = case.elsewhere(tmp_path / "own")
    shutil.rmtree(own.tiny.cache / "archives")
    channel = shutil.copytree(case.tiny.channel, own.tiny.root / "channel")
    lock = own.tiny.work / "pixi.lock"
    before = lock.read_text()
    lock.write_text(before.replace(case.tiny.channel.as_uri(), Path(channel).as_uri()))
    assert lock.read_text() != before
    (archive,) = Path(channel).rglob("tool-1.0-*.conda")
    archive.write_bytes(archive.read_bytes() + b"?")
    ran = own.verify(f"oci:{case.layout}:t").ran
    assert (ran.status, ran.out) == (1, "")
    assert "tool-1.0" in ran.err


def test_recompressed_with_every_layer_in_another_way(case: Case, tmp_path: Path) -> None:
    """The tars count, not what they are packed in."""
    case.verify(case.image().write(tmp_path / "a", pack=zstd_packed)).holds()
    image = case.image()
    image.edit = lambda manifest: [row.pop("x", None) for row in manifest["layers"]]
    case.verify(image.write(tmp_path / "b", pack=_half_and_half)).holds()


def _half_and_half(tar: bytes) -> bytes:
    """Gzip in two members, as some tools write it."""
    import gzip

    half = len(tar) // 2
    return gzip.compress(tar[:half]) + gzip.compress(tar[half:])


COPIES = {
    "--format v2s2": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "--dest-compress --dest-compress-format zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "--dest-compress --dest-compress-format gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "--dest-decompress": "application/vnd.oci.image.layer.v1.tar",
}


@pytest.mark.parametrize("options", COPIES)
def test_copied_by_skopeo(case: Case, tmp_path: Path, options: str) -> None:
    """In a directory of skopeo's own, which becomes a layout here: other layouts hide kinds."""
    need("skopeo")
    built = f"oci:{tmp_path / 'built'}:t"
    case.build(built, "--compression", "zstd" if "gzip" in options else "gzip")
    skopeo("copy", "--quiet", *options.split(), built, f"dir:{tmp_path / 'copied'}")
    reference, manifest = _layout_of(tmp_path / "copied", tmp_path / "layout")
    assert {row["mediaType"] for row in manifest["layers"]} == {COPIES[options]}
    case.verify(reference).holds()


def _layout_of(folder: Path, layout: Path) -> tuple[str, dict[str, Any]]:
    """A directory that skopeo wrote as a layout, byte for byte; and its manifest."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for path in folder.iterdir():
        shutil.copy(path, blobs)
    raw = (folder / "manifest.json").read_bytes()
    manifest: dict[str, Any] = json.loads(raw)
    (blobs / digest_of(raw).removeprefix("sha256:")).write_bytes(raw)
    row = {"mediaType": manifest["mediaType"], "digest": digest_of(raw), "size": len(raw)}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [row]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return f"oci:{layout}", manifest


def test_unpacked_and_packed_by_umoci(case: Case, tmp_path: Path) -> None:
    """Another program's idea of the same files makes other tars: that is found out."""
    need("umoci", root=True)
    layout = shutil.copytree(case.layout, tmp_path / "layout")
    output("umoci", "config", "--image", f"{layout}:t", "--config.user", "1000")
    verdict = case.verify(f"oci:{layout}:t")
    assert ("config", "config.config.User") in verdict.found
    assert not [where for kind, where in verdict.found if kind == "file"]


# Workspaces of the test channel, on a base with a C library.


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and a cache for all workspaces."""
    root = tmp_path_factory.mktemp("shelf")
    write_base(root / "base")
    return root


def _on_shelf(shelf: Path, data: TestData, name: str) -> Case:
    root = shelf / name
    if not root.exists():
        root.mkdir()
        (root / "work").symlink_to(data.workspace(name))
    return Case(Tiny(root), shelf / "base")


@pytest.mark.parametrize("name", ["numpy", "edge", "clobber", "pyproject", "gpu"])
def test_workspaces(shelf: Path, channel_data: TestData, name: str) -> None:
    case = _on_shelf(shelf, channel_data, name)
    reference = f"oci-archive:{shelf / name}.tar:t"
    words: list[str | Path] = ["--cache-dir", shelf / "cache"]
    case.build(reference, *words)
    case.verify(reference, *words).holds()


def test_another_cuda(shelf: Path, channel_data: TestData) -> None:
    """The label tells it; whoever insists on another one finds a difference."""
    case = _on_shelf(shelf, channel_data, "gpu")
    words: list[str | Path] = ["--cache-dir", shelf / "cache"]
    reference = f"oci:{shelf / 'cuda'}:t"
    case.build(reference, "--cuda", "12.6", *words)
    case.verify(reference, *words).holds()
    case.verify(reference, "--cuda", "12.6", *words).holds()
    verdict = case.verify(reference, "--cuda", "12.9", *words)
    assert ("config", "config.config.Labels.pixi-ship.cuda") in verdict.found


@pytest.fixture
def two(tmp_path: Path) -> Case:
    """A workspace that is locked for two platforms, one of them without a wheel, and its index."""
    tiny = Tiny(tmp_path / "two")
    _, python, noarch, wheel = packages(tiny.channel)
    tiny.lock(python, noarch, wheel)
    manifest, path = tiny.work / "pixi.toml", tiny.work / "pixi.lock"
    listed = 'platforms = ["linux-64", "linux-aarch64"]'
    manifest.write_text(manifest.read_text().replace('platforms = ["linux-64"]', listed))
    document = json.loads(path.read_text())
    rows = document["environments"]["default"]["packages"]
    rows["linux-aarch64"] = rows["linux-64"][:-1]
    path.write_text(json.dumps(document))
    case = Case(tiny, tmp_path)
    platforms = ["--platform", "linux-64", "--platform", "linux-aarch64"]
    case.build(f"oci:{case.layout}:t", *platforms, "--base", "scratch")
    return case


def test_several_platforms(two: Case) -> None:
    """Each image of an index is verified, or the one that is asked for."""
    reference = f"oci:{two.layout}:t"
    verdict = two.verify(reference, "--base", "scratch")
    verdict.holds()
    names = [image["platform"] for image in verdict.document["images"]]
    assert names == ["linux-64", "linux-aarch64"]
    one = two.verify(reference, "--base", "scratch", "--platform", "linux-aarch64")
    one.holds()
    assert [image["platform"] for image in one.document["images"]] == ["linux-aarch64"]
    ran = two.verify(reference, "--base", "scratch", "--platform", "osx-64").ran
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        f"error: {reference} has no image for platform 'osx-64'\n"
        "  hint: it has: linux/amd64, linux/arm64\n"
    )


def test_one_wrong_image_of_several(two: Case) -> None:
    """It is enough for exit code 1, and only its own differences are listed."""
    (row,) = json.loads((two.layout / "index.json").read_bytes())["manifests"]
    index = json.loads(blob_path(two.layout, row["digest"]).read_bytes())
    first, second = (
        json.loads(blob_path(two.layout, each["digest"]).read_bytes())["layers"]
        for each in index["manifests"]
    )
    (own,) = (each["digest"] for each in first if each not in second)
    path = blob_path(two.layout, own)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    verdict = two.verify(f"oci:{two.layout}:t", "--base", "scratch")
    wrong, right = verdict.document["images"]
    assert (verdict.ran.status, right["verified"], wrong["verified"]) == (1, True, False)
    assert right["differences"] == []
    (difference,) = wrong["differences"]
    assert (difference["kind"], difference["want"]) == ("layer", own)


def test_the_wrong_platform(two: Case) -> None:
    """An image that says it is for another platform than the lock it is held against."""
    reference = f"oci:{two.tiny.root / 'arm'}:t"
    two.build(reference, "--platform", "linux-aarch64", "--base", "scratch")
    two.verify(reference, "--base", "scratch").holds()
    found = two.verify(reference, "--base", "scratch", "--platform", "linux-64").ran
    assert (found.status, found.out) == (1, "")
