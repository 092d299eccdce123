"""Statements are the same bytes from the same input, hold no secret, and need no more than that."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pixi_ship.attest.attestation import Attestation, attestation_bytes
from pixi_ship.attest.subject import Subject
from pixi_ship.digest import Digest
from pixi_ship.errors import UsageError
from pixi_ship.selection import Selection

from ..conftest import TestData
from .attest_data import CREATED, PARAMETERS, SUBJECT, VERSION, selected

LOCK = """\
version: 6
environments:
  default:
    channels:
    - url: https://channeluser:hunter2@conda.test/t/tk-hunter2/own/
    indexes:
    - https://indexuser:hunter2@index.test/simple
    packages:
      linux-64:
      - conda: https://conda.test/t/tk-hunter2/own/linux-64/python-3.12.4-h0_0.conda
      - conda: https://user:hunter2@conda.test/own/noarch/tide-1.0-h0_0.conda
      - pypi: https://user:hunter2@index.test/own/eddy-1.0-py3-none-any.whl?token=hunter2
packages:
- conda: https://conda.test/t/tk-hunter2/own/linux-64/python-3.12.4-h0_0.conda
  sha256: abcdef0111111111111111111111111111111111111111111111111111111111
  depends: []
  license: Python-2.0
- conda: https://user:hunter2@conda.test/own/noarch/tide-1.0-h0_0.conda
  sha256: abcdef0222222222222222222222222222222222222222222222222222222222
  channel: https://user:hunter2@conda.test/own/
  depends:
  - python
- pypi: https://user:hunter2@index.test/own/eddy-1.0-py3-none-any.whl?token=hunter2
  name: eddy
  version: '1.0'
  sha256: abcdef0333333333333333333333333333333333333333333333333333333333
  requires_dist:
  - tide @ https://user:hunter2@index.test/own/tide-1.0-py3-none-any.whl
"""


def stated(
    kind: Attestation, selection: Selection, subject: Subject = SUBJECT, created: str = CREATED
) -> bytes:
    return attestation_bytes(kind, selection, subject, PARAMETERS, created=created, version=VERSION)


@pytest.fixture
def selection(channel_data: TestData) -> Selection:
    return selected(channel_data.workspace("numpy"))


@pytest.fixture
def with_secrets(tmp_path: Path) -> Selection:
    (tmp_path / "pixi.toml").write_text('[workspace]\nname = "tide"\n')
    (tmp_path / "pixi.lock").write_text(LOCK)
    return selected(tmp_path)


def test_media_types() -> None:
    """As registered with IANA."""
    assert {kind.value: kind.media_type for kind in Attestation} == {
        "spdx": "application/spdx+json",
        "cyclonedx": "application/vnd.cyclonedx+json",
        "slsa": "application/vnd.in-toto+json",
    }


@pytest.mark.parametrize("kind", Attestation)
def test_no_secrets(kind: Attestation, with_secrets: Selection) -> None:
    """Credentials of a lock's URLs stay in the lock; the places they guard are named."""
    assert "hunter2" in repr(with_secrets), "the lock's own words, or the test proves nothing"
    text = stated(kind, with_secrets).decode()
    assert "hunter2" not in text
    assert "user" not in text
    for place in (
        "https://conda.test/own/linux-64/python-3.12.4-h0_0.conda",
        "https://conda.test/own/noarch/tide-1.0-h0_0.conda",
        "https://index.test/own/eddy-1.0-py3-none-any.whl",
    ):
        assert place in text


@pytest.mark.parametrize("kind", Attestation)
def test_nothing_of_the_machine(kind: Attestation, selection: Selection) -> None:
    """The test channel lies in a directory of this machine, which is nobody's business."""
    assert str(selection.workspace.root.parents[1]) in repr(selection)
    assert str(selection.workspace.root.parents[1]) not in stated(kind, selection).decode()


