"""An environment that Pixi installed gives what no archive can: the same image as the archive
itself, wherever it was installed; and nothing of it is taken that was changed or leads out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from pixi_ship.errors import PackageError, PixiShipError
from pixi_ship.injection import InjectionError
from pixi_ship.package.archive import CondaArchive
from pixi_ship.package.metadata import read_metadata

from ..channel.conda_package import (
    PLACEHOLDER,
    CondaPackage,
    Entry,
    File,
    HardLink,
    Link,
    script,
    text_file,
)
from .site import PYTHON, Image, Site, install, tool

HOLD = PLACEHOLDER.encode()
BINARY = (
    b"\x7fELF\0"
    + HOLD
    + b"/lib\0"
    + HOLD
    + b"/a:"
    + HOLD
    + b"/b\0\0\0rest\0plain\0"
    + bytes(range(256))
    + HOLD
    + b"\0"
    + HOLD
    + b"/not ended"
)
ORIGINAL = File("share/solver/original.txt", b"one file\n")
SOLVER = CondaPackage(
    "solver",
    "1.0",
    [
        script("bin/solver", f"#!{PLACEHOLDER}/bin/python3.11 -E\nprint('{PLACEHOLDER}/share')\n"),
        script("bin/solver.sh", f"#!{PLACEHOLDER}/bin/bash\necho {PLACEHOLDER}\n"),
        text_file("etc/solver.conf", f"root={PLACEHOLDER}\nagain={PLACEHOLDER}/etc\n"),
        File("lib/libsolver.so.1.0", BINARY, 0o755, "binary"),
        Link("lib/libsolver.so", "libsolver.so.1.0"),
        Link("share/solver/up", "../../etc/solver.conf"),
        Link("share/solver/dangling", "/nowhere/at/all"),
        File("share/solver/empty", b""),
        File("share/solver/spaces in name ü.txt", b"x" * 3000),
        File(f"share/{'long/' * 40}file.txt", b"deep\n"),
        File("share/solver/private.txt", b"p\n", 0o600),
        ORIGINAL,
        HardLink("share/solver/second.txt", ORIGINAL),
        File("lib/python3.11/site-packages/solver.py", b"X = 1\n"),
    ],
    depends=["python", "tool"],
)
HELLO = CondaPackage(
    "hello",
    "2.0",
    [
        File("site-packages/hello/__init__.py", b"def main():\n    print('hello')\n"),
        text_file("site-packages/hello/where.py", f"WHERE = '{PLACEHOLDER}'\n"),
        File("site-packages/hello-2.0.dist-info/METADATA", b"Name: hello\nVersion: 2.0\n"),
        script("python-scripts/hello-script", f"#!{PLACEHOLDER}/bin/python\n"),
    ],
    build="pyh1_0",
    subdir="noarch",
    noarch="python",
    depends=["python"],
    entry_points=["hello = hello:main", "hello-x = hello.where:Thing.run"],
)
LOCKED = (PYTHON, tool())
BUILT = (SOLVER, HELLO)


@pytest.fixture(params=[6, 7])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def site_of(root: Path, version: int = 6, built: tuple[CondaPackage, ...] = BUILT) -> Site:
    site = Site(root, version=version, shared_channel=root.parent / "channel")
    for package in LOCKED:
        site.archive(package)
    for package in built:
        site.source(package)
    return site


def installed(site: Site, prefix: Path, built: tuple[CondaPackage, ...] = BUILT) -> Path:
    archives = [(each, each.write(site.channel)) for each in LOCKED]
    return install(
        prefix, [*archives, *((each, each.write(site.root / "built")) for each in built)]
    )


def direct(root: Path, built: tuple[CondaPackage, ...] = BUILT) -> Image:
    """The image of the same packages, had a channel had them."""
    site = Site(root, shared_channel=root.parent / "channel")
    for package in (*LOCKED, *built):
        site.archive(package)
    return site.image()


def different(mine: Image, other: Image) -> set[tuple[str, str]]:
    """Package and field of the records, where they differ."""
    assert mine.records.keys() == other.records.keys()
    return {
        (record["name"], key)
        for path, record in other.records.items()
        for key in record.keys() | mine.records[path].keys()
        if record.get(key) != mine.records[path].get(key)
    }


PREFIXES = {
    "short": "p",
    "usual": "home/someone/projects/simulation/.pixi/envs/default",
    # Longer than a shebang may be, so that rattler writes scripts another way.
    "long": "home/" + "very-long-name-of-a-directory/" * 4 + "envs/default",
}


@pytest.mark.parametrize("place", PREFIXES.values(), ids=PREFIXES)
def test_the_image_is_that_of_the_archives(tmp_path: Path, version: int, place: str) -> None:
    site = site_of(tmp_path / "site", version)
    prefix = installed(site, tmp_path / place)
    selection = site.inject(prefix=prefix)
    mine, other = site.image(selection), direct(tmp_path / "direct")
    assert mine.files == other.files
    # The digest and size of another archive; what only a channel knows; what only archives tell.
    known = {"sha256", "size", "url", "channel", "fn", "license", "timestamp"}
    assert {key for _, key in different(mine, other)} <= known
    assert {name for name, _ in different(mine, other)} == {"solver", "hello"}
    assert [each.partition(" ")[0] for each in selection.injected] == [
        "hello-2.0-pyh1_0.conda",
        "solver-1.0-h0000000_0.conda",
    ]
    everything = b"".join(node.content for node in mine.nodes.values())
    for directory in (prefix, site.root):
        assert str(directory).encode() not in everything


def test_where_it_was_installed_does_not_show(tmp_path: Path) -> None:
    injected, layers = [], []
    for name, place in PREFIXES.items():
        site = site_of(tmp_path / f"site-{name}")
        selection = site.inject(prefix=installed(site, tmp_path / place))
        injected.append(selection.injected)
        layers.append(site.image(selection).diff_ids)
    assert injected[0] == injected[1] == injected[2]
    assert layers[0] == layers[1] == layers[2]


def test_the_archive_has_the_first_ones_placeholders(tmp_path: Path) -> None:
    site = site_of(tmp_path / "site")
    selection = site.inject(prefix=installed(site, tmp_path / "prefix"))
    packages = {each.name: each for each in selection.environment.conda}
    for first in BUILT:
        package = packages[first.name]
        ours = read_metadata(CondaArchive(site.cache.archive(package.sha256 or ""), "ours"))
        theirs = read_metadata(CondaArchive(first.write(tmp_path), "theirs"))
        assert {each.path: each for each in ours.paths} == {
            each.path: each for each in theirs.paths
        }
        assert ours.noarch == theirs.noarch
        assert set(ours.entry_points) == set(theirs.entry_points)


def test_packages_of_the_lock_come_from_their_archives(tmp_path: Path) -> None:
    site = site_of(tmp_path / "site")
    prefix = installed(site, tmp_path / "prefix")
    (prefix / "share/tool.txt").unlink()
    (prefix / "share/tool.txt").write_text("changed\n")
    image = site.image(site.inject(prefix=prefix))
    assert image.files["share/tool.txt"].content == b"tool 1.0\n"


def test_a_plan_learns_the_same_and_writes_nothing(tmp_path: Path) -> None:
    site = site_of(tmp_path / "site")
    prefix = installed(site, tmp_path / "prefix")
    planned = site.inject(prefix=prefix, write=False)
    assert not site.cache.root.exists()
    made = site.inject(prefix=prefix)
    assert (planned.environment, planned.injected) == (made.environment, made.injected)


def test_a_given_archive_comes_before_the_prefix(tmp_path: Path) -> None:
    site = site_of(tmp_path / "site")
    prefix = installed(site, tmp_path / "prefix")
    mine = replace(SOLVER, entries=[File("share/mine.txt", b"mine\n")]).write(tmp_path / "mine")
    image = site.image(site.inject(mine, prefix=prefix))
    assert image.files["share/mine.txt"].content == b"mine\n"
    assert "bin/solver" not in image.files
    assert "bin/hello" in image.files


@pytest.mark.parametrize("tail", ["", "/conda-meta"])
def test_a_prefix_that_moved_is_known_by_what_pixi_noted(tmp_path: Path, tail: str) -> None:
    site = site_of(tmp_path / "site")
    prefix = installed(site, tmp_path / "first/default")
    (prefix / "conda-meta/pixi_env_prefix").write_text(f"{prefix}{tail}")
    moved = prefix.rename(tmp_path / "moved")
    assert site.image(site.inject(prefix=moved)).files == direct(tmp_path / "direct").files


def test_a_prefix_behind_a_link_is_known_by_either_name(tmp_path: Path) -> None:
    site = site_of(tmp_path / "site")
    want = direct(tmp_path / "direct").files
    (tmp_path / "data/disk").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "data/disk")
    through = installed(site, link / "one/default")
    assert site.image(site.inject(prefix=through)).files == want
    real = installed(site, tmp_path / "data/disk/two/default")
    assert site.image(site.inject(prefix=link / "two/default")).files == want
    assert real.is_dir()


def test_a_prefix_that_moved_without_a_trace_is_refused(tmp_path: Path) -> None:
    site = site_of(tmp_path / "site")
    moved = installed(site, tmp_path / "first/default").rename(tmp_path / "moved")
    error = refusal(site, moved)
    assert "is not what was installed" in str(error) or "is not the entry point" in str(error)


def test_paths_that_packages_contest_are_put_back(tmp_path: Path) -> None:
    one = tool(name="one", depends=["python"])
    built = (
        replace(one, entries=[*one.entries, File("share/both.txt", b"one\n")]),
        replace(tool(name="two"), entries=[File("share/both.txt", b"two\n")], depends=["one"]),
    )
    site = site_of(tmp_path / "site", built=built)
    prefix = installed(site, tmp_path / "prefix", built)
    assert list(prefix.glob("__clobbers__/*/share/both.txt"))
    mine = site.image(site.inject(prefix=prefix))
    assert mine.files == direct(tmp_path / "direct", built).files


def test_bytecode_that_python_wrote_is_left_out(tmp_path: Path) -> None:
    site = site_of(tmp_path / "site")
    prefix = installed(site, tmp_path / "prefix")
    cache = prefix / "lib/python3.11/site-packages/__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "solver.cpython-311.pyc").write_bytes(b"bytecode")
    image = site.image(site.inject(prefix=prefix))
    assert not [path for path in image.files if path.endswith(".pyc")]


# Records of other tools, which tell less


def edit(prefix: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    (path,) = prefix.glob(f"conda-meta/{name}-*.json")
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def without_digests(record: dict[str, Any]) -> None:
    for row in record["paths_data"]["paths"]:
        row.pop("sha256", None)
        row.pop("sha256_in_prefix", None)


def without_paths_data(record: dict[str, Any]) -> None:
    record.pop("paths_data")


@pytest.mark.parametrize("place", [PREFIXES["short"], PREFIXES["usual"]])
def test_without_digests_the_prefix_in_the_files_is_enough(tmp_path: Path, place: str) -> None:
    """Where it fits into the first line of a script, which nothing else would tell."""
    site = site_of(tmp_path / "site")
    with TemporaryDirectory(prefix="p") as short:
        prefix = installed(site, Path(short) / place)
        edit(prefix, "solver", without_digests)
        edit(prefix, "hello", without_digests)
        mine = site.image(site.inject(prefix=prefix))
        assert mine.files == direct(tmp_path / "direct").files


def test_files_of_which_nothing_is_recorded_are_searched_for_the_prefix(tmp_path: Path) -> None:
    entries: list[Entry] = [each for each in SOLVER.entries if not isinstance(each, Link)]
    built = (replace(SOLVER, entries=entries),)
    site = site_of(tmp_path / "site", built=built)
    prefix = installed(site, tmp_path / "prefix", built)
    edit(prefix, "solver", without_paths_data)
    mine = site.image(site.inject(prefix=prefix))
    assert mine.files == direct(tmp_path / "direct", built).files


# A prefix that is another environment


def refusal(site: Site, prefix: Path) -> PixiShipError:
    with pytest.raises(PixiShipError) as caught:
        site.inject(prefix=prefix)
    unfinished = site.cache.root / "tmp"
    assert not unfinished.exists() or list(unfinished.iterdir()) == []
    return caught.value


def test_differences_to_the_lock_are_listed(tmp_path: Path) -> None:
    site = site_of(tmp_path / "site", built=(SOLVER, HELLO, tool(name="absent")))
    other = [(each, each.write(site.channel)) for each in (PYTHON, tool("1.1"), tool(name="more"))]
    built = [(each, each.write(site.root / "built")) for each in BUILT]
    prefix = install(tmp_path / "prefix", [*other, *built])
    error = refusal(site, prefix)
    assert isinstance(error, InjectionError)
    assert str(error).splitlines() == [
        f"the prefix {prefix} is not the locked environment 'default':",
        "  tool-1.0-h0000000_0: locked, tool-1.1-h0000000_0 is installed",
        "  absent: locked, but not installed",
        "  more-1.0-h0000000_0: installed, but not locked",
    ]
    assert error.hint == "bring it up to date with 'pixi install --locked -e default'"


def test_ten_differences_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    site = site_of(tmp_path / "site")
    more = tuple(tool(name=f"more{number:02}") for number in range(13))
    rows = str(refusal(site, installed(site, tmp_path / "prefix", (*BUILT, *more)))).splitlines()
    assert len(rows) == 12
    assert rows[-1] == "  and 3 more"


def test_another_platform_is_refused(tmp_path: Path) -> None:
    site = site_of(tmp_path / "site")
    prefix = installed(site, tmp_path / "prefix")
    edit(prefix, "tool", lambda record: record.update(subdir="osx-arm64"))
    assert "tool-1.0-h0000000_0: installed for osx-arm64, want linux-64" in str(
        refusal(site, prefix)
    )


def test_what_is_no_environment_is_refused(tmp_path: Path) -> None:
    site = site_of(tmp_path / "site")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    assert "is no conda environment" in str(refusal(site, tmp_path / "empty"))
    for name in ("absent", "file"):
        assert isinstance(refusal(site, tmp_path / name), PackageError)


# Files that are not as they were installed, and prefixes made to deceive


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file in the prefix alone: it may be a link to the one in a package cache."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(change(data))


def change_text(prefix: Path) -> None:
    rewrite(prefix / "etc/solver.conf", lambda data: data + b"more\n")


def change_binary(prefix: Path) -> None:
    rewrite(prefix / "lib/libsolver.so.1.0", lambda data: data.replace(b"rest", b"REST"))


def change_plain(prefix: Path) -> None:
    rewrite(prefix / "share/solver/private.txt", lambda data: b"q\n")


def change_entry_point(prefix: Path) -> None:
    rewrite(prefix / "bin/hello", lambda data: data + b"import os\n")


def remove(prefix: Path) -> None:
    (prefix / "share/solver/empty").unlink()


def link_to_file(prefix: Path) -> None:
    (prefix / "lib/libsolver.so").unlink()
    (prefix / "lib/libsolver.so").write_text("no link\n")


CHANGES = {
    change_text: "'etc/solver.conf'",
    change_binary: "'lib/libsolver.so.1.0'",
    change_plain: "'share/solver/private.txt'",
    change_entry_point: "'bin/hello'",
    remove: "'share/solver/empty'",
    link_to_file: "'lib/libsolver.so'",
}


@pytest.mark.parametrize(("change", "path"), CHANGES.items(), ids=lambda each: str(each)[:20])
def test_a_changed_file_is_named(tmp_path: Path, change: Callable[[Path], None], path: str) -> None:
    site = site_of(tmp_path / "site")
    prefix = installed(site, tmp_path / "prefix")
    change(prefix)
    error = refusal(site, prefix)
    assert isinstance(error, PackageError)
    assert path in str(error)


SECRET = "root:$6$secret:1:0:\n"


def file_to_link(prefix: Path, secret: Path) -> None:
    (prefix / "share/solver/private.txt").unlink()
    (prefix / "share/solver/private.txt").symlink_to(secret)


def directory_to_link(prefix: Path, secret: Path) -> None:
    shutil.rmtree(prefix / "share/solver")
    (prefix / "share/solver").symlink_to(secret.parent)
    (secret.parent / "private.txt").write_text(SECRET)


def pipe(prefix: Path, secret: Path) -> None:
    (prefix / "share/solver/private.txt").unlink()
    os.mkfifo(prefix / "share/solver/private.txt")


def row_of(path: str, **facts: Any) -> Callable[[Path, Path], None]:
    def change(prefix: Path, secret: Path) -> None:
        row = {"_path": path.format(secret), "path_type": "hardlink", **facts}
        row["sha256"] = hashlib.sha256(SECRET.encode()).hexdigest()
        edit(prefix, "solver", lambda record: record["paths_data"]["paths"].append(row))

    return change


def linked_record(prefix: Path, secret: Path) -> None:
    (path,) = prefix.glob("conda-meta/solver-*.json")
    copy = secret.parent / "record.json"
    path.rename(copy)
    path.symlink_to(copy)


DECEITS = {
    "link": (file_to_link, "'share/solver/private.txt' cannot be read without following a link"),
    "directory": (directory_to_link, "cannot be read without following a link"),
    "pipe": (pipe, "'share/solver/private.txt' is not a regular file"),
    "climbs": (row_of("../secret/shadow"), "climbs out with '..'"),
    "absolute": (row_of("{0}"), "absolute path"),
    "moved": (row_of("share/x", original_path="../x"), "climbs out with '..'"),
    "record": (linked_record, "cannot be read without following a link"),
    "directory as file": (row_of("share/solver"), "'share/solver' is not a regular file"),
    "twice": (row_of("share/solver/private.txt"), "lists 'share/solver/private.txt' twice"),
}


@pytest.mark.parametrize(("deceit", "words"), DECEITS.values(), ids=DECEITS)
def test_nothing_outside_the_prefix_is_read(
    tmp_path: Path, deceit: Callable[[Path, Path], None], words: str
) -> None:
    site = site_of(tmp_path / "site")
    prefix = installed(site, tmp_path / "prefix")
    secret = tmp_path / "secret/shadow"
    secret.parent.mkdir()
    secret.write_text(SECRET)
    deceit(prefix, secret)
    error = refusal(site, prefix)
    assert words in str(error)
    assert "$6$" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "{}",
        '{"name": 1}',
        "[" * 100_000,
        '{"name": "solver"}',
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
def test_a_record_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    site = site_of(tmp_path / "site")
    prefix = installed(site, tmp_path / "prefix")
    (path,) = prefix.glob("conda-meta/solver-*.json")
    path.unlink()
    path.write_text(text)
    assert "cannot be used" in str(refusal(site, prefix))


def test_one_package_twice_is_refused(tmp_path: Path) -> None:
    site = site_of(tmp_path / "site")
    prefix = installed(site, tmp_path / "prefix")
    (path,) = prefix.glob("conda-meta/solver-*.json")
    shutil.copy(path, path.with_name("other-1-0.json"))
    assert "two records of one package" in str(refusal(site, prefix))


def test_a_record_without_bounds_is_refused(tmp_path: Path) -> None:
    site = site_of(tmp_path / "site")
    prefix = installed(site, tmp_path / "prefix")
    (path,) = prefix.glob("conda-meta/solver-*.json")
    os.truncate(path, 1 << 40)  # holes, which take no space
    assert "has more than 268435456 bytes" in str(refusal(site, prefix))
