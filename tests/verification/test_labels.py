"""Labels that lie do not lead verify astray: the lie is what is listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..tiny import ship
from .case import PREFIX, Case
from .tamper import Image

CREATED = "org.opencontainers.image.created"
BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"
DIGEST = f"sha256:{'7' * 64}"


def lying(case: Case, folder: Path, **labels: str) -> str:
    """The image with labels changed; `_` stands for what names cannot hold."""

    def tamper(image: Image) -> None:
        image.labels.update({NAMES.get(name, name): value for name, value in labels.items()})

    return case.tampered(folder, tamper)


NAMES = {
    "lock": "pixi-ship.lock.digest",
    "environment": "pixi-ship.environment",
    "platform": "pixi-ship.platform",
    "cuda": "pixi-ship.cuda",
    "options": "pixi-ship.options",
    "created": CREATED,
    "base_name": BASE_NAME,
    "base_digest": BASE_DIGEST,
}


def of(name: str) -> tuple[str, str]:
    return "config", f"config.config.Labels.{NAMES[name]}"


def test_another_lock(case: Case, tmp_path: Path) -> None:
    case.verify(lying(case, tmp_path / "x", lock=DIGEST)).differs(of("lock"))


def test_another_digest_of_the_base(case: Case, tmp_path: Path) -> None:
    case.verify(lying(case, tmp_path / "x", base_digest=DIGEST)).differs(of("base_digest"))


@pytest.mark.parametrize("text", ["sha256:no", "", "md5:1"])
def test_a_digest_that_is_none(case: Case, tmp_path: Path, text: str) -> None:
    case.verify(lying(case, tmp_path / "x", base_digest=text)).differs(of("base_digest"))


@pytest.mark.parametrize("name", ["127.0.0.1:1/other", "NOT A NAME", "", "x@sha256:no"])
def test_a_name_for_the_base(case: Case, tmp_path: Path, name: str) -> None:
    """The base that was asked for is taken, and nobody is asked for the one that is named."""
    case.verify(lying(case, tmp_path / "x", base_name=name)).differs(of("base_name"))


@pytest.mark.parametrize("name", ["NOT A NAME", "x@sha256:no"])
def test_a_name_for_the_base_that_has_to_be_believed(case: Case, tmp_path: Path, name: str) -> None:
    reference = lying(case, tmp_path / "x", base_name=name)
    ran = ship("verify", reference, *case.place)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(f"error: reading the labels of {reference}: its base: ")
    assert ran.err.endswith("  hint: insist on a base with --base\n")


def test_a_base_in_no_registry_has_to_be_named(case: Case) -> None:
    ran = ship("verify", f"oci:{case.layout}:t", *case.place)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        f"error: oci:{case.layout}:t was built on a base that is in no registry\n"
        "  hint: name it: --base oci:DIR\n"
    )


def options(**changed: object) -> str:
    return json.dumps({"bytecode": "x", "layer_format": 2, "max_layers": 64, **changed})


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "[]",
        "null",
        "7",
        "[" * 100_000,
        "{}",
        options(max_layers=0),
        options(max_layers=-(10**30)),
        options(max_layers=10**30),
        options(max_layers="5"),
        options(max_layers=True),
        options(max_layers=[64]),
        options(max_layers=64.0),
        options(layer_format=99),
        options(layer_format={}),
        options(bytecode=7),
        options(bytecode=["cpython"]),
        options(bytecode=""),
        options(bytecode="cpython-27 2.7.18 03f30d0a"),
        options(link_scripts=["nobody"]),
    ],
)
def test_options_that_no_build_had(case: Case, tmp_path: Path, text: str) -> None:
    """What cannot be believed counts as not said, so that nothing but the label differs."""
    case.verify(lying(case, tmp_path / "x", options=text)).differs(of("options"))


def test_bytecode_by_another_python_is_told(case: Case, tmp_path: Path) -> None:
    reference = lying(case, tmp_path / "x", options=options(bytecode="cpython-27 2.7.18 0"))
    (image,) = case.verify(reference).document["images"]
    (note,) = image["warnings"]
    assert note.startswith("the image's bytecode is by 'cpython-27 2.7.18 0', here is cpython-")
    assert note.endswith(": put that Python on PATH to prove it")


def test_fewer_layers_than_there_are(case: Case, tmp_path: Path) -> None:
    """A number that a build can have is believed, and then the layers are the wrong ones."""
    reference = lying(case, tmp_path / "x", options=options(max_layers=4))
    found = case.verify(reference).found
    assert ("layer", "number of layers") in found
    assert not [where for kind, where in found if kind == "file"]


def test_another_environment(case: Case, tmp_path: Path) -> None:
    """It is looked for, and not found; who insists on the right one sees nothing but the lie."""
    reference = lying(case, tmp_path / "x", environment="other")
    verdict = case.verify(reference)
    assert verdict.ran.status == 1
    assert ("file", f"/{PREFIX}") in verdict.found
    assert ("file", f"/{PREFIX.replace('default', 'other')}") in verdict.found
    case.verify(reference, "-e", "default").differs(of("environment"))


@pytest.mark.parametrize(
    ("name", "value", "option"),
    [
        ("environment", "nowhere", ["-e", "default"]),
        ("environment", "../../etc", ["-e", "default"]),
        ("platform", "linux-aarch64", []),
        ("platform", "win-64", []),
        ("platform", "", []),
    ],
)
def test_what_the_lock_does_not_have(
    case: Case, tmp_path: Path, name: str, value: str, option: list[str]
) -> None:
    reference = lying(case, tmp_path / "x", **{name: value})
    ran = ship("verify", reference, *case.words())
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(f"error: reading the labels of {reference}: ")
    assert "--environment, --platform or --cuda" in ran.err
    if option:
        case.verify(reference, *option).differs(of(name))


@pytest.mark.parametrize("value", ["12.4", "99", "none", ""])
def test_cuda_that_nobody_asked_for(case: Case, tmp_path: Path, value: str) -> None:
    case.verify(lying(case, tmp_path / "x", cuda=value)).differs(of("cuda"))


@pytest.mark.parametrize("text", ["yesterday", "", "2020-01-01T00:00:00Z\n", "9" * 30])
def test_a_time_that_is_none(case: Case, tmp_path: Path, text: str) -> None:
    case.verify(lying(case, tmp_path / "x", created=text)).differs(of("created"))


def test_a_time_that_is_not_the_image_s(case: Case, tmp_path: Path) -> None:
    """When an image was made is an input: its label is believed, all else has to agree."""
    verdict = case.verify(lying(case, tmp_path / "x", created="2020-01-01T00:00:00Z"))
    ours = [f"config.history[{place}].created" for place in range(2, 7)]
    verdict.differs(
        ("config", "config.created"),
        *(("config", each) for each in ours),
        ("manifest", f"manifest.annotations.{CREATED}"),
    )


def test_no_labels_at_all(case: Case, tmp_path: Path) -> None:
    """Everything is then as the manifest and the options say."""
    reference = case.tampered(tmp_path / "x", lambda image: image.runtime.pop("Labels"))
    case.verify(reference).differs(("config", "config.config.Labels"))


@pytest.mark.parametrize("labels", [[], "text", 7, {"pixi-ship.platform": ["linux-64"]}])
def test_labels_of_another_type(case: Case, tmp_path: Path, labels: object) -> None:
    """Whatever stands there, it ends in a sentence or in differences."""

    def tamper(image: Image) -> None:
        image.runtime["Labels"] = labels

    ran = ship("verify", case.tampered(tmp_path / "x", tamper), *case.words())
    assert ran.status == 1
    assert ran.err.startswith("error: ") or "config.config.Labels" in ran.out
