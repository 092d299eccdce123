"""Provenance is a complete in-toto statement with SLSA's fields, and nothing that varies."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.attest.provenance import Parameters, provenance
from pixi_ship.attest.subject import Base, Subject
from pixi_ship.digest import Digest
from pixi_ship.errors import WorkspaceError
from pixi_ship.oci.reference import parse_reference
from pixi_ship.prefix.bytecode import Interpreter
from pixi_ship.selection import Selection

from ..conftest import TestData
from .attest_data import BASE, PARAMETERS, SUBJECT, VERSION, selected


@pytest.fixture
def selection(channel_data: TestData) -> Selection:
    return selected(channel_data.workspace("numpy"))


def read(data: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(data)
    return document


def definition(selection: Selection, subject: Subject = SUBJECT) -> dict[str, Any]:
    found = read(provenance(selection, subject, PARAMETERS, VERSION))["predicate"][
        "buildDefinition"
    ]
    assert isinstance(found, dict)
    return found


def test_statement(selection: Selection) -> None:
    """The frame: in-toto's fields, the image by its digest, the builder with its version."""
    document = read(provenance(selection, SUBJECT, PARAMETERS, VERSION))
    assert document.keys() == {"_type", "subject", "predicateType", "predicate"}
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    assert document["subject"] == [{"name": "tide", "digest": {"sha256": SUBJECT.digest.hex}}]
    run = document["predicate"]["runDetails"]
    assert run == {"builder": {"id": "pkg:pypi/pixi-ship", "version": {"pixi-ship": VERSION}}}


def test_external_parameters(selection: Selection) -> None:
    """What a person asked for; ``cuda`` only if it was."""
    asked = Parameters(cuda="12.4", compression="zstd", max_layers=9, bytecode=False)
    document = read(provenance(selection, SUBJECT, asked, VERSION))
    found = document["predicate"]["buildDefinition"]["externalParameters"]
    assert found == {
        "environment": "default",
        "platform": "linux-64",
        "base": "docker://registry.test/library/debian:12",
        "compression": "zstd",
        "maxLayers": 9,
        "bytecode": False,
        "cuda": "12.4",
    }
    assert "cuda" not in definition(selection)["externalParameters"]


def test_interpreter(selection: Selection) -> None:
    """The Python that compiled is ours to say, not asked for."""
    assert "internalParameters" not in definition(selection)
    python = Interpreter("/home/somebody/python", "3.11.7", "cpython-311", "a70d0d0a")
    with_python = dataclasses.replace(selection, interpreter=python)
    assert definition(with_python)["internalParameters"] == {"interpreter": python.key}


def test_resolved_dependencies(selection: Selection) -> None:
    """Lock, manifest and base by digest, and every package by package URL and digest."""
    found = definition(selection)["resolvedDependencies"]
    lock, manifest, base, *packages = found
    workspace = selection.workspace
    for row, path in ((lock, workspace.lock), (manifest, workspace.manifest)):
        assert row == {
            "name": path.name,
            "digest": {"sha256": Digest.of(path.read_bytes()).hex},
        }
    assert base["digest"] == {"sha256": Digest.of(b"the base").hex}
    assert base["uri"] == BASE.purl
    assert len(packages) == len(selection.packages)
    for row in packages:
        assert row["uri"].startswith(("pkg:conda/", "pkg:pypi/"))
        assert len(row["digest"]["sha256"]) == 64


@pytest.mark.parametrize("digest", [None, Digest.of(b"the base")])
def test_local_base(selection: Selection, digest: Digest | None) -> None:
    """A local base is called by its last part; without a digest it is a parameter alone."""
    base = Base(parse_reference("oci:/home/somebody/bases/slim.oci:v1"), digest)
    found = definition(selection, Subject("tide", SUBJECT.digest, base))
    assert found["externalParameters"]["base"] == "oci:slim.oci:v1"
    bases = [row for row in found["resolvedDependencies"] if row["name"] == "oci:slim.oci:v1"]
    assert [row["uri"] for row in bases] == ([f"pkg:oci/slim@{digest}"] if digest else [])
    assert "somebody" not in json.dumps(found)


def test_scratch(selection: Selection) -> None:
    """Nothing underneath is said, and not a dependency."""
    found = definition(selection, Subject("tide", SUBJECT.digest))
    assert found["externalParameters"]["base"] == "scratch"
    assert len(found["resolvedDependencies"]) == 2 + len(selection.packages)


def test_manifest_gone(selection: Selection, tmp_path: Path) -> None:
    """An error for people."""
    gone = dataclasses.replace(selection.workspace, manifest=tmp_path / "pixi.toml")
    with pytest.raises(WorkspaceError, match="No such file"):
        provenance(dataclasses.replace(selection, workspace=gone), SUBJECT, PARAMETERS, VERSION)
