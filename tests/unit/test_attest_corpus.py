"""Real environments: both bills of materials are valid, and agree about who needs whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from packageurl import PackageURL

from pixi_ship.attest.bill import Bill
from pixi_ship.attest.cyclonedx import cyclonedx
from pixi_ship.attest.spdx import spdx
from pixi_ship.errors import PixiShipError

from .attest_data import bill_of, selected
from .test_attest_cyclonedx import fault
from .test_attest_spdx import faults

SAMPLE = 30
LARGE = ("prefix-dev__pixi__examples-ros2-nav2", "jazzy", "linux-64")


def sample(corpus: list[Path]) -> list[tuple[Path, str, str]]:
    """One environment of each of some workspaces, from small to middling ones, always the same.

    Large ones are left out for the validators' sake, which take time by the square.
    """
    index = json.loads((corpus[0].parent / "index.json").read_bytes())
    found: list[tuple[int, str, str, str]] = []
    for row in index:
        if row["group"] == "workspace" and row["linux_envs"]:
            each = max(row["linux_envs"], key=lambda e: (e["packages"] <= 150, e["packages"]))
            if each["packages"] <= 150:
                found.append((each["packages"], row["dir"], each["env"], each["platform"]))
    found.sort()
    step = max(1, len(found) // SAMPLE)
    root = corpus[0].parent
    return [(root / name, env, platform) for _, name, env, platform in found[::step]]


def edges(bill: Bill) -> int:
    return sum(map(len, bill.depends_on.values()))


@pytest.fixture
def quick_references(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check ``iri-reference`` by what it may not hold.

    The grammar that jsonschema takes for it needs 20 ms a URL (cyclonedx-python-lib issue 862).
    """
    checkers = jsonschema.Draft7Validator.FORMAT_CHECKER.checkers

    def is_reference(value: object) -> bool:
        return not (isinstance(value, str) and set(value) & set(' "<>\\^`{|}'))

    monkeypatch.setitem(checkers, "iri-reference", (is_reference, ()))


def test_sample_is_valid(shared_corpus: list[Path], quick_references: None) -> None:
    """By both libraries' validators, and every package URL by packageurl-python."""
    judged = 0
    for directory, environment, platform in sample(shared_corpus):
        where = f"{directory.name} {environment} {platform}"
        try:
            selection = selected(directory, environment, platform)
        except PixiShipError:  # tests/corpus says which cannot be read
            continue
        bill = bill_of(selection)
        assert len(bill.components) == len(selection.packages), where
        assert faults(spdx(bill)) == [], where
        assert fault(cyclonedx(bill)) is None, where
        for text in (purl for each in bill.components for purl in each.purls):
            assert PackageURL.from_string(PackageURL.from_string(text).to_string()), where
        judged += 1
    assert judged >= 25


def test_large_environment(shared_corpus: list[Path]) -> None:
    """Thousands of edges are the same in both formats, and none leads nowhere."""
    name, environment, platform = LARGE
    bill = bill_of(selected(shared_corpus[0].parent / name, environment, platform))
    assert edges(bill) > 5000
    spdx_document: dict[str, Any] = json.loads(spdx(bill))
    cyclonedx_document: dict[str, Any] = json.loads(cyclonedx(bill))
    ids = {each["SPDXID"] for each in spdx_document["packages"]}
    rows = spdx_document["relationships"]
    assert {row["relatedSpdxElement"] for row in rows} <= ids
    assert sum(row["relationshipType"] == "DEPENDS_ON" for row in rows) == edges(bill)
    needs = {row["ref"]: row.get("dependsOn", []) for row in cyclonedx_document["dependencies"]}
    assert sum(map(len, needs.values())) - len(needs["image"]) == edges(bill)
    assert needs.keys() - {"image"} == {row["bom-ref"] for row in cyclonedx_document["components"]}
    assert all(row["hashes"] and row["purl"] for row in cyclonedx_document["components"])
