"""Metadata that no builder writes today, or should not have written, against `rattler.install`.

Where we mean to differ, the test says how and why.
"""

from __future__ import annotations

import hashlib
import importlib.util
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import rattler

from pixi_ship.errors import PackageError
from pixi_ship.prefix.bytecode import Compiler

from ..conftest import TestData
from . import trees
from .by_hand import (
    PLACEHOLDER,
    directory,
    entry_points,
    file,
    link,
    package,
    paths_json,
    row,
)
from .conftest import Judge
from .differences import unexplained

pytestmark = pytest.mark.oracle

HERE = PLACEHOLDER.encode()
FAR = HERE + b"/" + b"p" * 120
OLD_PLACEHOLDER = b"/opt/anaconda1anaconda2" + b"anaconda3"
TIMED_PYC = importlib.util.MAGIC_NUMBER + struct.pack("<III", 0, 12345, 10) + b"code"

Ours = Callable[[list[rattler.RepoDataRecord]], trees.Prefix]


@pytest.fixture
def ours(tmp_path: Path) -> Ours:
    return lambda records: trees.ours(trees.locked(records, tmp_path))


def test_a_package_from_before_paths_json(agree: Judge, tmp_path: Path) -> None:
    info = {
        "files": "bin/a\nlib/b\nlib/l\nq uoted\nlib/c\n",
        "has_prefix": f'bin/a\n"{PLACEHOLDER}" binary lib/b\n{PLACEHOLDER} TEXT "q uoted"\n',
        "no_link": "bin/a\n",
        "no_softlink": "lib/c\n",
    }
    members = [
        file("bin/a", b"#!" + OLD_PLACEHOLDER + b"/bin/sh\n", 0o755),
        file("lib/b", HERE + b"\0x"),
        link("lib/l", "b"),
        file("q uoted", HERE),
        file("lib/c", b"c"),
    ]
    agree([package(tmp_path, info, members)])


def test_shebangs_too_long_for_the_kernel(agree: Judge, tmp_path: Path) -> None:
    lines = [
        b"#!" + FAR + b"/python3.11 -u\nrest " + HERE + b"\n",
        b"#!" + FAR + b"/perl -w",  # without a newline the whole file is the line
        b"#! " + FAR + b"/perl -w\r\nx",
        b"#!/usr/bin/env " + HERE + b" " + b"x" * 130 + b"\n",
        b"#!\n" + HERE,
        b"#!" + FAR + b"/python3.11.2\n",
        b"#!" + FAR + b"/a\\ b c\n",
        b"#!" + FAR + b"/python \t-E\n",
        b"",
    ]
    rows = [row(f"s{number}", mode="text") for number in range(len(lines))]
    members = [file(f"s{number}", line, 0o755) for number, line in enumerate(lines)]
    agree([package(tmp_path, paths_json(*rows), members)])


def test_hard_links_to_files_that_are_relocated_otherwise(agree: Judge, tmp_path: Path) -> None:
    rows = [row("a", mode="text"), row("b"), row("c", mode="text"), row("d", mode="binary")]
    members = [
        file("a", HERE + b"\0\n"),
        link("b", "a", tarfile.LNKTYPE),
        link("c", "a", tarfile.LNKTYPE),
        link("d", "b", tarfile.LNKTYPE),
    ]
    agree([package(tmp_path, paths_json(*rows), members)])


def test_a_hard_link_to_a_file_that_no_row_lists(agree: Judge, tmp_path: Path) -> None:
    members = [file("a", b"xyz"), link("b", "a", tarfile.LNKTYPE)]
    agree([package(tmp_path, paths_json(row("b")), members)])


def test_a_hard_link_to_a_symbolic_link(agree: Judge, tmp_path: Path) -> None:
    rows = [row("a", "softlink"), row("b", "softlink"), row("t")]
    members = [file("t", b"xyz"), link("a", "t"), link("b", "a", tarfile.LNKTYPE)]
    agree([package(tmp_path, paths_json(*rows), members)])