@pytest.mark.parametrize("kind", Attestation)
def test_same_input_same_bytes(kind: Attestation, channel_data: TestData) -> None:
    """In another process with another hash seed, time zone and locale."""
    root = channel_data.workspace("numpy")
    program = (
        "import hashlib, sys\n"
        "from pathlib import Path\n"
        "from tests.unit.test_attest_attestation import Attestation, selected, stated\n"
        "selection = selected(Path(sys.argv[2]))\n"
        "data = stated(Attestation(sys.argv[1]), selection)\n"
        "print(hashlib.sha256(data).hexdigest())\n"
    )
    found = {hashlib.sha256(stated(kind, selected(root))).hexdigest()}
    for seed, zone in (("1", "Asia/Tokyo"), ("2", "America/Lima")):
        ran = subprocess.run(
            [sys.executable, "-c", program, kind.value, str(root)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
            env={
                "PYTHONHASHSEED": seed,
                "TZ": zone,
                "LC_ALL": "C",
                "PYTHONPATH": ":".join(sys.path),
            },
        )
        found.add(ran.stdout.strip())
    assert len(found) == 1


@pytest.mark.parametrize("kind", [Attestation.SPDX, Attestation.CYCLONEDX])
def test_documents_have_names_of_their_own(kind: Attestation, selection: Selection) -> None:
    """The name of a document changes with the image and with the date, and not by chance."""

    def name(digest: bytes, created: str) -> str:
        subject = Subject("tide", Digest.of(digest))
        document = json.loads(stated(kind, selection, subject, created))
        return str(document.get("serialNumber") or document["documentNamespace"])

    names = [
        name(b"one", CREATED),
        name(b"two", CREATED),
        name(b"one", "2026-02-01T00:00:00Z"),
    ]
    assert len(set(names)) == 3
    assert name(b"one", CREATED) == names[0]
    assert all(each.startswith("urn:uuid:") for each in names)


@pytest.mark.parametrize(
    ("created", "spelled"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00"),
        ("2026-01-31T13:30:00.25+01:30", "2026-01-31T12:00:00"),
        ("1980-01-01T00:00:00Z", "1980-01-01T00:00:00"),
    ],
)
def test_time_is_the_one_given(selection: Selection, created: str, spelled: str) -> None:
    """In UTC and whole seconds, as SPDX has it."""
    spdx = json.loads(stated(Attestation.SPDX, selection, created=created))
    assert spdx["creationInfo"]["created"] == f"{spelled}Z"
    cyclonedx = json.loads(stated(Attestation.CYCLONEDX, selection, created=created))
    assert cyclonedx["metadata"]["timestamp"] == f"{spelled}+00:00"


@pytest.mark.parametrize("created", ["yesterday", "2026-01-31T12:00:00", ""])
def test_no_time(selection: Selection, created: str) -> None:
    """An error for people."""
    with pytest.raises(UsageError, match="is not a time"):
        stated(Attestation.SPDX, selection, created=created)


@pytest.mark.parametrize(
    ("kind", "library"),
    [
        (Attestation.SPDX, "spdx_tools"),
        (Attestation.SPDX, "license_expression"),
        (Attestation.CYCLONEDX, "cyclonedx"),
        (Attestation.CYCLONEDX, "packaging"),
    ],
)
def test_missing_library(kind: Attestation, library: str, channel_data: TestData) -> None:
    """A sentence and what to do; provenance needs none of them."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pixi_ship.attest.attestation import Attestation, LibraryMissing, attestation_bytes\n"
        "heavy = {'spdx_tools', 'cyclonedx', 'license_expression', 'rdflib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "kind, library, root = sys.argv[1:]\n"
        "def make(kind, selection):\n"
        "    return attestation_bytes(kind, selection, data.SUBJECT, data.PARAMETERS,\n"
        "        created=data.CREATED, version=data.VERSION)\n"
        "import tests.unit.attest_data as data\n"
        "selection = data.selected(Path(root))\n"
        "for name in [name for name in sys.modules\n"
        "             if name.split('.')[0] == library or name.startswith('pixi_ship.attest.')]:\n"
        "    if name not in ('pixi_ship.attest.attestation', 'pixi_ship.attest.provenance'):\n"
        "        del sys.modules[name]\n"
        "sys.modules[library] = None\n"
        "assert make(Attestation.SLSA, selection)\n"
        "try:\n"
        "    make(Attestation(kind), selection)\n"
        "except LibraryMissing as error:\n"
        "    print(error, error.hint, sep='|')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, kind.value, library, str(channel_data.workspace("numpy"))],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert ran.stdout.strip() == (
        f"making the {kind} document: Python has no module {library!r}"
        "|pip install 'pixi-ship[sbom]'"
    )
