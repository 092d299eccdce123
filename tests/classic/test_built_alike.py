"""The image by the rendered Dockerfile and the image by `build`, of one lock: where they differ.

Every difference under the prefix is in a table with its reason; a file that differs for none of
them fails. Both activate alike, and a job's script that was written for one runs on the other.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..contract.tools import output
from .conftest import Builder
from .pixi_image import real_pixi

PREFIX = "/app/.pixi/envs/default"


@dataclass(frozen=True)
class Node:
    """What is at one path."""

    kind: str
    content: bytes = b""
    target: str = ""
    executable: bool = False


@dataclass(frozen=True)
class Difference:
    """Paths that differ, and why; a node is None in the image that lacks the path."""

    name: str
    reason: str
    holds: Callable[[str, Node | None, Node | None], bool]


def _in_both(*ends: str) -> Callable[[str, Node | None, Node | None], bool]:
    return lambda path, a, b: bool(a and b) and path.endswith(ends)


def _only_classic(*ends: str) -> Callable[[str, Node | None, Node | None], bool]:
    return lambda path, a, b: b is None and path.endswith(ends)


def _conda_record(path: str, classic: Node | None, ours: Node | None) -> bool:
    """The same package, whose record tells of the machine that linked it or of our bytecode."""
    if not (path.startswith("conda-meta/") and path.endswith(".json") and classic and ours):
        return False
    one, other = json.loads(classic.content), json.loads(ours.content)
    same = ("name", "version", "build", "sha256", "md5", "subdir", "depends")
    return all(one.get(key) == other.get(key) for key in same)


def _console_script(path: str, classic: Node | None, ours: Node | None) -> bool:
    """The same interpreter and the same function, in other words."""
    if not (path.startswith("bin/") and classic and ours and classic.executable == ours.executable):
        return False
    if not all(
        each.content.startswith(f"#!{PREFIX}/bin/python".encode()) for each in (classic, ours)
    ):
        return False
    one, other = (_started(each.content) for each in (classic, ours))
    return one == other


def _started(script: bytes) -> tuple[bytes, ...]:
    """Module and function that a console script starts; of other scripts all but the first line."""
    found = re.search(rb"^from (\S+) import (\S+)$", script, re.MULTILINE)
    if found and b"sys.exit(" in script:
        return found[1], found[2]
    return (script.partition(b"\n")[2],)


DIFFERENCES = (
    Difference(
        "bytecode",
        "roots are read-only on nodes, so ours has it compiled for all code",
        lambda path, a, _: a is None and "__pycache__" in path,
    ),
    Difference(
        "records in conda-meta",
        "ours leave the cache of the building machine out, and name the bytecode",
        _conda_record,
    ),
    Difference(
        "CACHEDIR.TAG",
        "rattler asks programs that make backups to pass it by; an image is not backed up",
        _only_classic("CACHEDIR.TAG"),
    ),
    Difference("RECORD of wheels", "it lists the files below", _in_both(".dist-info/RECORD")),
    Difference(
        "INSTALLER and REQUESTED",
        "who installed, and that somebody asked for it: not so for ours",
        lambda path, *_: path.endswith((".dist-info/INSTALLER", ".dist-info/REQUESTED")),
    ),
    Difference(
        "direct_url.json and uv_cache.json",
        "paths and times of the building machine",
        _only_classic(".dist-info/direct_url.json", ".dist-info/uv_cache.json"),
    ),
    Difference(
        "scripts of wheels",
        "uv and the installer of PyPA word them differently, and one says python, one python3.11",
        _console_script,
    ),
    Difference("conda-meta/pixi", "Pixi's own notes on what it did", _only_classic("meta/pixi")),
    Difference(
        "uv's lock",
        "a lock file that uv leaves in the environment it works on",
        _only_classic(".lock"),
    ),
)


def _files(root: Path) -> dict[str, Node]:
    found = {}
    for folder, directories, names in os.walk(root):
        for name in (*directories, *names):
            path = Path(folder, name)
            key = str(path.relative_to(root))
            if path.is_symlink():
                found[key] = Node("link", target=str(path.readlink()))
            elif path.is_file():
                executable = bool(path.stat().st_mode & 0o111)
                found[key] = Node("file", path.read_bytes(), "", executable)
    return found


@pytest.fixture(scope="module")
def pair(builder: Builder, ours: Callable[[Path], str]) -> tuple[str, str]:
    """The same workspace by either way: Dockerfile, `build`."""
    workspace = builder.workspace("numpy")
    return builder.image(workspace), ours(workspace)


@pytest.fixture(scope="module")
def trees(builder: Builder, pair: tuple[str, str]) -> tuple[dict[str, Node], dict[str, Node]]:
    """What is under the prefix in both images."""
    one, other = (dict(_mounted(builder, image)) for image in pair)
    return one, other


def _mounted(builder: Builder, image: str) -> Iterator[tuple[str, Node]]:
    container = output(*builder.buildah, "from", "--quiet", "--pull-never", image).strip()
    try:
        root = Path(output(*builder.buildah, "mount", container).strip())
        yield from _files(root / PREFIX[1:]).items()
    finally:
        output(*builder.buildah, "rm", container)


def test_the_same_files(trees: tuple[dict[str, Node], dict[str, Node]]) -> None:
    classic, ours = trees
    assert len(classic) > 1000
    unexplained = []
    for path in sorted(classic.keys() | ours.keys()):
        one, other = classic.get(path), ours.get(path)
        if one != other and not any(each.holds(path, one, other) for each in DIFFERENCES):
            unexplained.append((path, one and one.kind, other and other.kind))
    assert unexplained == [], [(classic.get(p), ours.get(p)) for p, *_ in unexplained[:3]]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda each: each.name)
def test_each_difference_occurs(
    trees: tuple[dict[str, Node], dict[str, Node]], difference: Difference
) -> None:
    """The table explains nothing that is not there."""
    if difference.name in ("conda-meta/pixi", "uv's lock") and real_pixi() is None:
        pytest.skip("the stand-in does not write it")
    classic, ours = trees
    assert any(
        classic.get(path) != ours.get(path)
        and difference.holds(path, classic.get(path), ours.get(path))
        for path in classic.keys() | ours.keys()
    )


def test_bytes_that_count_are_alike(trees: tuple[dict[str, Node], dict[str, Node]]) -> None:
    """All code and all libraries, to the byte."""
    classic, ours = trees
    counted = [path for path in classic if path.endswith((".py", ".so")) or ".so." in path]
    assert len(counted) > 500
    digests = [
        {path: hashlib.sha256(tree[path].content).hexdigest() for path in counted}
        for tree in (classic, ours)
    ]
    assert digests[0] == digests[1]


SCRIPT = """\
#!/bin/bash
# Written for the recipe's image: activate by hand, then run.
. <(sed '$d' /app/entrypoint.sh)
command -v python
python -c 'import sys, numpy; print(sys.prefix, numpy.arange(3).sum())'
echo "$CONDA_PREFIX $CONDA_DEFAULT_ENV $PIXI_ENVIRONMENT_NAME $PIXI_PROJECT_ROOT $DEMO_MODE"
printf '<%s>' "$@"
exit 3
"""


def test_a_script_written_for_one_runs_on_the_other(
    builder: Builder, pair: tuple[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "job.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    mount = ["--volume", f"{script}:/job.sh:ro"]
    ways = {
        "by itself": [*mount, "--entrypoint", "/job.sh"],
        "as the entrypoint's command": mount,
    }
    for way, options in ways.items():
        words = ("a b", "$HOME") if "itself" in way else ("/job.sh", "a b", "$HOME")
        one, other = (builder.run(image, *words, options=options) for image in pair)
        assert (one.returncode, one.stdout) == (other.returncode, other.stdout), way
        assert one.returncode == 3, one.stderr
        assert f"{PREFIX} 3\n" in one.stdout
        assert one.stdout.endswith("<a b><$HOME>")


# Of the variables, after activation: what only one of them has, or has differently.
VARIABLES = {
    "PIXI_SHIP_ACTIVE": "ours marks what is active, so that it is not done twice",
    "PYTHONNOUSERSITE": "ours keeps packages in the user's home out",
    "PYTHONPATH": "ours keeps the host's out",
    "PYTHONHOME": "ours keeps the host's out",
    "USER": "ours names a user who has no name",
    "LOGNAME": "ours names a user who has no name",
    "HOSTNAME": "of the container",
    "container": "of the runtime",
    "PS1": "rattler's script sets the prompt",
    "CONDA_SHLVL": "rattler's script counts nested activations",
    "PWD": "the recipe starts in /app",
    "SHLVL": "the recipe's entrypoint is run by bash, ours by sh",
    "PATH": "rattler's script puts the base's directories of the build before those there are",
    "OLDPWD": "the recipe starts in /app",
}


def test_the_entrypoints_activate_alike(builder: Builder, pair: tuple[str, str]) -> None:
    found = []
    for image in pair:
        rows = builder.run(image, "env", "-0").stdout.split("\0")
        found.append(dict(row.split("=", 1) for row in rows if row))
    classic, ours = found
    differing = {
        name for name in classic.keys() | ours.keys() if classic.get(name) != ours.get(name)
    }
    assert differing <= VARIABLES.keys(), {
        name: (classic.get(name), ours.get(name)) for name in differing - VARIABLES.keys()
    }
    searched = [list(dict.fromkeys(each["PATH"].split(":"))) for each in found]
    assert searched[0] == searched[1]


def test_exit_codes_and_words(builder: Builder, pair: tuple[str, str]) -> None:
    """The entrypoint hands words on as they are, and the command's status back."""
    for image in pair:
        done = builder.run(image, "sh", "-c", 'printf "[%s]" "$@"; exit 7', "-", "a b", "*", "")
        assert (done.returncode, done.stdout) == (7, "[a b][*][]")
