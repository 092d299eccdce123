"""SPDX documents say what the bill says, and spdx-tools reads and accepts them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from pixi_ship.attest.spdx import spdx
from pixi_ship.attest.subject import Subject
from pixi_ship.lock.model import LockedPackage

from ..conftest import TestData
from .attest_data import BASE, SUBJECT, bill_of, conda, environments, selection_of

WORKSPACES = (
    "clobber",
    "clobber-folder",
    "edge",
    "gpu",
    "many",
    "numpy",
    "numpy-updated",
    "pyproject",
    "rich-platforms",
)


def faults(data: bytes) -> list[str]:
    """What spdx-tools has to say of the bytes: it reads them, then holds them against the rules."""
    parser = JsonLikeDictParser()  # type: ignore[no-untyped-call]
    found = validate_full_spdx_document(parser.parse(json.loads(data)))
    return [each.validation_message for each in found]


def document(*packages: LockedPackage, subject: Subject = SUBJECT) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(spdx(bill_of(selection_of(*packages), subject)))
    return found


def package(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in found["packages"] if each["name"] == name)


def triples(found: dict[str, Any]) -> set[tuple[str, str, str]]:
    names = {each["SPDXID"]: each["name"] for each in found["packages"]}
    names["SPDXRef-DOCUMENT"] = "document"
    return {
        (
            names[each["spdxElementId"]],
            each["relationshipType"],
            names[each["relatedSpdxElement"]],
        )
        for each in found["relationships"]
    }


@pytest.mark.parametrize("name", WORKSPACES)
def test_valid(channel_data: TestData, name: str) -> None:
    """Every environment of the test channel's workspaces."""
    selections = environments(channel_data.workspace(name))
    assert selections
    for selection in selections:
        data = spdx(bill_of(selection))
        assert faults(data) == []
        assert len(json.loads(data)["packages"]) == len(selection.packages) + 2


def test_a_fault_would_be_found() -> None:
    """The judge is one."""
    found = document(conda("a"))
    found["packages"][-1]["licenseDeclared"] = "LicenseRef-unexplained"
    assert faults(json.dumps(found).encode())


def test_package() -> None:
    """A package with hashes, licence, purls, place and supplier."""
    attrs = conda("attrs", license="MIT", purls=["pkg:pypi/attrs"])
    found = package(document(attrs), "attrs")
    assert found["versionInfo"] == "1.0"
    assert found["downloadLocation"] == attrs.location
    assert found["licenseDeclared"] == "MIT"
    assert found["licenseConcluded"] == "NOASSERTION"
    assert found["supplier"] == "Organization: conda-forge"
    assert found["packageFileName"] == attrs.file_name
    assert {each["algorithm"]: each["checksumValue"] for each in found["checksums"]} == {
        "SHA256": attrs.sha256,
        "MD5": attrs.md5,
    }
    assert [each["referenceLocator"] for each in found["externalRefs"]] == [
        "pkg:conda/attrs@1.0?build=h0_0&channel=conda-forge&subdir=linux-64&type=conda",
        "pkg:pypi/attrs@1.0",
    ]


def test_relationships() -> None:
    """The image is described, holds every package, comes from the base; packages need packages."""
    found = document(conda("a", "b"), conda("b"))
    assert triples(found) == {
        ("document", "DESCRIBES", "tide"),
        ("tide", "DESCENDANT_OF", BASE.name),
        ("tide", "CONTAINS", "a"),
        ("tide", "CONTAINS", "b"),
        ("a", "DEPENDS_ON", "b"),
    }
    assert package(found, "tide")["checksums"] == [
        {"algorithm": "SHA256", "checksumValue": SUBJECT.digest.hex}
    ]


def test_scratch() -> None:
    """Without a base there is none."""
    found = document(conda("a"), subject=Subject("tide", SUBJECT.digest))
    assert [each["name"] for each in found["packages"]] == ["tide", "a"]


@pytest.mark.parametrize(
    ("text", "declared"),
    [("MIT OR LicenseRef-own", "MIT OR LicenseRef-own"), (None, "NOASSERTION")],
)
def test_licences(text: str | None, declared: str) -> None:
    """References are explained; nothing known is said to be so."""
    found = document(conda("a", license=text))
    assert package(found, "a")["licenseDeclared"] == declared
    explained = [each["licenseId"] for each in found.get("hasExtractedLicensingInfos", [])]
    assert explained == (["LicenseRef-own"] if text else [])
    assert faults(json.dumps(found).encode()) == []


def test_free_text_licence() -> None:
    """Any text becomes one reference that holds it, once for all packages that say the same."""
    found = document(conda("a", license="Qwt, Version 1.0"), conda("b", license="Qwt, Version 1.0"))
    (explained,) = found["hasExtractedLicensingInfos"]
    assert explained["extractedText"] == "Qwt, Version 1.0"
    assert package(found, "b")["licenseDeclared"] == explained["licenseId"]
    assert faults(json.dumps(found).encode()) == []


def test_names_that_differ_in_a_character_stay_apart() -> None:
    """SPDX identifiers take no underscore."""
    found = document(conda("importlib-metadata"), conda("importlib_metadata"))
    assert len({each["SPDXID"] for each in found["packages"]}) == 4
    assert faults(json.dumps(found).encode()) == []
