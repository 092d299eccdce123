"""Nothing of an image is unpacked to disk: layers pass through, and what is written are notes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..contract.tools import need
from ..tiny import Ran, ship_apart
from .case import Case

MOST = 64 << 10
"""Bytes that a file may have under the limit below; the image has one of 200,000."""

WATCH = """\
import json, os, sys

writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
making = {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.remove"}
log = []

def watch(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)) and (args[2] or 0) & writing:
        log.append(["open", os.fsdecode(args[0])])
    elif event in making:
        log.append([event, *map(str, args)])

sys.addaudithook(watch)
from pixi_ship.cli import main
try:
    main(sys.argv[2:])
finally:
    found = list(log)
    with open(sys.argv[1], "w") as file:
        json.dump(found, file)
"""


def watched(case: Case, log: Path, *words: str | Path) -> tuple[Ran, list[list[str]]]:
    """Run a verb in a process of its own; returns what it opened to write, made and renamed."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCH, log, *words, *case.words("--json")],
        capture_output=True,
        text=True,
    )
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert log.is_file(), ran.err
    found: list[list[str]] = json.loads(log.read_text())
    return ran, found


def test_all_that_is_written_are_notes(case: Case, tmp_path: Path) -> None:
    own = case.elsewhere(tmp_path / "own")
    shutil.rmtree(own.tiny.cache / "notes")
    ran, found = watched(own, tmp_path / "log", "verify", f"oci:{case.layout}:t")
    assert ran.status == 0, ran.err
    cache = own.tiny.cache
    opened = {Path(row[1]) for row in found if row[0] == "open"} - {Path("/dev/null")}
    assert opened, "the watch sees nothing"
    assert {path.parent for path in opened} <= {cache, cache / "tmp"}
    assert {path for path in opened if path.parent == cache} <= {cache / "lock", cache / "tmp"}
    renamed = [Path(row[2]) for row in found if row[0] == "os.rename"]
    assert renamed
    assert all(path.is_relative_to(cache / "notes") for path in renamed)
    made = [Path(row[1]) for row in found if row[0] == "os.mkdir"]
    assert all(path.is_relative_to(cache / "notes") for path in made)


def test_the_watch_sees_a_build(case: Case, tmp_path: Path) -> None:
    """So that the test above is one."""
    ran, found = watched(case, tmp_path / "log", "build", "--to", f"oci:{tmp_path / 'built'}:t")
    assert ran.status == 0, ran.err
    renamed = [Path(row[2]) for row in found if row[0] == "os.rename"]
    assert tmp_path / "built" in renamed


@pytest.mark.parametrize(
    "form", ["oci:{}/image:t", "oci-archive:{}/a.tar:t", "docker-archive:{}/b.tar"]
)
def test_no_file_as_large_as_the_image_s(case: Case, tmp_path: Path, form: str) -> None:
    """Under a limit of the system on what a file may have, whoever writes it."""
    need("prlimit")
    reference = form.format(tmp_path)
    case.build(reference)
    limited = ["prlimit", f"--fsize={MOST}"]
    ran = ship_apart("verify", reference, *case.words("--json"), prefix=limited)
    assert (ran.status, ran.err) == (0, "")
    words = ["build", "--to", f"oci:{tmp_path / 'more'}:t", *case.words("--quiet")]
    assert ship_apart(*words, prefix=limited).status == 1, "the limit does not bite"


def test_temporary_places_stay_empty(case: Case, tmp_path: Path) -> None:
    """Nor does anything go where programs put what they do not want to keep."""
    names = ("tmp", "home", "work")
    folders = {name: tmp_path / name for name in names}
    for folder in folders.values():
        folder.mkdir()
    env = {"TMPDIR": str(folders["tmp"]), "HOME": str(folders["home"])}
    before = {path: path.read_bytes() for path in case.layout.rglob("*") if path.is_file()}
    ran = ship_apart(
        "verify", f"oci:{case.layout}:t", *case.words("--json"), env=env, cwd=folders["work"]
    )
    assert ran.status == 0, ran.err
    assert [list(folder.iterdir()) for folder in folders.values()] == [[], [], []]
    assert before == {path: path.read_bytes() for path in case.layout.rglob("*") if path.is_file()}
