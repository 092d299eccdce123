"""What a person types to look after the cache, and what comes back.

The last test lets builds, prunes and ``kill -9`` meet on one cache: every build that is left
alone ends well with the same image as ever, and the cache is whole at the end.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from pixi_ship.cache import Cache

from ..channel.conda_package import CondaPackage, File
from ..tiny import Ran, Tiny, ship, ship_apart

DAY = 86400


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """A workspace of two packages that was built once."""
    found = Tiny(tmp_path)
    found.lock(found.good(), found.good("other"))
    found.works()
    return found


def cache(tiny: Tiny, *words: str | Path) -> Ran:
    return ship("cache", *words, "--cache-dir", tiny.cache)


def failed(ran: Ran, status: int, *lines: str) -> None:
    assert (ran.err, ran.status, ran.out) == ("".join(f"{line}\n" for line in lines), status, "")


def age(root: Path, days: float) -> None:
    then = time.time() - days * DAY
    for path in root.rglob("*"):
        os.utime(path, (then, then))


def rot(tiny: Tiny) -> str:
    """Change a blob's bytes; returns its name."""
    path = sorted((tiny.cache / "blobs").iterdir())[0]
    path.write_bytes(bytes(path.stat().st_size))
    return path.name


def test_help() -> None:
    ran = ship("cache", "--help")
    assert ran.status == 0
    for verb in ("info", "verify", "prune"):
        assert f"\n  {verb} " in ran.out
        assert ship("cache", verb, "-h").out.startswith(
            f"Usage: pixi-ship cache {verb} [OPTIONS]\n"
        )


# info


def test_info(tiny: Tiny) -> None:
    document = cache(tiny, "info", "--json").document
    assert set(document) == {
        *("cache", "size", "archives", "blobs", "layers", "notes", "tmp", "orphans"),
        *("oldest_use", "newest_use"),
    }
    assert document["cache"] == str(tiny.cache)
    counts = {name: each["files"] for name, each in document.items() if isinstance(each, dict)}
    assert counts == {"archives": 2, "blobs": 2, "layers": 4, "notes": 3, "tmp": 0, "orphans": 0}
    archives = sum(path.stat().st_size for path in (tiny.cache / "archives").iterdir())
    assert document["archives"]["size"] == archives
    assert document["size"] == sum(each["size"] for each in document.values() if type(each) is dict)
    assert document["oldest_use"] <= document["newest_use"]


def test_info_in_words(tiny: Tiny) -> None:
    age(tiny.cache, 0)
    for path in (tiny.cache / "notes").rglob("*.json"):
        os.utime(path, (1e9, 1e9))
    (tiny.cache / "tmp" / "tmpleft").write_bytes(bytes(2000))
    with Cache(tiny.cache).temporary():
        lines = cache(tiny, "info").out.splitlines()
    assert lines[0] == f"cache       {tiny.cache}"
    assert lines[5] == "tmp             2.0 kB in 2 files, 1 left by killed processes"
    assert lines[7].startswith("used        2001-09-09T01:46:40Z to 20")
    assert len(lines) == 8


def test_info_of_an_empty_cache(tiny: Tiny) -> None:
    cache(tiny, "prune", "--all")
    document = cache(tiny, "info", "--json").document
    assert (document["size"], document["oldest_use"], document["newest_use"]) == (0, None, None)
    assert len(cache(tiny, "info").out.splitlines()) == 7


def test_where_the_cache_is(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXI_SHIP_CACHE_DIR", str(tiny.cache))
    assert ship("cache", "info", "--json").document["cache"] == str(tiny.cache)
    monkeypatch.delenv("PIXI_SHIP_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tiny.root / "xdg"))
    failed(
        ship("cache", "info"),
        1,
        f"error: there is no cache at {tiny.root / 'xdg' / 'pixi-ship'}",
        "  hint: the first build makes one; name another with --cache-dir or PIXI_SHIP_CACHE_DIR",
    )


@pytest.mark.parametrize("verb", ["info", "verify", "prune"])
def test_what_is_no_cache(tmp_path: Path, verb: str) -> None:
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / ("0" * 64)).write_bytes(b"")
    failed(
        ship("cache", verb, "--cache-dir", tmp_path),
        1,
        f"error: {tmp_path} is no cache: it holds no CACHEDIR.TAG of pixi-ship",
        "  hint: the first build makes one; name another with --cache-dir or PIXI_SHIP_CACHE_DIR",
    )
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "archives",
        f"archives/{'0' * 64}",
    ]


# verify


def test_verify_a_good_cache(tiny: Tiny) -> None:
    document = cache(tiny, "verify", "--json").document
    sizes = cache(tiny, "info", "--json").document
    assert document == {
        "cache": str(tiny.cache),
        "files": 9,
        "hashed": sizes["archives"]["size"] + sizes["blobs"]["size"],
        "faults": [],
        "removed": [],
    }
    ran = cache(tiny, "verify")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("9 files, ")
    assert ran.out.endswith(" hashed, 0 faults\n")


