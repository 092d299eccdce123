"""A given archive takes the place of a locked package and makes the same files; a wrong one is
refused with its name."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.cli.display import warnings
from pixi_ship.errors import CannotBuild, PackageError, PixiShipError, RequirementError, UsageError
from pixi_ship.injection import InjectionError

from ..channel.conda_package import PLACEHOLDER, CondaPackage, Entry, File, Link, script, text_file
from ..channel.wheels import write_trinket
from ..tiny import info_of, paths_json, raw_conda, raw_wheel
from .site import PYTHON, Site, tool

# What the record of an archive that was given lacks of one that a channel has.
OF_A_CHANNEL = {"channel", "url"}


def solver(**facts: Any) -> CondaPackage:
    """A package as Pixi builds them: the prefix in its files, a link, and a dependency."""
    entries: list[Entry] = [
        script("bin/solver", f"#!{PLACEHOLDER}/bin/sh\necho {PLACEHOLDER}/share\n"),
        File(
            "lib/libsolver.so.1",
            b"\x7fELF" + PLACEHOLDER.encode() + b"/lib\0\0end",
            0o755,
            "binary",
        ),
        Link("lib/libsolver.so", "libsolver.so.1"),
        text_file("share/solver.txt", "solver\n"),
    ]
    return replace(CondaPackage("solver", "1.0", entries, depends=["tool >=1"]), **facts)


@pytest.fixture(params=[6, 7])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site(tmp_path / "site", version=request.param)


@pytest.mark.parametrize("extension", [".conda", ".tar.bz2"])
def test_a_source_package_is_laid_out_as_if_a_channel_had_it(
    site: Site, tmp_path: Path, extension: str
) -> None:
    package = solver(extension=extension)
    site.archive(tool())
    built = site.source(package)
    with pytest.raises(CannotBuild, match="solver"):
        site.image()
    mine = site.image(site.inject(built))

    other = Site(tmp_path / "other", version=site.version)
    other.archive(tool())
    other.archive(package)
    direct = other.image()
    assert mine.files == direct.files
    assert mine.files["bin/solver"].content.startswith(b"#!/app/.pixi/envs/default/bin/sh\n")
    assert mine.records.keys() == direct.records.keys()
    for path, record in direct.records.items():
        mine_too = mine.records[path]
        told = {
            key for key in record.keys() | mine_too.keys() if record.get(key) != mine_too.get(key)
        }
        # An archive tells its licence and time, which the hand-written lock leaves out.
        assert told <= OF_A_CHANNEL | {"license", "timestamp"}, path


def test_nothing_of_this_machine_is_in_the_package_or_the_image(site: Site) -> None:
    site.archive(tool())
    selection = site.inject(site.source(solver()))
    (package,) = (each for each in selection.environment.conda if each.name == "solver")
    assert str(site.root) not in repr(package)
    record = next(r for path, r in site.image(selection).records.items() if "solver" in path)
    assert str(site.root) not in repr(record)
    assert record["url"] == "file:///solver-1.0-h0000000_0.conda"
    assert selection.injected == (f"solver-1.0-h0000000_0.conda sha256:{package.sha256}",)


def test_a_renamed_file_is_called_by_what_it_says_of_itself(site: Site) -> None:
    site.archive(tool())
    built = site.source(solver())
    renamed = built.rename(site.root / "x.conda")
    (name,) = site.inject(renamed).injected
    assert name.startswith("solver-1.0-h0000000_0.conda ")


def test_a_source_that_gives_way_needs_no_warning_but_an_archive_does(site: Site) -> None:
    site.archive(tool())
    built = site.source(solver())
    newer = tool("1.5").write(site.root / "built")
    selection = site.inject(built, newer)
    note = (
        "tool-1.5-h0000000_0.conda takes the place of tool-1.0-h0000000_0.conda, "
        "which the lock holds"
    )
    assert [each for each in selection.notes if "takes the place" in each] == [note]
    assert site.image(selection).files["share/tool.txt"].content == b"tool 1.5\n"


def test_a_package_that_the_lock_has_not_joins_with_a_warning(site: Site) -> None:
    site.archive(tool())
    more = tool(name="extra", depends=["tool"]).write(site.root / "built")
    selection = site.inject(more)
    note = "extra-1.0-h0000000_0.conda joins the environment: the lock holds no extra"
    assert note in selection.notes
    assert {"share/extra.txt", "share/tool.txt"} <= site.image(selection).files.keys()


def test_the_link_order_is_that_of_the_dependencies(site: Site) -> None:
    site.archive(tool(name="zlib"))
    first = tool(name="zz-base").write(site.root / "built")
    last = tool(name="a-user", depends=["zlib", "zz-base"]).write(site.root / "built")
    names = [each.name for each in site.inject(last, first).environment.conda]
    assert names.index("a-user") > max(names.index("zlib"), names.index("zz-base"))


@pytest.mark.parametrize("build", ["a-b", "x y"])
def test_a_build_that_no_tool_writes_any_more_is_read(tmp_path: Path, build: str) -> None:
    site = Site(tmp_path)
    site.archive(tool(), build=build)
    (package,) = site.selection().environment.conda
    assert package.build == build


def test_a_plan_learns_the_same_and_writes_nothing(site: Site) -> None:
    site.archive(tool())
    built = site.source(solver())
    planned = site.inject(built, write=False)
    assert not site.cache.root.exists()
    made = site.inject(built)
    assert (planned.environment, planned.injected) == (made.environment, made.injected)


def test_the_cache_holds_the_archive_by_its_digest(site: Site) -> None:
    site.archive(tool())
    built = site.source(solver())
    selection = site.inject(built)
    built.unlink()
    (package,) = (each for each in selection.environment.conda if each.name == "solver")
    kept = site.cache.archive(package.sha256 or "")
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == package.sha256
    assert "bin/solver" in site.image(selection).files
    assert list((site.cache.root / "tmp").iterdir()) == []


def test_a_python_from_outside_lets_wheels_be_laid_out(site: Site) -> None:
    python = site.source(PYTHON)
    wheel = write_trinket(site.root / "wheels")
    site.pypi(str(wheel), "trinket", version="1.0")
    assert len(site.selection().environment.unbuildable) == 2
    selection = site.inject(python)
    assert selection.environment.unbuildable == ()
    assert selection.python is not None
    assert selection.python.short_version == "3.11"
    assert "lib/python3.11/site-packages/trinket/cli.py" in site.image(selection).files


def test_what_a_package_asks_of_the_machine_is_asked(site: Site) -> None:
    site.archive(tool(depends=["__cuda >=11"]))
    needs = tool("2.0", depends=["__cuda >=12.4", "__glibc >=2.17"]).write(site.root / "built")
    before = site.selection()
    assert before.cuda == "11"
    with pytest.raises(RequirementError, match=r"tool-2\.0-h0000000_0\.conda needs __cuda >=12\.4"):
        site.inject(needs)
    fresh = Site(site.root / "fresh", version=site.version)
    fresh.archive(tool())
    selection = fresh.inject(needs)
    assert selection.cuda == "12.4"
    assert [each.spec for each in selection.glibc_requirements] == [">=2.17"]


def test_a_requirement_goes_with_the_package_that_had_it(site: Site) -> None:
    site.archive(tool(depends=["__cuda >=11"]))
    plain = tool("2.0").write(site.root / "built")
    assert site.inject(plain).cuda_requirements == ()


# Wheels


@pytest.fixture
def with_python(site: Site) -> Site:
    site.archive(PYTHON)
    return site


def test_a_wheel_takes_the_place_of_a_source_and_stands_last(with_python: Site) -> None:
    site = with_python
    site.archive(tool("8.1", name="click"))
    other = raw_wheel(site.root / "wheels", {"zebra.py": b"Z = 1\n"}, "zebra-1.0-py3-none-any.whl")
    site.pypi(str(other), "zebra", version="1.0")
    site.pypi("./trinket", "trinket", version="1.0")
    selection = site.inject(write_trinket(site.root / "built"))
    assert selection.environment.sources == ()
    assert [each.name for each in selection.environment.pypi] == ["zebra", "trinket"]
    assert selection.environment.pypi[1].source is not None
    assert "bin/trinket" in site.image(selection).files
    assert not [each for each in selection.notes if "trinket" in each]


def test_a_wheel_replaces_a_wheel_or_joins_with_a_warning(with_python: Site) -> None:
    site = with_python
    locked = raw_wheel(site.root / "wheels", {"thing.py": b"T = 1\n"})
    site.pypi(str(locked), "thing", version="1.0")
    mine = raw_wheel(site.root / "built", {"thing.py": b"T = 2\n"})
    selection = site.inject(mine, write_trinket(site.root / "built"))
    assert [each for each in selection.notes if "lock holds" in each] == [
        "thing-1.0-py3-none-any.whl takes the place of thing-1.0-py3-none-any.whl, "
        "which the lock holds",
        "trinket-1.0-py3-none-any.whl joins the environment: the lock holds no trinket",
    ]
    path = "lib/python3.11/site-packages/thing.py"
    assert site.image(selection).files[path].content == b"T = 2\n"


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ("py3-none-any", None),
        ("py2.py3-none-any", None),
        ("py39-none-any", None),
        ("py312-none-any", "py312-none"),
        ("cp311-cp311-linux_x86_64", None),
        ("cp311-cp311-manylinux_2_28_x86_64", None),
        ("cp38-abi3-manylinux2014_x86_64", None),
        ("cp312-abi3-linux_x86_64", "cp312-abi3"),
        ("cp312-cp312-linux_x86_64", "cp312-cp312"),
        ("cp311-cp311t-linux_x86_64", "cp311-cp311t"),
        ("cp311-cp311-linux_aarch64", "linux_aarch64"),
        ("cp311-cp311-macosx_11_0_arm64", "macosx_11_0_arm64"),
        ("cp311-cp311-musllinux_1_2_x86_64", "musllinux_1_2_x86_64"),
    ],
)
def test_the_tags_of_a_wheel_must_fit(tmp_path: Path, tags: str, reason: str | None) -> None:
    site = Site(tmp_path)
    site.archive(PYTHON)
    wheel = raw_wheel(tmp_path / "built", {"thing.py": b""}, f"thing-1.0-{tags}.whl")
    if reason is None:
        assert site.inject(wheel).environment.pypi[0].name == "thing"
        return
    with pytest.raises(InjectionError, match=f"it is for {reason}"):
        site.inject(wheel)


def test_a_wheel_asks_for_the_c_library_of_its_tag(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.archive(PYTHON)
    name = "thing-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    selection = site.inject(raw_wheel(tmp_path / "built", {"thing.py": b""}, name))
    assert [each.spec for each in selection.glibc_requirements] == [">=2.17"]


def requiring(site: Site, *rows: str) -> Path:
    """A wheel with these lines in its METADATA."""
    wheel = raw_wheel(site.root / "plain", {"thing.py": b""})
    target = site.root / "built" / wheel.name
    target.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            more = "".join(f"{row}\n" for row in rows) if info.filename.endswith("METADATA") else ""
            new.writestr(info, old.read(info) + more.encode())
    return target


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["Requires-Python: >=3.11"], None),
        (["Requires-Python: >=3.12"], "requires Python >=3.12, the lock has 3.11.9"),
        (["Requires-Python: >=3.11.10"], "requires Python >=3.11.10, the lock has 3.11.9"),
        (["Requires-Python: nonsense"], None),
        (["Requires-Dist: Zebra_Crossing >=1"], None),
        (["Requires-Dist: zebra-crossing >=2"], "'zebra-crossing>=2', the environment has 1.0"),
        (["Requires-Dist: solver ==1.*"], None),
        (["Requires-Dist: solver <1"], "requires 'solver<1', the environment has 1.0"),
        (["Requires-Dist: py-solver ==1.0"], None),
        (["Requires-Dist: tool"], "requires 'tool', which the environment does not hold"),
        (["Requires-Dist: unknown"], "requires 'unknown', which the environment does not hold"),
        (["Requires-Dist: unknown; sys_platform == 'win32'"], None),
        (["Requires-Dist: unknown; extra == 'more'"], None),
        (["Requires-Dist: unknown; python_full_version < '3.11.9'"], None),
        (["Requires-Dist: unknown; platform_machine == 'x86_64'"], "requires 'unknown; "),
        (["Requires-Dist: not a requirement @@"], None),
        (["Requires-Dist: grown >=2"], None),
        (["Requires-Dist: known >=2"], "requires 'known>=2', the environment has 1.5"),
    ],
)  # fmt: skip
def test_what_a_wheel_requires_must_be_there(
    tmp_path: Path, rows: list[str], reason: str | None
) -> None:
    site = Site(tmp_path, 7)
    site.archive(PYTHON)
    site.archive(tool(), purls=[])
    site.archive(solver(), purls=["pkg:pypi/solver", "pkg:pypi/py-solver?source=mapping"])
    zebra = raw_wheel(tmp_path / "wheels", {}, "zebra_crossing-1.0-py3-none-any.whl")
    site.pypi(str(zebra), "zebra-crossing", version="1.0")
    site.pypi("./grown", "grown")
    site.pypi("./known", "known", version="1.5")
    wheel = requiring(site, *rows)
    if reason is None:
        assert not [each for each in site.inject(wheel).notes if "requires" in each]
    else:
        assert reason in str(refusal(site, wheel))


def test_a_name_that_a_conda_package_may_have_is_a_doubt(tmp_path: Path) -> None:
    """Without ``purls`` nothing says that the conda package pytorch is torch."""
    site = Site(tmp_path, 7)
    site.archive(PYTHON)
    selection = site.inject(requiring(site, "Requires-Dist: torch"))
    (note,) = (each for each in selection.notes if "requires" in each)
    assert note.endswith("requires 'torch', which the environment does not hold")


def test_a_wheel_in_place_of_a_source_asks_for_the_c_library_too(tmp_path: Path) -> None:
    site = Site(tmp_path, 7)
    site.archive(PYTHON)
    site.pypi("./thing", "thing")
    name = "thing-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"
    selection = site.inject(raw_wheel(tmp_path / "built", {"thing.py": b""}, name))
    assert [each.spec for each in selection.glibc_requirements] == [">=2.28"]


def test_a_given_wheel_is_not_said_to_be_built_here(tmp_path: Path) -> None:
    site = Site(tmp_path, 7)
    site.archive(PYTHON)
    site.pypi("./thing", "thing")
    found = warnings(site.inject(raw_wheel(tmp_path / "built", {"thing.py": b""})), None)
    assert [each for each in found if "thing" in each] == [
        "thing-1.0-py3-none-any.whl: it was given here, and is not the lock's archive"
    ]


# What is refused


def refusal(site: Site, *archives: Path) -> PixiShipError:
    with pytest.raises(PixiShipError) as caught:
        site.inject(*archives)
    assert caught.value.hint or isinstance(caught.value, PackageError)
    unfinished = site.cache.root / "tmp"
    assert not unfinished.exists() or list(unfinished.iterdir()) == []
    return caught.value


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("tool >=2", "solver-1.0-h0000000_0.conda depends on 'tool >=2', the environment has tool"),
        ("tool 1.0 other_*", "depends on 'tool 1.0 other_*', the environment has tool-1.0-h0"),
        ("absent", "depends on 'absent', which the environment does not hold"),
    ],
)
def test_unmet_dependencies_are_named(site: Site, spec: str, fault: str) -> None:
    site.archive(tool())
    error = refusal(site, site.source(solver(depends=[spec])))
    assert isinstance(error, InjectionError)
    assert fault in str(error)


def test_a_build_variant_that_fits_is_taken(site: Site) -> None:
    site.archive(tool())
    assert site.inject(site.source(solver(depends=["tool 1.0 h0000000_*"]))).injected


def test_a_dependency_on_the_package_must_hold(site: Site) -> None:
    site.archive(tool())
    site.archive(tool(name="user", depends=["tool >=1,<2"]))
    error = refusal(site, tool("2.0").write(site.root / "built"))
    fault = "user-1.0-h0000000_0.conda depends on 'tool >=1,<2', the environment has tool-2.0"
    assert fault in str(error)


def test_constraints_hold_both_ways(site: Site) -> None:
    site.archive(tool())
    site.archive(tool(name="user", index_extra={"constrains": ["extra <1"]}))
    extra = tool(name="extra", index_extra={"constrains": ["tool >=2"]}).write(site.root / "built")
    error = refusal(site, extra)
    assert "extra-1.0-h0000000_0.conda allows 'tool >=2', the environment has tool-1.0" in str(
        error
    )
    assert "user-1.0-h0000000_0.conda allows 'extra <1', the environment has extra-1.0" in str(
        error
    )


def test_a_package_for_another_platform_is_refused(site: Site) -> None:
    site.archive(tool())
    package = replace(tool("2.0"), index_extra={"subdir": "linux-aarch64"})
    error = refusal(site, package.write(site.root / "built"))
    assert "is for linux-aarch64, the environment is for linux-64" in str(error)


def test_one_name_twice_is_refused(site: Site) -> None:
    site.archive(tool())
    one = tool("1.1").write(site.root / "one")
    other = tool("1.2").write(site.root / "other")
    error = refusal(site, one, other)
    assert isinstance(error, UsageError)
    assert "--inject gives 'tool' twice: tool-1.1-h0000000_0.conda and tool-1.2" in str(error)


def test_what_is_no_archive_is_refused(site: Site) -> None:
    site.archive(tool())
    root = site.root
    root.mkdir(exist_ok=True)
    os.mkfifo(root / "pipe.conda")
    (root / "folder.whl").mkdir()
    (root / "notes.txt").write_text("x")
    for name, words in [
        ("pipe.conda", "is not a file"),
        ("folder.whl", "is not a file"),
        ("notes.txt", "is not a package"),
        ("absent.conda", "No such file"),
    ]:
        error = refusal(site, root / name)
        assert isinstance(error, UsageError), name
        assert words in str(error)


@pytest.mark.parametrize("name", ["a-1-0.conda", "a-1-0.tar.bz2", "a-1-py3-none-any.whl", "a.whl"])
@pytest.mark.parametrize("data", [b"", b"garbage", b"PK\x03\x04" + bytes(40), b"BZh9" + bytes(40)])
def test_garbage_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    site = Site(tmp_path)
    site.archive(tool())
    path = tmp_path / name
    path.write_bytes(data)
    error = refusal(site, path)
    assert isinstance(error, PackageError)
    assert name in str(error)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"name": "../../etc"}, "name is '../../etc'"),
        ({"name": 7}, "name is 7"),
        ({"version": "1-2"}, "version is '1-2'"),
        ({"version": "!!"}, "malformed version"),
        ({"build": "a/b"}, "build is 'a/b'"),
        ({"build_number": "x"}, "build_number is 'x'"),
        ({"depends": "tool"}, "depends is not a list"),
        ({"depends": [1]}, "depends is not a list"),
        ({"subdir": None}, "does not say its subdir"),
    ],
)
def test_an_index_that_lies_is_refused(tmp_path: Path, facts: dict[str, Any], words: str) -> None:
    site = Site(tmp_path)
    site.archive(tool())
    index = {"subdir": "linux-64", "build": "0", **facts}
    error = refusal(site, raw_conda(tmp_path, info_of(paths=paths_json(), **index), b""))
    assert isinstance(error, PackageError)
    assert words in str(error)


def test_an_index_without_bounds_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.archive(tool())
    info = {"index.json": b" " * (17 << 20), "paths.json": paths_json()}
    error = refusal(site, raw_conda(tmp_path, info, b""))
    assert "info/index.json has 17825792 bytes" in str(error)


def test_a_wheel_that_names_another_project_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.archive(PYTHON)
    wheel = raw_wheel(tmp_path / "built", {"a.py": b""}, "another-1.0-py3-none-any.whl")
    assert "its METADATA names 'thing'" in str(refusal(site, wheel))


def with_metadata(path: Path, change: Callable[[bytearray, int, int], None]) -> Path:
    """Change a wheel where its METADATA stands: in the member's head, in the directory's row."""
    data = bytearray(path.read_bytes())
    name = b"thing-1.0.dist-info/METADATA"
    change(data, data.index(name) - 30, data.rindex(name) - 46)
    path.write_bytes(data)
    return path


def encrypt(data: bytearray, head: int, row: int) -> None:
    data[head + 6] |= 1
    data[row + 8] |= 1


def spoil_the_contents(data: bytearray, head: int, row: int) -> None:
    start = head + 30 + len("thing-1.0.dist-info/METADATA")
    data[start + 9 : start + 27] = b"\xff" * 18  # an LZMA member begins with 9 bytes of settings


def claim_lzma(data: bytearray, head: int, row: int) -> None:
    data[head + 8] = data[row + 10] = zipfile.ZIP_LZMA


def begin_before_the_file(data: bytearray, head: int, row: int) -> None:
    data[row + 42 : row + 46] = b"\xff\xff\xff\x7f"


def spoil_the_name(data: bytearray, head: int, row: int) -> None:
    data[row + 9] |= 8  # UTF-8
    data[row + 46] = 0xFF


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("compression", "change"),
    [
        (zipfile.ZIP_DEFLATED, encrypt),
        (zipfile.ZIP_DEFLATED, spoil_the_contents),
        (zipfile.ZIP_LZMA, spoil_the_contents),
        (zipfile.ZIP_BZIP2, spoil_the_contents),
        (zipfile.ZIP_STORED, claim_lzma),
        (zipfile.ZIP_STORED, begin_before_the_file),
        (zipfile.ZIP_STORED, spoil_the_name),
    ],
)
def test_a_wheel_whose_members_cannot_be_read(
    tmp_path: Path, compression: int, change: Callable[[bytearray, int, int], None]
) -> None:
    site = Site(tmp_path)
    site.archive(PYTHON)
    wheel = raw_wheel(tmp_path / "built", {"thing.py": b""}, compression=compression)
    assert "damaged" in str(refusal(site, with_metadata(wheel, change)))
