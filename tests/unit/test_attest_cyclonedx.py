"""CycloneDX documents say what the bill says, and the library's strict validator accepts them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from pixi_ship.attest.cyclonedx import cyclonedx
from pixi_ship.attest.subject import Subject
from pixi_ship.lock.model import LockedPackage

from ..conftest import TestData
from .attest_data import BASE, SUBJECT, bill_of, conda, environments, selection_of
from .test_attest_spdx import WORKSPACES

VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def fault(data: bytes) -> str | None:
    """What the library has to say of the bytes: by the schema, then by reading them."""
    found = VALIDATOR.validate_str(data.decode())
    if found is not None:
        return str(found)
    bom = Bom.from_json(json.loads(data))  # type: ignore[attr-defined]
    bom.validate()
    return None


def document(*packages: LockedPackage, subject: Subject = SUBJECT) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cyclonedx(bill_of(selection_of(*packages), subject)))
    return found


def component(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in found["components"] if each["name"] == name)


@pytest.mark.parametrize("name", WORKSPACES)
def test_valid(channel_data: TestData, name: str) -> None:
    """Every environment of the test channel's workspaces."""
    selections = environments(channel_data.workspace(name))
    assert selections
    for selection in selections:
        data = cyclonedx(bill_of(selection))
        assert fault(data) is None
        assert len(json.loads(data)["components"]) == len(selection.packages)


def test_a_fault_would_be_found() -> None:
    """The judge is one."""
    found = document(conda("a"))
    found["components"][0]["hashes"][0]["alg"] = "CRC"
    assert fault(json.dumps(found).encode())


def test_component() -> None:
    """A component with hashes, licence, purl, place, supplier, and what it stands for."""
    attrs = conda("attrs", license="MIT", purls=["pkg:pypi/attrs"], channel="https://own.test/c/")
    found = document(attrs)
    each = component(found, "attrs")
    hashes = [{"alg": "MD5", "content": attrs.md5}, {"alg": "SHA-256", "content": attrs.sha256}]
    assert each["hashes"] == hashes
    assert each["licenses"] == [{"license": {"acknowledgement": "declared", "id": "MIT"}}]
    assert each["purl"] == (
        "pkg:conda/attrs@1.0?build=h0_0&channel=https:%2F%2Fown.test%2Fc&subdir=linux-64&type=conda"
    )
    assert each["externalReferences"] == [
        {"type": "distribution", "url": attrs.location, "hashes": hashes}
    ]
    assert each["supplier"] == {"name": "https://own.test/c"}
    assert each["evidence"]["identity"] == [
        {"field": "purl", "concludedValue": "pkg:pypi/attrs@1.0"}
    ]
    assert fault(json.dumps(found).encode()) is None


@pytest.mark.parametrize(
    ("text", "licences"),
    [
        ("GPL-3.0", [{"license": {"acknowledgement": "declared", "id": "GPL-3.0-only"}}]),
        ("MIT or 0BSD", [{"acknowledgement": "declared", "expression": "MIT OR 0BSD"}]),
        ("LicenseRef-x", [{"acknowledgement": "declared", "expression": "LicenseRef-x"}]),
        ("BSD, or so", [{"license": {"acknowledgement": "declared", "name": "BSD, or so"}}]),
        (None, None),
    ],
)
def test_licences(text: str | None, licences: list[object] | None) -> None:
    """An identifier, an expression, or words: each in its field."""
    found = document(conda("a", license=text))
    assert component(found, "a").get("licenses") == licences
    assert fault(json.dumps(found).encode()) is None


def test_dependencies() -> None:
    """The image needs what nothing else needs; everything can be reached from it."""
    found = document(conda("a", "b"), conda("b"), conda("c", "b"))
    edges = {each["ref"]: each.get("dependsOn", []) for each in found["dependencies"]}
    a, b, c = (f"conda:{name}-1.0-h0_0.conda" for name in "abc")
    assert edges == {"image": [a, c], a: [b], b: [], c: [b]}


def test_image_and_base() -> None:
    """The image is the root; the base is its ancestor."""
    root = document(conda("a"))["metadata"]["component"]
    assert (root["type"], root["name"]) == ("container", "tide")
    assert root["hashes"] == [{"alg": "SHA-256", "content": SUBJECT.digest.hex}]
    assert root["purl"] == f"pkg:oci/tide@{SUBJECT.digest}?arch=amd64"
    (ancestor,) = root["pedigree"]["ancestors"]
    assert (ancestor["name"], ancestor["purl"]) == (BASE.name, BASE.purl)


def test_scratch() -> None:
    """Without a base there is no ancestor."""
    found = document(conda("a"), subject=Subject("tide", SUBJECT.digest))
    assert "pedigree" not in found["metadata"]["component"]
    assert fault(json.dumps(found).encode()) is None
