"""What an image's label says of files and tasks is laid at the image's door, not the person's."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..channel.conda_package import CondaPackage, File
from ..tiny import Ran, Tiny, ship

TASK = "\n[tasks]\nt = 'cat a.txt'\n"


def verified_without(root: Path, gone: str) -> tuple[Tiny, Ran]:
    """Build with a file and a task, take one of them out of the workspace, and verify."""
    tiny = Tiny(root)
    tiny.lock(CondaPackage("thing", "1.0", [File("share/x", b"x")]).write(tiny.channel))
    manifest = tiny.work / "pixi.toml"
    plain = manifest.read_text()
    manifest.write_text(plain + TASK)
    (tiny.work / "a.txt").write_text("a")
    assert tiny.build("--include", "a.txt", "--task", "t x").status == 0
    if gone == "file":
        (tiny.work / "a.txt").unlink()
    else:
        manifest.write_text(plain)
    return tiny, ship("verify", f"oci:{tiny.output}:t", "-w", tiny.work, "--cache-dir", tiny.cache)


@pytest.mark.parametrize(
    ("gone", "error", "label"),
    [
        ("file", "a.txt", "include of pixi-ship.options ['a.txt']"),
        ("task", "taking task 't' as the command: ", "task of pixi-ship.options ['t', 'x']"),
    ],
)
def test_the_label_and_the_image_are_named(
    tmp_path: Path, gone: str, error: str, label: str
) -> None:
    tiny, ran = verified_without(tmp_path, gone)
    assert (ran.status, ran.out) == (1, "")
    said, hint = ran.err.splitlines()
    assert said.startswith(f"error: reading the labels of oci:{tiny.output}:t: ")
    assert error in said
    assert label in hint
    assert "--include" in hint


def test_what_the_person_named_is_the_persons(tmp_path: Path) -> None:
    """Who names another file that is not there is told of the file alone."""
    tiny, _ = verified_without(tmp_path, "file")
    words = ("-w", tiny.work, "--cache-dir", tiny.cache, "--include", "b.txt")
    manifest = tiny.work / "pixi.toml"
    manifest.write_text(manifest.read_text().replace(TASK, ""))
    assert tiny.build().status == 0
    ran = ship("verify", f"oci:{tiny.output}:t", *words)
    assert ran.status == 1
    assert "b.txt" in ran.err
    assert "labels" not in ran.err