def test_verify_lists_faults_and_fails(tiny: Tiny) -> None:
    name = rot(tiny)
    error = (
        f"error: verifying the cache at {tiny.cache}: 1 of 9 files are broken\n"
        "  hint: --repair removes them, and the next build makes them again\n"
    )
    ran = cache(tiny, "verify")
    assert (ran.status, ran.err) == (1, error)
    assert ran.out.splitlines()[0].startswith(f"blobs/{name}: its digest is sha256:")
    ran = cache(tiny, "verify", "--json")
    assert (ran.status, ran.err) == (1, error)
    document = json.loads(ran.out)
    assert [fault["path"] for fault in document["faults"]] == [f"blobs/{name}"]
    assert document["removed"] == []
    assert (tiny.cache / "blobs" / name).exists()


def test_repair(tiny: Tiny) -> None:
    name = rot(tiny)
    document = cache(tiny, "verify", "--repair", "--json").document
    assert document["removed"][-1] == {
        "path": f"blobs/{name}",
        "size": document["removed"][-1]["size"],
        "reason": "broken",
    }
    assert len(document["removed"]) == 3
    assert cache(tiny, "verify").status == 0
    counters = tiny.works().document["counters"]
    assert (counters["layers_built"], counters["layers_reused"]) == (1, 1)
    rot(tiny)
    assert cache(tiny, "verify", "--repair").out.splitlines()[-1] == "removed 3 files"


def test_a_cache_in_use_is_verified_and_not_repaired(tiny: Tiny) -> None:
    rot(tiny)
    with Cache(tiny.cache).in_use():
        assert cache(tiny, "verify").status == 1
        ran = cache(tiny, "verify", "--repair", "--wait", "0")
    failed(
        ran,
        1,
        f"error: locking the cache at {tiny.cache}: it is in use",
        "  hint: run the same again when no build runs, or give a longer --wait",
    )


# prune


def test_a_plain_prune_keeps_what_is_of_use(tiny: Tiny) -> None:
    age(tiny.cache, 900)
    (tiny.cache / "tmp" / "tmpleft").write_bytes(bytes(500))
    ran = cache(tiny, "prune")
    assert (ran.status, ran.err) == (0, "")
    first, last = ran.out.splitlines()
    assert first == "left by a killed process: 1 files, 500 B"
    assert last.startswith("removed 1 files, 500 B; ")
    assert tiny.works().document["counters"]["layers_built"] == 0


def test_prune_by_age(tiny: Tiny) -> None:
    age(tiny.cache, 20)
    for words in ((), ("--older-than", "3w"), ("--older-than", "481h"), ("--older-than", "21d")):
        assert cache(tiny, "prune", *words, "--json").document["removed"] == []
    document = cache(tiny, "prune", "--older-than", "19d", "--json").document
    assert set(document) == {"cache", "dry_run", "removed", "freed", "left"}
    assert {each["reason"] for each in document["removed"]} == {"age"}
    assert document["freed"] == sum(each["size"] for each in document["removed"]) > 0
    assert document["left"] == 0


def test_prune_by_size(tiny: Tiny) -> None:
    whole = cache(tiny, "info", "--json").document["size"]
    for path in (tiny.cache / "archives").iterdir():
        os.utime(path, (0, 0))
    size = cache(tiny, "info", "--json").document["archives"]["size"]
    assert cache(tiny, "prune", "--max-size", str(whole), "--json").document["removed"] == []
    document = cache(tiny, "prune", "--max-size", f"{(whole - size) / 1000}kB", "--json").document
    assert (document["freed"], document["left"]) == (size, whole - size)
    assert {each["path"].partition("/")[0] for each in document["removed"]} == {"archives"}


def test_prune_all(tiny: Tiny) -> None:
    ran = cache(tiny, "prune", "--all")
    assert ran.out.splitlines()[-1].endswith("; 0 B stay")
    assert sorted(path.name for path in tiny.cache.rglob("*") if path.is_file()) == [
        "CACHEDIR.TAG",
        "lock",
    ]
    assert tiny.works().document["counters"]["layers_built"] == 2


def test_dry_run(tiny: Tiny) -> None:
    before = sorted(tiny.cache.rglob("*"))
    ran = cache(tiny, "prune", "--all", "--dry-run")
    assert sorted(tiny.cache.rglob("*")) == before
    *rows, total, last = ran.out.splitlines()
    listed = {row.split()[2] for row in rows}
    assert listed == {
        str(path.relative_to(tiny.cache))
        for path in before
        if path.is_file() and path.parent != tiny.cache
    }
    assert total.startswith("all: 11 files, ")
    assert last.startswith("would remove 11 files, ")
    assert last.endswith("; 0 B would stay")
    assert cache(tiny, "prune", "--all", "--dry-run", "--json").document["dry_run"] is True


