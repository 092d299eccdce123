"""What ``verify`` says where the wheel that it built itself is another: what it was built with."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pixi_ship.cache import Cache
from pixi_ship.lock.model import PypiPackage
from pixi_ship.verification.compare import Difference
from pixi_ship.verify.built import built_notes

from ..tiny import Tiny, ship
from .conftest import wheel_of
from .projects import hostile, write


def in_the_workspace(tiny: Tiny, changes: dict[str, str]) -> None:
    """A path dependency that its own backend builds with the package ``tool``, locked."""
    tiny.lock(tiny.python())
    files = dict(hostile("return make(wheel_directory, data=tool.DATA)"))
    files["pyproject.toml"] = files["pyproject.toml"].replace("[]", '["tool"]')
    for old, new in changes.items():
        assert old in files["backend.py"]
        files["backend.py"] = files["backend.py"].replace(old, new)
    write(tiny.work / "hostile", {**files, "backend.py": f"import tool\n{files['backend.py']}"})
    path = tiny.work / "pixi.lock"
    lock = json.loads(path.read_text())
    lock["packages"].append({"pypi": "./hostile", "name": "hostile", "version": "1.0"})
    lock["environments"]["default"]["packages"]["linux-64"].append({"pypi": "./hostile"})
    path.write_text(json.dumps(lock))


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the locked Python is 3.11")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {'"Wheel-Version: 1.0\\nGenerator: t': 'f"Wheel-Version: 1.0\\nGenerator: {tool.DATA}'},
            "its WHEEL differs, which names the backend",
        ),
        ({}, "may have been built with others"),
    ],
)  # fmt: skip
def test_another_backend_is_named(
    tmp_path: Path,
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    reason: str,
) -> None:
    tiny, links = Tiny(tmp_path / "tiny"), tmp_path / "links"
    in_the_workspace(tiny, changes)
    wheel_of(links, "tool", version="1", text="DATA = 'one'")
    for name, value in {**variables, "UV_FIND_LINKS": str(links)}.items():
        monkeypatch.setenv(name, value)
    assert tiny.build().status == 0
    verifying: list[str | Path] = [
        "verify",
        f"oci:{tiny.output}:t",
        "-w",
        tiny.work,
        "--base",
        "scratch",
    ]
    again = ship(*verifying, "--cache-dir", tmp_path / "second")
    assert again.status == 0, again.out + again.err
    assert "was built here" not in again.err
    wheel_of(links, "tool", version="2", text="DATA = 'two'")
    differs = ship(*verifying, "--cache-dir", tmp_path / "third")
    assert differs.status == 1
    (note,) = (line for line in differs.err.splitlines() if "was built here" in line)
    assert "hostile: its wheel was built here, with tool-2; " in note
    assert reason in note


def test_what_does_not_differ_is_not_explained(tmp_path: Path) -> None:
    wheel = PypiPackage(
        name="a", version="1", location="a", file_name="a-1-py3-none-any.whl", sha256="0" * 64
    )
    other = Difference("file", "/app/site-packages/aa-1.dist-info/WHEEL", "x", "y")
    assert list(built_notes([wheel], Cache(tmp_path), [other])) == []