def test_bytecode_checked_by_time(agree: Judge, tmp_path: Path, channel_data: TestData) -> None:
    sources = [file("site-packages/m.py", b"1"), file("site-packages/n.py", HERE)]
    compiled = [f"site-packages/{name}" for name in ("o.pyc", "__pycache__/alone.pyc")]
    compiled += [f"site-packages/__pycache__/{name}.cpython-311.pyc" for name in "mn"]
    rows = [row("site-packages/m.py"), row("site-packages/n.py", mode="text")]
    rows += [row(path) for path in compiled]
    members = sources + [file(path, TIMED_PYC) for path in compiled]
    found = package(tmp_path, paths_json(*rows), members, noarch="python", depends=["python"])
    agree([found, *channel_data.records("python")])


def test_entry_points_with_objects_and_odd_spaces(
    agree: Judge, tmp_path: Path, channel_data: TestData
) -> None:
    info = paths_json() | entry_points("a b = m.n:f.g", "c=m:f", "d = m : f ")
    found = package(tmp_path, info, [], noarch="python", depends=["python"])
    agree([found, *channel_data.records("python")])


def test_an_entry_point_replaces_the_packages_own_script(
    agree: Judge, tmp_path: Path, channel_data: TestData, ours: Ours
) -> None:
    script = file("python-scripts/cmd", b"own", 0o755)
    digest = "5b3975651c3cab92d044c096dc30a1c2d9525497457472de48c51ecb363d1f4a"
    info = paths_json(row("python-scripts/cmd", sha256=digest, size_in_bytes=3))
    info |= entry_points("cmd = m:f")
    found = package(tmp_path, info, [script], noarch="python", depends=["python"])
    agree([found, *channel_data.records("python")])


def test_entry_points_follow_the_rule_of_clobbered_files(
    tmp_path: Path, channel_data: TestData, ours: Ours
) -> None:
    """Rattler does not look at entry points: whichever thread comes last would win."""
    first = package(
        tmp_path, paths_json() | entry_points("cmd = m:f"), [], name="one", noarch="python"
    )
    second = package(tmp_path, paths_json(row("bin/cmd")), [file("bin/cmd", b"own")], name="two")
    tree = ours([first, second, *channel_data.records("python")])
    winner, loser = tree["bin/cmd"], "__clobbers__/one/bin/cmd"
    assert winner.content == b"own" or tree["__clobbers__/two/bin/cmd"].content == b"own"
    assert (loser in tree) is (winner.content == b"own")


@pytest.mark.parametrize("extra", [{"mode": "text"}, {"no_link": True}])
def test_a_symbolic_link_stays_one(extra: dict[str, str], tmp_path: Path, ours: Ours) -> None:
    """Rattler copies what a link with `no_link` or a placeholder points to; conda keeps it."""
    rows = [row("f", mode="text"), row("l", "softlink", **extra)]
    tree = ours([package(tmp_path, paths_json(*rows), [file("f", HERE), link("l", "f")])])
    assert tree["l"] == trees.Node("link", target="f")
    assert tree["f"].content == trees.PREFIX.encode()


def test_the_member_decides_over_the_row_what_a_path_is(tmp_path: Path, ours: Ours) -> None:
    """Rattler refuses a row of type softlink over a file, and any of type directory."""
    rows = [row("l", "softlink"), row("d", "directory")]
    tree = ours([package(tmp_path, paths_json(*rows), [file("l", b"x"), directory("d")])])
    assert (tree["l"].kind, tree["d"].kind) == ("file", "directory")


def test_sizes_are_those_of_the_files(tmp_path: Path, ours: Ours) -> None:
    """Rattler repeats what paths.json says, be it wrong."""
    tree = ours([package(tmp_path, paths_json(row("f", size_in_bytes=7)), [file("f", b"123")])])
    (only,) = tree["conda-meta/by-hand-1-0.json"].record["paths_data"]["paths"]
    assert only["size_in_bytes"] == 3


def test_a_shebang_outside_utf_8_keeps_its_bytes(tmp_path: Path, ours: Ours) -> None:
    """Rattler puts U+FFFD for each byte that is not UTF-8."""
    line = file("s", b"#!" + HERE + b"/bin/caf\xe9\n")
    tree = ours([package(tmp_path, paths_json(row("s", mode="text")), [line])])
    assert tree["s"].content == b"#!" + trees.PREFIX.encode() + b"/bin/caf\xe9\n"


