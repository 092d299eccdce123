"""Package URLs are spelled as purl-spec spells them, and tell nothing that is private.

Their judge is packageurl-python: what we write is what it reads.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from pixi_ship.attest.purl import (
    channel_name,
    conda_purl,
    image_purl,
    provided_purls,
    purl,
    pypi_purl,
    remote_location,
)
from pixi_ship.digest import Digest

from .attest_data import conda, wheel


def test_conda() -> None:
    """The example of purl-spec's type ``conda``, with our package."""
    found = conda_purl(conda("absl-py", version="0.4.1", file_name="absl-py-0.4.1-h0_0.tar.bz2"))
    assert found == (
        "pkg:conda/absl-py@0.4.1?build=h0_0&channel=conda-forge&subdir=linux-64&type=tar.bz2"
    )


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        ("https://conda.anaconda.org/conda-forge/", "conda-forge"),
        ("https://conda.anaconda.org/nvidia/label/cuda-12/", "nvidia/label/cuda-12"),
        ("https://repo.anaconda.com/pkgs/main/", "main"),
        ("https://prefix.dev/conda-forge/", "https://prefix.dev/conda-forge"),
        ("https://me:secret@conda.test/t/tk-secret/own/", "https://conda.test/own"),
        ("file:///home/me/channel/", None),
        ("../channel", None),
    ],
)
def test_channel(channel: str, name: str | None) -> None:
    """A channel has the name that conda gives it, else its URL; a directory has none."""
    package = conda("zlib", channel=channel)
    assert channel_name(package) == name
    qualifiers = PackageURL.from_string(conda_purl(package)).qualifiers
    assert isinstance(qualifiers, dict)
    assert qualifiers.get("channel") == name


def test_slashes_of_a_qualifier_are_encoded() -> None:
    """As in purl-spec's own tests; the colon stays."""
    found = image_purl("debian", Digest("0" * 64), repository="docker.io/library/debian")
    assert found == (
        f"pkg:oci/debian@sha256:{'0' * 64}?repository_url=docker.io%2Flibrary%2Fdebian"
    )


def test_wheels_name_their_place_unless_it_is_pypi() -> None:
    """The same version from elsewhere can be another file."""
    assert pypi_purl(wheel("Ruamel.Yaml_clib", "0.2")) == "pkg:pypi/ruamel-yaml-clib@0.2"
    elsewhere = wheel(
        "torch", "2.5.1+cu124", "https://me:secret@torch.test/whl/torch.whl?key=secret"
    )
    found = PackageURL.from_string(pypi_purl(elsewhere))
    assert found.version == "2.5.1+cu124"
    assert found.qualifiers == {"download_url": "https://torch.test/whl/torch.whl"}
    assert pypi_purl(wheel("own", location="../own-1.0-py3-none-any.whl")) == "pkg:pypi/own@1.0"


@pytest.mark.parametrize(
    ("purls", "found"),
    [
        (None, None),
        ([], ()),
        (["pkg:pypi/attrs?source=hash-mapping"], ("pkg:pypi/attrs@1.0",)),
        (["pkg:pypi/attrs@23.1"], ("pkg:pypi/attrs@23.1",)),
        (["pkg:pypi/b", "pkg:pypi/a", "pkg:pypi/a"], ("pkg:pypi/a@1.0", "pkg:pypi/b@1.0")),
        (["pkg:cran/abc@1?x=https://me:secret@host"], ("pkg:cran/abc@1",)),
        (["no purl", "pkg:pypi", "pkg:/x", "pkg:pypi/"], ()),
    ],
)
def test_what_a_conda_package_stands_for(
    purls: list[str] | None, found: tuple[str, ...] | None
) -> None:
    """``purls`` of the record, with the version they lack; None and nothing are not the same."""
    package = conda("attrs") if purls is None else conda("attrs", purls=purls)
    assert provided_purls(package) == found


@pytest.mark.parametrize(
    ("location", "found"),
    [
        (
            "https://me:secret@host.test/t/tk-secret/c/a.conda?sig=secret",
            "https://host.test/c/a.conda",
        ),
        ("http://host.test/a.whl", "http://host.test/a.whl"),
        ("file:///home/me/a.conda", None),
        ("../../a.conda", None),
        ("https://", None),
        ("https://[broken/a.conda", None),
    ],
)
def test_location(location: str, found: str | None) -> None:
    """A place for everybody, or none."""
    assert remote_location(location) == found


_WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1).filter(
    lambda text: text.strip("/ ") == text
)


@given(name=_WORDS, version=_WORDS, value=_WORDS)
def test_any_text_comes_back(name: str, version: str, value: str) -> None:
    """What goes in is what packageurl-python takes out."""
    found = PackageURL.from_string(purl("conda", name, version, build=value))
    assert (found.name, found.version, found.qualifiers) == (name, version, {"build": value})
