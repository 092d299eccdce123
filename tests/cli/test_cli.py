"""What a person types, and what comes back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pixi_ship import __version__

from ..conftest import TestData
from ..tiny import Ran, Tiny, ship, ship_apart

pytestmark = pytest.mark.usefixtures("plain_surroundings")


@pytest.fixture
def plain_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CONDA_OVERRIDE_CUDA", "SOURCE_DATE_EPOCH", "PIXI_SHIP_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    found = Tiny(tmp_path)
    found.lock(found.good())
    return found


def failed(ran: Ran, status: int, *lines: str) -> None:
    assert (ran.err, ran.status, ran.out) == ("".join(f"{line}\n" for line in lines), status, "")


def plan(tiny: Tiny, *more: str | Path) -> Ran:
    return ship("plan", "-w", tiny.work, "--base", "scratch", "--cache-dir", tiny.cache, *more)


def test_help() -> None:
    ran = ship("--help")
    assert ran.status == 0
    assert ran.out.startswith("Usage: pixi-ship [OPTIONS] COMMAND [ARGS]...\n")
    for verb in ("plan", "build"):
        assert f"\n  {verb} " in ran.out
        assert ship(verb, "-h").out.startswith(f"Usage: pixi-ship {verb} [OPTIONS]\n")


def test_version() -> None:
    assert ship("--version").out == f"pixi-ship, version {__version__}\n"


def test_unknown_option() -> None:
    ran = ship("plan", "--speed")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("Usage: pixi-ship plan [OPTIONS]\n")
    assert "No such option" in ran.err


def test_unknown_verb() -> None:
    ran = ship("teleport")
    assert ran.status == 2
    assert "No such command 'teleport'" in ran.err


def test_missing_to(tiny: Tiny) -> None:
    ran = ship("build", "-w", tiny.work)
    assert ran.status == 2
    assert ran.err.endswith("Error: nowhere to write to: give --to, such as --to oci:out:latest\n")


@pytest.mark.parametrize(
    ("reference", "lines"),
    [
        (
            "out",
            (
                "error: 'out' is not a reference",
                "  hint: want one of oci:DIR[:TAG], oci-archive:FILE[:TAG], "
                "docker-archive:FILE[:TAG], sif:FILE, docker://REF, oras://REF",
            ),
        ),
        (
            "oci:",
            (
                "error: 'oci:' is not a reference",
                "  hint: want one of oci:DIR[:TAG], oci-archive:FILE[:TAG], "
                "docker-archive:FILE[:TAG], sif:FILE, docker://REF, oras://REF",
            ),
        ),
        ("oci:a:!", ("error: '!' in 'oci:a:!' cannot be a tag",)),
        ("scratch", ("error: 'scratch' is a base, not a place to write to",)),
        (
            f"docker://host.example/name@sha256:{'0' * 64}",
            (
                f"error: writing docker://host.example/name@sha256:{'0' * 64}: "
                "a digest follows from the image, it cannot be chosen",
                "  hint: name a tag: docker://HOST/NAME:TAG",
            ),
        ),
        (
            "docker://host.example/Name:tag",
            (
                "error: 'docker://host.example/Name:tag' is not a reference",
                "  hint: want docker://HOST/NAME:TAG or docker://HOST/NAME@sha256:DIGEST; "
                "names are in lower case",
            ),
        ),
        (
            "docker://host.example/name:-",
            ("error: '-' in 'docker://host.example/name:-' cannot be a tag",),
        ),
    ],
)
def test_reference(tiny: Tiny, reference: str, lines: tuple[str, ...]) -> None:
    failed(ship(*tiny.words(to=reference)), 2, *lines)


def test_a_base_in_the_manifest_starts_from_the_workspace(tiny: Tiny) -> None:
    """The same manifest works from every directory."""
    manifest = tiny.work / "pixi.toml"
    manifest.write_text(manifest.read_text() + '\n[tool.pixi-ship]\nbase = "oci:bases/none:1"\n')
    ran = ship("plan", "-w", tiny.work)
    assert ran.status == 1
    assert ran.err.startswith(f"error: reading {tiny.work / 'bases' / 'none'}: oci-layout: ")


def test_offline_no_registry_is_asked(tiny: Tiny) -> None:
    failed(
        tiny.build("--base", "docker://host.example/name:tag", "--offline"),
        1,
        "error: reading docker://host.example/name:tag: it is not in the cache, "
        "and --offline forbids to ask host.example",
        "  hint: run once without --offline; --base-lock keeps the digest of the base",
    )


def test_unknown_environment(tiny: Tiny) -> None:
    failed(
        plan(tiny, "-e", "gpu"),
        2,
        f"error: environment 'gpu' is not in {tiny.work / 'pixi.lock'}",
        "  hint: locked environments: default",
    )


def test_unknown_platform(tiny: Tiny) -> None:
    failed(
        plan(tiny, "--platform", "linux-aarch64"),
        2,
        "error: environment 'default' is not locked for platform 'linux-aarch64'",
        "  hint: locked Linux platforms, for --platform: linux-64",
    )


def test_environment_that_is_not_locked_yet(tiny: Tiny) -> None:
    manifest = tiny.work / "pixi.toml"
    manifest.write_text(manifest.read_text() + "\n[environments]\ngpu = []\n")
    failed(
        plan(tiny, "-e", "gpu"),
        1,
        f"error: environment 'gpu' is in pixi.toml, but not in {tiny.work / 'pixi.lock'}",
        "  hint: the lock is out of date: run 'pixi lock'",
    )


def test_dependency_that_is_not_locked_yet(tiny: Tiny) -> None:
    manifest = tiny.work / "pixi.toml"
    manifest.write_text(manifest.read_text() + '\n[dependencies]\nthing = "*"\n')
    assert plan(tiny).status == 0
    manifest.write_text(manifest.read_text() + '[target.unix.dependencies]\nlate = "*"\n')
    failed(
        plan(tiny),
        1,
        f"error: pixi.toml asks for 'late' in environment 'default', "
        f"which {tiny.work / 'pixi.lock'} does not hold",
        "  hint: the lock is out of date: run 'pixi lock'",
    )
    text = manifest.read_text().replace('late = "*"', 'late = { version = "*", when = "__cuda" }')
    manifest.write_text(text)
    assert plan(tiny).status == 0


def test_no_lock(tiny: Tiny) -> None:
    (tiny.work / "pixi.lock").unlink()
    failed(
        plan(tiny),
        1,
        f"error: there is no lock at {tiny.work / 'pixi.lock'}",
        "  hint: run 'pixi lock'",
    )


def test_no_workspace(tmp_path: Path) -> None:
    hint = (
        "  hint: a workspace has a pixi.toml, or a pyproject.toml with [tool.pixi]; name it with -w"
    )
    failed(
        ship("plan", "-w", tmp_path), 1, f"error: there is no Pixi workspace in {tmp_path}", hint
    )
    failed(
        ship("plan", "-w", tmp_path / "no"), 2, f"error: there is no directory {tmp_path / 'no'}"
    )


# [tool.pixi-ship]


def defaults(tiny: Tiny, text: str) -> None:
    manifest = tiny.work / "pixi.toml"
    manifest.write_text(manifest.read_text() + f"\n[tool.pixi-ship]\n{text}\n")


def test_defaults_of_the_manifest(tiny: Tiny) -> None:
    defaults(tiny, 'base = "scratch"\ncompression = "zstd"\nmax-layers = 8')
    words = ("build", "-w", tiny.work, "--cache-dir", tiny.cache, "--to", f"oci:{tiny.output}:t")
    ran = ship(*words, "--json")
    assert ran.status == 0, ran.err
    assert layer_types(tiny.output) == {"application/vnd.oci.image.layer.v1.tar+zstd"}
    ran = ship(*words[:-1], f"oci:{tiny.root / 'other'}", "--compression", "gzip", "--json")
    assert layer_types(tiny.root / "other") == {"application/vnd.oci.image.layer.v1.tar+gzip"}


def layer_types(layout: Path) -> set[str]:
    index = json.loads((layout / "index.json").read_text())
    blob = layout / "blobs/sha256" / index["manifests"][0]["digest"].removeprefix("sha256:")
    return {layer["mediaType"] for layer in json.loads(blob.read_text())["layers"]}


@pytest.mark.parametrize(
    ("text", "status", "lines"),
    [
        (
            'bass = "scratch"',
            1,
            (
                "error: reading {0}: [tool.pixi-ship] has no key 'bass'",
                "  hint: known keys: base, compression, cuda, environment, include, max-layers, "
                "platform, squashfs-compression, task",
            ),
        ),
        (
            'compression = "brotli"',
            2,
            ("error: compression 'brotli' is not known", "  hint: want one of gzip, zstd"),
        ),
        (
            "platform = []",
            2,
            (
                "error: {0}: platform in [tool.pixi-ship] is an empty list",
                "  hint: name a platform of the lock, or leave the line out",
            ),
        ),
        ("max-layers = 1", 2, ("error: max-layers is '1', want a number from 2 to 126",)),
        (
            'environment = "gpu"',
            2,
            (
                "error: environment 'gpu' is not in {1}",
                "  hint: locked environments: default",
            ),
        ),
    ],
)
def test_bad_defaults(tiny: Tiny, text: str, status: int, lines: tuple[str, ...]) -> None:
    defaults(tiny, text)
    names = (tiny.work / "pixi.toml", tiny.work / "pixi.lock")
    failed(plan(tiny), status, *(line.format(*names) for line in lines))


# Where the workspace is


def test_nearest_workspace_upward(tiny: Tiny) -> None:
    deep = tiny.work / "src" / "deep"
    deep.mkdir(parents=True)
    (tiny.work / "src" / "pyproject.toml").write_text('[project]\nname = "no-pixi-here"\n')
    words = ("plan", "--json", "--base", "scratch", "--cache-dir", tiny.cache)
    ran = ship_apart(*words, cwd=deep)
    assert ran.document["workspace"] == "tiny"
    assert ship(*words, "-w", tiny.work / "pixi.toml").document["workspace"] == "tiny"


def test_pyproject(channel_data: TestData, tmp_path: Path) -> None:
    workspace = channel_data.workspace("pyproject")
    ran = ship("plan", "-w", workspace, "--json", "--cache-dir", tmp_path / "cache")
    assert ran.document["workspace"] == "pyproject"
    assert ran.image["packages"] == {"conda": 2, "pypi": 2, "sources": 0, "unbuildable": 0}


# CUDA and rich platforms


@pytest.fixture
def gpu(channel_data: TestData, tmp_path: Path) -> tuple[str | Path, ...]:
    return ("plan", "-w", channel_data.workspace("gpu"), "--cache-dir", tmp_path / "c", "--json")


def test_cuda_of_the_lock(gpu: tuple[str | Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    assert ship(*gpu).image["cuda"] == "12"
    assert ship(*gpu, "--cuda", "12.6").image["cuda"] == "12.6"
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "12.4")
    assert ship(*gpu).image["cuda"] == "12.4"
    assert ship(*gpu, "--cuda", "13").image["cuda"] == "13"


def test_cuda_too_old(gpu: tuple[str | Path, ...]) -> None:
    failed(
        ship(*gpu, "--cuda", "11.8"),
        1,
        "error: the manifest needs __cuda >=12 (and 2 more), --cuda provides 11.8",
        "  hint: name the driver of the nodes: --cuda 12 or newer",
    )


def test_cuda_that_is_no_version(gpu: tuple[str | Path, ...]) -> None:
    failed(
        ship(*gpu, "--cuda", "a lot"),
        2,
        "error: 'a lot' is not a version of __cuda",
        "  hint: want one like 12.4",
    )


def test_rich_platforms(channel_data: TestData, tmp_path: Path) -> None:
    """The manifest's ``cuda-linux-64`` is the lock's ``p1``."""
    words = ("plan", "-w", channel_data.workspace("rich-platforms"), "--cache-dir", tmp_path / "c")
    plain = ship(*words, "--json").image
    assert (plain["platform"], plain["subdir"], plain["cuda"]) == ("linux-64", "linux-64", None)
    rich = ship(*words, "--json", "--platform", "p1").image
    assert (rich["platform"], rich["subdir"], rich["cuda"]) == ("p1", "linux-64", "12")
    assert rich["packages"]["conda"] == plain["packages"]["conda"] + 1


# Output


TOP_KEYS = {"workspace", "environment", "lock_digest", "base", "images", "warnings"}
IMAGE_KEYS = {
    *("platform", "subdir", "oci_platform", "prefix", "packages", "cuda", "bytecode"),
    *("sources", "injected", "project", "command", "unbuildable", "digest", "layers"),
}


def keys(rows: list[dict[str, Any]]) -> set[str]:
    return {key for row in rows for key in row}


def test_json_of_plan(tiny: Tiny) -> None:
    document = plan(tiny, "--json").document
    assert set(document) == TOP_KEYS
    assert set(document["base"]) == {"reference", "digest", "locked", "moved_to"}
    assert keys(document["images"]) == IMAGE_KEYS | {"buildable", "final"}
    assert keys(document["images"][0]["layers"]) == {
        *("key", "packages", "archive_size", "cached", "digest", "size"),
    }


def test_json_of_build(tiny: Tiny) -> None:
    document = tiny.build().document
    assert set(document) == TOP_KEYS | {"digest", "outputs", "counters", "transfers"}
    assert keys(document["outputs"]) == {"reference", "digest"}
    assert keys(document["images"]) == IMAGE_KEYS | {"config_digest"}
    assert keys(document["images"][0]["layers"]) == {
        *("key", "packages", "digest", "diff_id", "size", "uncompressed_size", "files", "reused"),
    }
    assert set(document["counters"]) == {
        *("archives_fetched", "archive_bytes_fetched", "packages_read"),
        *("layers_built", "layers_reused", "uncompressed_bytes"),
    }


def test_json_leaves_stderr_alone(tiny: Tiny) -> None:
    assert tiny.build().err == ""
    assert plan(tiny, "--json").err == ""


def test_lines_go_to_stderr(tiny: Tiny) -> None:
    words = [word for word in tiny.words() if word != "--json"]
    ran = ship_apart(*words)
    assert ran.status == 0
    first, second, *_ = ran.out.splitlines()
    assert first.startswith("sha256:")
    assert second == f"  oci:{tiny.output}:t"
    assert ran.err.startswith("made   ")
    assert "\x1b" not in ran.out + ran.err
    assert ship_apart(*words).err.startswith("reused ")
    assert ship_apart(*words, "--quiet").err == ""


def test_where_the_cache_is(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("build", "-w", tiny.work, "--base", "scratch", "--to", f"oci:{tiny.output}", "--json")
    assert ship(*words).status == 0
    xdg = Path(os.environ["XDG_CACHE_HOME"]) / "pixi-ship"
    assert (xdg / "CACHEDIR.TAG").is_file()
    monkeypatch.setenv("PIXI_SHIP_CACHE_DIR", str(tiny.root / "chosen"))
    assert ship(*words).status == 0
    assert (tiny.root / "chosen" / "CACHEDIR.TAG").is_file()


@pytest.mark.parametrize("epoch", ["soon", "9" * 20])
def test_source_date_epoch(tiny: Tiny, epoch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    why = "want seconds since 1970" if epoch == "soon" else "which is no time"
    failed(tiny.build(), 2, f"error: SOURCE_DATE_EPOCH is {epoch!r}, {why}")
