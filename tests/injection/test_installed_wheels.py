"""A distribution that uv installed becomes the wheel it was again: the same files in the image,
scripts and data included; one that was changed, or only points at its source, does not."""

from __future__ import annotations

import asyncio
import csv
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import rattler
from uv import find_uv_bin

from pixi_ship.errors import PackageError
from pixi_ship.injection import InjectionError

from ..channel.conda_package import CondaPackage, File
from ..channel.wheels import write_trinket
from .site import Site, record_of

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
# The virtual environment has an interpreter of its own, so this one brings none.
PYTHON = CondaPackage("python", f"{MINOR}.0", [File("share/python.txt", b"python\n")])
SITE_PACKAGES = f"lib/python{MINOR}/site-packages"
# What describes the installation, and so is not the same.
OF_THE_INSTALLATION = {f"{SITE_PACKAGES}/trinket-1.0.dist-info/RECORD"}


def uv(*words: str | Path) -> None:
    done = subprocess.run([find_uv_bin(), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def site_of(root: Path) -> Site:
    site = Site(root / "site", shared_channel=root / "channel")
    site.archive(PYTHON)
    site.pypi("./trinket", "trinket", version="1.0")
    return site


def installed(root: Path, place: str, wheel: Path) -> Path:
    """An environment as Pixi leaves it: conda's records, and a wheel that uv put there."""
    prefix = root / place
    prefix.parent.mkdir(parents=True, exist_ok=True)
    python = PYTHON.write(root / "channel")
    uv("venv", "--offline", "--no-config", "--python", sys.executable, prefix)
    asyncio.run(
        rattler.install(
            [record_of(PYTHON, python)],
            prefix,
            cache_dir=root / "rattler-cache",
            platform=rattler.Subdir("linux-64"),
            show_progress=False,
        )
    )
    words = ["--offline", "--no-config", "--no-deps", "--no-index", "--no-cache"]
    uv("pip", "install", *words, "--python", prefix / "bin/python", wheel)
    return prefix


PLACES = {
    "short": "p",
    # Longer than a shebang may be, so that uv starts Python through a shell.
    "long": "very-long-name-of-a-directory/" * 4 + "default",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_image_is_that_of_the_wheel(tmp_path: Path, place: str) -> None:
    wheel = write_trinket(tmp_path / "wheels")
    prefix = installed(tmp_path, place, wheel)
    site = site_of(tmp_path)
    selection = site.inject(prefix=prefix)
    assert selection.environment.sources == ()
    assert [each.file_name for each in selection.environment.pypi] == [wheel.name]
    mine = site.image(selection).files
    want = site.image(site.inject(wheel)).files
    # uv keeps a wheel's headers elsewhere than conda's Python has them.
    moved = {
        f"include/site/python{MINOR}/trinket/trinket.h",
        f"include/python{MINOR}/trinket/trinket.h",
    }
    same = (mine.keys() | want.keys()) - moved - OF_THE_INSTALLATION
    assert [path for path in same if mine.get(path) != want.get(path)] == []
    assert len(moved & mine.keys()) == 1
    assert mine["bin/trinket-script"].content.startswith(b"#!/app/.pixi/envs/default/bin/python")
    assert mine["bin/trinket-shell"].content.startswith(b"#!/bin/sh\necho")
    assert str(prefix).encode() not in b"".join(node.content for node in mine.values())


def test_where_it_was_installed_does_not_show(tmp_path: Path) -> None:
    wheel = write_trinket(tmp_path / "wheels")
    found = []
    for place in PLACES.values():
        prefix = installed(tmp_path, place, wheel)
        found.append(site_of(tmp_path).inject(prefix=prefix).injected)
    assert found[0] == found[1]


def test_the_wheel_lists_itself(tmp_path: Path) -> None:
    prefix = installed(tmp_path, "p", write_trinket(tmp_path / "wheels"))
    site = site_of(tmp_path)
    (package,) = site.inject(prefix=prefix).environment.pypi
    with zipfile.ZipFile(site.cache.archive(package.sha256 or "")) as archive:
        names = archive.namelist()
        record = archive.read("trinket-1.0.dist-info/RECORD").decode().splitlines()
    assert sorted(row[0] for row in csv.reader(record)) == sorted(names)
    notes = {"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
    assert not notes & {name.rpartition("/")[2] for name in names}
    assert "trinket-1.0.data/scripts/trinket-script" in names
    assert "trinket-1.0.data/data/share/trinket/data.txt" in names
    assert "trinket-1.0.data/scripts/trinket" not in names


def dist_info(prefix: Path) -> Path:
    return prefix / SITE_PACKAGES / "trinket-1.0.dist-info"


def test_an_editable_installation_is_left_to_its_source(tmp_path: Path) -> None:
    prefix = installed(tmp_path, "p", write_trinket(tmp_path / "wheels"))
    origin = {"url": "file:///somewhere", "dir_info": {"editable": True}}
    (dist_info(prefix) / "direct_url.json").write_text(json.dumps(origin))
    selection = site_of(tmp_path).inject(prefix=prefix)
    assert [each.name for each in selection.environment.sources] == ["trinket"]
    assert "trinket is installed editable: built from its source" in selection.notes
    assert selection.injected == ()


def test_what_is_not_installed_is_left_to_its_source(tmp_path: Path) -> None:
    prefix = installed(tmp_path, "p", write_trinket(tmp_path / "wheels"))
    site = site_of(tmp_path)
    site.pypi("./other", "other", version="1.0")
    selection = site.inject(prefix=prefix)
    assert [each.name for each in selection.environment.sources] == ["other"]
    assert f"other is not installed in {prefix}: built from its source" in selection.notes


def test_another_version_is_refused(tmp_path: Path) -> None:
    prefix = installed(tmp_path, "p", write_trinket(tmp_path / "wheels"))
    site = Site(tmp_path / "site", shared_channel=tmp_path / "channel")
    site.archive(PYTHON)
    site.pypi("https://example.org/trinket-2.0.tar.gz", "trinket", version="2.0")
    with pytest.raises(InjectionError, match=r"holds trinket 1\.0, the lock 2\.0"):
        site.inject(prefix=prefix)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("/etc/shadow,,", "absolute path"),
        ("../../../../secret,,", "climbs out"),
        ("trinket/link.py,,", "cannot be read without following a link"),
        ("trinket/absent.py,,", "'{0}/trinket/absent.py' is not in"),
        ("trinket,,", "is not a regular file"),
        ("trinket/loose.py,sha256=AAAA,1", "RECORD says AAAA"),
    ],
)
def test_a_record_that_lies_is_refused(tmp_path: Path, row: str, words: str) -> None:
    prefix = installed(tmp_path, "p", write_trinket(tmp_path / "wheels"))
    (tmp_path / "secret").write_text("$6$secret")
    (prefix / SITE_PACKAGES / "trinket/link.py").symlink_to(tmp_path / "secret")
    (prefix / SITE_PACKAGES / "trinket/loose.py").write_text("x")
    with (dist_info(prefix) / "RECORD").open("a") as record:
        record.write(f"{row}\n")
    site = site_of(tmp_path)
    with pytest.raises(PackageError) as caught:
        site.inject(prefix=prefix)
    assert words.format(SITE_PACKAGES) in str(caught.value)
    assert "$6$" not in str(caught.value)
    assert not list((site.cache.root / "tmp").iterdir())


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    prefix = installed(tmp_path, "p", write_trinket(tmp_path / "wheels"))
    path = prefix / SITE_PACKAGES / "trinket/gui.py"
    path.write_text(path.read_text() + "more\n")
    with pytest.raises(PackageError, match=r"trinket/gui\.py' in .* is not what was installed"):
        site_of(tmp_path).inject(prefix=prefix)


def test_a_file_that_holds_the_place_of_the_prefix_is_named(tmp_path: Path) -> None:
    prefix = installed(tmp_path, "p", write_trinket(tmp_path / "wheels"))
    (prefix / SITE_PACKAGES / "trinket/built.py").write_text(f"WHERE = '{prefix}/lib'\n")
    with (dist_info(prefix) / "RECORD").open("a") as record:
        record.write("trinket/built.py,,\n")
    selection = site_of(tmp_path).inject(prefix=prefix)
    (note,) = (each for each in selection.notes if "holds the path" in each)
    assert note.startswith(
        f"'trinket/built.py' of trinket-1.0-py3-none-any.whl holds the path {prefix}"
    )