def test_prune_while_a_build_runs(tiny: Tiny) -> None:
    with Cache(tiny.cache).in_use():
        failed(
            cache(tiny, "prune", "--all", "--wait", "0"),
            1,
            f"error: locking the cache at {tiny.cache}: it is in use",
            "  hint: run the same again when no build runs, or give a longer --wait",
        )
    assert tiny.works().document["counters"]["layers_built"] == 0


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ("--older-than", "30"),
            "Invalid value for '--older-than': '30' is no time span, want one like 12h, 30d or 8w",
        ),
        (("--older-than", "-1d"), "'-1d' is no time span, want one like 12h, 30d or 8w"),
        (
            ("--max-size", "lots"),
            "Invalid value for '--max-size': 'lots' is no size, want one like 500MB, 20GB or "
            "1.5TiB",
        ),
        (("--max-size", "1e9"), "'1e9' is no size, want one like 500MB, 20GB or 1.5TiB"),
        (("--all", "--max-size", "1GB"), "--all leaves nothing for --older-than or --max-size"),
        (("--all", "--older-than", "0d"), "--all leaves nothing for --older-than or --max-size"),
        (("--wait", "-1"), "Invalid value for '--wait': -1 is not in the range"),
    ],
)
def test_words_that_are_refused(tiny: Tiny, words: tuple[str, ...], problem: str) -> None:
    ran = cache(tiny, "prune", *words)
    assert (ran.status, ran.out) == (2, "")
    assert problem in " ".join(ran.err.split())
    assert cache(tiny, "verify").status == 0


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1kB", 1000),
        ("1KB", 1000),
        ("1k", 1000),
        ("1KiB", 1024),
        ("1Ki", 1024),
        ("1.5 kB", 1500),
        ("1000", 1000),
        ("1000B", 1000),
    ],
)
def test_sizes(tiny: Tiny, text: str, size: int) -> None:
    """Just enough stays, a byte less does not."""
    cache(tiny, "prune", "--all")
    blob = tiny.cache / "archives" / ("0" * 64)
    blob.write_bytes(bytes(size))
    assert cache(tiny, "prune", "--max-size", text, "--json").document["removed"] == []
    blob.write_bytes(bytes(size + 1))
    assert cache(tiny, "prune", "--max-size", text, "--json").document["left"] == 0


# Builds, prunes and kill -9 on one cache


@dataclass
class Meeting:
    """Three workspaces that share packages and a cache, and programs that run at once."""

    root: Path
    chance: random.Random

    def __post_init__(self) -> None:
        channel = self.root / "channel"
        packages = [
            CondaPackage(
                f"noise{n}", "1.0", [File(f"share/{n}.bin", self.chance.randbytes(1 << 20))]
            ).write(channel)
            for n in range(6)
        ]
        self.workspaces = [Tiny(self.root / f"w{n}") for n in range(3)]
        for n, workspace in enumerate(self.workspaces):
            workspace.lock(*packages[n : n + 4], channel=channel.as_uri())
        self.cache = self.root / "cache"
        self.outputs = iter(range(1000))

    def build_words(self, workspace: Tiny) -> list[str]:
        output = f"oci:{self.root / 'outputs' / str(next(self.outputs))}:t"
        words = workspace.words("--workers", "1", "--cache-dir", self.cache, to=output)
        return [str(word) for word in words]

    def prune_words(self) -> list[str]:
        limits: tuple[list[str], ...] = (
            ["--all"],
            ["--max-size", "3MB"],
            ["--older-than", "0h"],
            [],
        )
        wait = self.chance.choice(["0", "1", "60"])
        how = self.chance.choice(limits)
        return ["cache", "prune", *how, "--wait", wait, "--cache-dir", str(self.cache)]

    def start(self, words: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pixi_ship", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def pause(self) -> None:
        time.sleep(self.chance.uniform(0, 0.6))


def test_builds_prunes_and_kills_on_one_cache(tmp_path: Path) -> None:
    chance = random.Random(20261123)
    meeting = Meeting(tmp_path, chance)
    want = [ship_apart(*meeting.build_words(each)).digest for each in meeting.workspaces]
    builds_done = prunes_done = 0
    for trial in range(12):
        number = chance.randrange(3)
        build = meeting.start(meeting.build_words(meeting.workspaces[number]))
        meeting.pause()
        pruning = meeting.start(meeting.prune_words())
        meeting.pause()
        if trial % 3 == 2:
            chance.choice([build, pruning]).kill()
        (out, err), (_, prune_err) = (
            build.communicate(timeout=120),
            pruning.communicate(timeout=120),
        )
        assert build.returncode in (0, -9), err
        if build.returncode == 0:
            builds_done += 1
            assert json.loads(out)["images"][0]["digest"] == want[number]
        assert pruning.returncode in (0, 1, -9), prune_err
        if pruning.returncode == 1:
            assert prune_err.startswith(
                f"error: locking the cache at {meeting.cache}: it is in use"
            )
        prunes_done += pruning.returncode == 0
    assert builds_done >= 8, "kills apart, every build ends well"
    assert prunes_done >= 1
    ran = ship("cache", "verify", "--cache-dir", meeting.cache)
    assert (ran.status, ran.err) == (0, ""), ran.out
    for number, each in enumerate(meeting.workspaces):
        assert ship_apart(*meeting.build_words(each)).digest == want[number]
    assert list((meeting.cache / "tmp").iterdir()) == []
