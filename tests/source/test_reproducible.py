"""The same source gives the same wheel: from another place, and in other surroundings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pixi_ship.lock.model import SourceKind
from pixi_ship.source.wheels import Workshop, built_wheel

from .conftest import unconfined, workshop_at
from .projects import COMPILED, FLITTED, HATCHED, TRINKET, Files, directory, sdist

REPOSITORY = Path(__file__).parents[2]
BUILD = """
import json, os, sys
from pathlib import Path
from tests.source.conftest import workshop_at
from tests.source.projects import directory
from pixi_ship.source.wheels import built_wheel
os.umask(int(sys.argv[4], 8))
files = json.loads(sys.stdin.read())
workshop = workshop_at(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[5]))
print(built_wheel(directory(workshop.root, sys.argv[3], files), workshop).sha256)
"""


def built_elsewhere(
    place: Path, name: str, files: Files, variables: dict[str, str], umask: str, **env: str
) -> str:
    """The digest of the wheel that another process builds, in its own surroundings."""
    words = [place / "some where", place / "the cache", name, umask, json.dumps(variables)]
    done = subprocess.run(
        [sys.executable, "-c", BUILD, *map(str, words)],
        input=json.dumps(files),
        env={"PATH": os.environ["PATH"], **env},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.reproducible
@pytest.mark.parametrize(
    ("name", "files"),
    [("trinket", TRINKET), ("hatched", HATCHED), ("flitted", FLITTED), ("compiled", COMPILED)],
)
def test_the_same_bytes_elsewhere(
    workshop: Workshop, tmp_path: Path, name: str, files: Files, variables: dict[str, str]
) -> None:
    here = built_wheel(directory(workshop.root, name, files), workshop).sha256
    for number, (umask, zone, seed) in enumerate((("077", "Asia/Tokyo", "1"), ("000", "UTC", "7"))):
        place = tmp_path / f'elsewhere "ü" {number}'
        variables |= {"HOME": str(place), "LC_ALL": "C", "SOURCE_DATE_EPOCH": "1"}
        there = built_elsewhere(place, name, files, variables, umask, TZ=zone, PYTHONHASHSEED=seed)
        assert there == here


@pytest.mark.reproducible
def test_the_same_bytes_of_a_directory_and_of_an_archive_and_unconfined(
    workshop: Workshop, tmp_path: Path, variables: dict[str, str]
) -> None:
    first = built_wheel(directory(workshop.root, "hatched", HATCHED), workshop)
    second = built_wheel(sdist(workshop.root, "hatched", "2.5", HATCHED), workshop)
    other = unconfined(workshop_at(workshop.root, tmp_path / "other cache", variables))
    third = built_wheel(directory(workshop.root, "hatched", HATCHED), other)
    assert second.source is not None
    assert second.source.kind is SourceKind.SDIST
    assert first.sha256 == second.sha256 == third.sha256


def test_members_are_stored_sorted_and_of_one_time(workshop: Workshop) -> None:
    wheel = built_wheel(directory(workshop.root, "trinket", TRINKET), workshop)
    with zipfile.ZipFile(workshop.archives.get(wheel).path) as archive:
        infos = archive.infolist()
        record = archive.read("trinket-1.2.dist-info/RECORD").decode().splitlines()
    names = [info.filename for info in infos]
    assert names == [*sorted(names[:-1]), "trinket-1.2.dist-info/RECORD"]
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
    assert {info.external_attr >> 16 for info in infos} == {0o100644}
    assert [row.split(",")[0] for row in record] == names


def test_the_users_directory_is_not_written_to(workshop: Workshop) -> None:
    source = directory(workshop.root, "trinket", TRINKET)
    before = sorted(str(path) for path in workshop.root.rglob("*"))
    built_wheel(source, workshop)
    assert sorted(str(path) for path in workshop.root.rglob("*")) == before


def test_what_a_killed_build_left_is_removed_by_the_next(workshop: Workshop) -> None:
    with workshop.cache.temporary():
        pass  # as the killed one had a cache
    orphan = workshop.cache.root / "tmp" / ".build.killed.tmp"
    (orphan / "source").mkdir(parents=True)
    built_wheel(directory(workshop.root, "flitted", FLITTED), workshop)
    assert list((workshop.cache.root / "tmp").iterdir()) == []
    assert workshop.cache.is_marked()


def test_a_wheel_that_rotted_in_the_cache_is_built_again(workshop: Workshop) -> None:
    source = directory(workshop.root, "flitted", FLITTED)
    wheel = built_wheel(source, workshop)
    assert wheel.sha256 is not None
    path = workshop.cache.archive(wheel.sha256)
    path.write_bytes(path.read_bytes()[:-1])
    assert built_wheel(source, workshop) == wheel
    shutil.rmtree(workshop.cache.root / "notes" / "built-wheel")
    assert built_wheel(source, workshop) == wheel
