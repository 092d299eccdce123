"""Packages of the test channel, a real Python among them, are repacked to what they were."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
import rattler

from pixi_ship.package.archive import CondaArchive
from pixi_ship.package.metadata import read_metadata
from pixi_ship.repack.conda import repack_conda
from pixi_ship.repack.prefix import InstalledPrefix
from pixi_ship.repack.record import read_records

from ..conftest import TestData
from ..oracle.by_hand import record

SITE_PACKAGES = "lib/python3.11/site-packages"


def contents(archive: CondaArchive) -> dict[str, tuple[str, str, bool]]:
    """Path → kind, digest or target, and whether it can be run; a hard link is its file."""
    found: dict[str, tuple[str, str, bool]] = {}
    with archive.payload() as members:
        for member in members:
            if member.kind == "file":
                digest = hashlib.sha256(member.read()).hexdigest()
                found[member.name] = ("file", digest, bool(member.mode & 0o111))
            elif member.kind == "hardlink":
                found[member.name] = found[member.link]
            elif member.kind == "symlink":
                found[member.name] = ("link", member.link, False)
    listed = {each.path for each in read_metadata(archive).paths}
    return {path: facts for path, facts in found.items() if path in listed}


@pytest.mark.parametrize("name", ["native", "python"])
@pytest.mark.parametrize("place", ["p", "very-long-name-of-a-directory/" * 5 + "default"])
def test_an_installed_package_is_its_archive_again(
    channel_data: TestData, tmp_path: Path, name: str, place: str
) -> None:
    first = channel_data.package(name)[0]
    wanted = record(first)
    prefix = tmp_path / place
    asyncio.run(
        rattler.install(
            [wanted],
            prefix,
            cache_dir=tmp_path / "cache",
            platform=rattler.Subdir("linux-64"),
            show_progress=False,
        )
    )
    again = tmp_path / "again.conda"
    with InstalledPrefix.opened(prefix) as opened, again.open("wb") as out:
        repack_conda(read_records(opened)[name], opened, SITE_PACKAGES, out)
    one, other = CondaArchive(first, "first"), CondaArchive(again, "again")
    assert contents(other) == contents(one)
    rows = [{row.path: row for row in read_metadata(each).paths} for each in (one, other)]
    assert rows[0] == rows[1]
