"""Skopeo reads every form, agrees on digests and sees a sane configuration."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import BASE, DATA, FORMS, TAG, Built, build_numpy
from .tools import need, skopeo, skopeo_json

PREFIX = "/app/.pixi/envs/default"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_LIMIT = 64
"""How many layers of ours there may be on top of the base image's."""


@pytest.fixture(autouse=True)
def tools() -> None:
    need("skopeo")


def manifest_of(reference: str) -> dict[str, Any]:
    return skopeo_json("inspect", "--raw", reference)


def config_of(reference: str) -> dict[str, Any]:
    return skopeo_json("inspect", "--config", "--raw", reference)


@pytest.mark.parametrize("form", FORMS)
def test_inspect(image: Built, form: str) -> None:
    seen = skopeo_json("inspect", image.references[form])
    assert (seen["Os"], seen["Architecture"]) == ("linux", "amd64")
    assert seen["Layers"]


@pytest.mark.parametrize("form", ["oci", "oci-archive"])
def test_digest_is_the_reported_one(image: Built, form: str) -> None:
    digest = skopeo("inspect", "--format", "{{.Digest}}", image.references[form]).strip()
    assert digest == image.digests[form]


@pytest.mark.parametrize("form", FORMS)
def test_copy_to_a_directory(image: Built, form: str, tmp_path: Path) -> None:
    """Skopeo compares every blob with its digest while it copies."""
    folder = tmp_path / "copy"
    skopeo("copy", "--quiet", image.references[form], f"dir:{folder}")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for blob in [manifest["config"], *manifest["layers"]]:
        with (folder / blob["digest"].removeprefix("sha256:")).open("rb") as stream:
            assert f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}" == blob["digest"]


@pytest.mark.parametrize("form", ["oci", "oci-archive"])
def test_layers(image: Built, form: str) -> None:
    layers = manifest_of(image.references[form])["layers"]
    base = manifest_of(BASE)["layers"]
    ours = layers[len(base) :]
    assert layers[: len(base)] == base
    assert {layer["mediaType"] for layer in ours} == {f"{LAYER}+{image.compression}"}
    assert len(ours) <= LAYER_LIMIT


@pytest.mark.parametrize("form", FORMS)
def test_history_tells_of_every_layer(image: Built, form: str) -> None:
    config = config_of(image.references[form])
    told = [entry for entry in config["history"] if not entry.get("empty_layer")]
    assert len(told) == len(config["rootfs"]["diff_ids"])
    assert all(entry.get("created_by") for entry in told)


@pytest.mark.parametrize("form", FORMS)
def test_configuration(image: Built, form: str) -> None:
    config = config_of(image.references[form])["config"]
    variables = dict(entry.partition("=")[::2] for entry in config["Env"])
    assert len(variables) == len(config["Env"]), "a variable is set twice"
    assert f"{PREFIX}/bin" in variables["PATH"].split(":")
    assert variables["PATH"].split(":")[-1] == "/bin"
    assert variables["CONDA_PREFIX"] == PREFIX
    assert variables["PYTHONNOUSERSITE"] == "1"
    assert variables["ACTIV_HOME"] == f"{PREFIX}/share/activ"
    assert "LD_LIBRARY_PATH" not in variables
    assert config["Entrypoint"] == ["/app/entrypoint.sh"]
    assert config["Cmd"]
    assert config["Labels"]
    assert all(isinstance(value, str) for value in config["Labels"].values())


def test_values_survive_line_based_readers(gzip_image: Built) -> None:
    """Enroot expands `$`, reads by the line and strips one pair of quotes."""
    for entry in config_of(gzip_image.references["oci"])["config"]["Env"]:
        value = entry.partition("=")[2]
        assert "$" not in entry
        assert "\n" not in entry
        assert not (len(value) > 1 and value[0] == value[-1] and value[0] in "\"'")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_same_configuration(image: Built, form: str) -> None:
    reference = image.references[form]
    assert config_of(reference) == config_of(image.references["oci"])


def test_compression_changes_no_content(gzip_image: Built, image: Built) -> None:
    wanted = config_of(gzip_image.references["oci"])["rootfs"]["diff_ids"]
    assert config_of(image.references["oci"])["rootfs"]["diff_ids"] == wanted


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_a_base_may_come_in_any_form(gzip_image: Built, form: str, tmp_path: Path) -> None:
    bases = {
        "oci-archive": f"oci-archive:{DATA / 'base.oci.tar'}:bookworm",
        "docker-archive": f"docker-archive:{DATA / 'base.docker.tar'}:base:bookworm",
    }
    target = f"oci:{tmp_path / 'layout'}:{TAG}"
    build_numpy(gzip_image.folder.parent / "cache", "--base", bases[form], "--to", target)
    wanted = config_of(gzip_image.references["oci"])["rootfs"]["diff_ids"]
    assert config_of(target)["rootfs"]["diff_ids"] == wanted