@pytest.mark.parametrize(
    ("info", "members"),
    [
        (paths_json(row("f")), []),
        ({"files": "a\n", "has_prefix": "text a\n"}, [file("a")]),
        (paths_json(row("../f")), [file("f")]),
    ],
    ids=["a file is missing", "a row of has_prefix is damaged", "a path climbs out"],
)
def test_what_rattler_refuses_is_refused(
    info: dict[str, str],
    members: list[tuple[tarfile.TarInfo, bytes]],
    cache: Path,
    tmp_path: Path,
    ours: Ours,
) -> None:
    found = package(tmp_path, info, members)
    with pytest.raises(PackageError):
        ours([found])
    if "../" not in str(info):  # rattler itself would write outside of the prefix
        with pytest.raises(rattler.exceptions.InstallerError):
            trees.rattlers(trees.locked([found], tmp_path), cache)


@pytest.mark.parametrize(
    ("rows", "members"),
    [
        ([row("l", "softlink")], []),
        ([row("a")], [file("a", b"first"), file("a", b"second")]),
    ],
    ids=["a link is missing", "a path comes twice"],
)
def test_archives_that_are_not_what_they_say_are_refused(
    rows: list[object], members: list[tuple[tarfile.TarInfo, bytes]], tmp_path: Path, ours: Ours
) -> None:
    """Rattler installs these: it skips the link, and takes the last of two files."""
    with pytest.raises(PackageError):
        ours([package(tmp_path, paths_json(*rows), members)])


def test_a_compiler_adds_bytecode_and_changes_nothing_else(
    cache: Path, tmp_path: Path, channel_data: TestData, compiler: Compiler | None
) -> None:
    if compiler is None:
        pytest.skip("there is no python3.11 to compile with")
    lock = trees.locked(channel_data.records("python", "edge"), tmp_path)
    with_bytecode = trees.ours(lock, compiler)
    theirs = trees.rattlers(lock, cache)
    added = {path for path in with_bytecode.keys() - theirs.keys() if path.endswith(".pyc")}
    assert len(added) > 100
    assert "lib/python3.11/site-packages/edge_package/__pycache__/__init__.cpython-311.pyc" in added
    assert not any("broken_syntax" in path for path in added)
    rest = {path: node for path, node in with_bytecode.items() if path not in added}
    assert not unexplained(theirs, rest)


@pytest.mark.parametrize("order", [("n.py", "n.pyc"), ("n.pyc", "n.py")], ids=" ".join)
def test_shipped_bytecode_of_a_relocated_source_is_made_anew(
    order: tuple[str, str], tmp_path: Path, channel_data: TestData, compiler: Compiler | None
) -> None:
    """As conda-forge's python ships that of `_sysconfigdata`, wherever it lies in the archive."""
    if compiler is None:
        pytest.skip("there is no python3.11 to compile with")
    root = "lib/python3.11/site-packages"
    compiled = f"{root}/__pycache__/n.cpython-311.pyc"
    placed = {"n.py": f"{root}/n.py", "n.pyc": compiled}
    # So many that what is compiled is not all waited for at the end.
    between = [file(f"share/{number}", b"x" * 100_000) for number in range(100)]
    content = {"n.py": b"HOME = '%s'\n" % HERE, "n.pyc": TIMED_PYC}
    first, last = (file(placed[each], content[each]) for each in order)
    rows = [row(placed["n.py"], mode="text"), row(compiled, mode="binary")]
    rows += [row(member.name) for member, _ in between]
    found = package(tmp_path, paths_json(*rows), [first, *between, last], depends=["python 3.11.*"])
    lock = trees.locked([found, *channel_data.records("python")], tmp_path)
    prefix = trees.ours(lock, compiler)
    source = prefix[placed["n.py"]].content
    again = compiler.compile(source, f"{trees.PREFIX}/{placed['n.py']}")
    assert HERE not in source
    assert prefix[compiled].content == again
    (record,) = (
        each.record
        for each in prefix.values()
        if each.kind == "record" and each.record["name"] == "by-hand"
    )
    (listed,) = (each for each in record["paths_data"]["paths"] if each["_path"] == compiled)
    assert listed["sha256_in_prefix"] == hashlib.sha256(prefix[compiled].content).hexdigest()
