"""The cache is looked at, checked and made smaller, and no build ever loses what it found.

Shown here: who may hold the lock beside whom; that uses are marked; that only our own files
are seen, and none beyond a link; that every kind of damage is found, taken out and made
again; that a prune keeps its limits, takes the oldest, and may be cut short at any step.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixi_ship.builder import Builder
from pixi_ship.cache import FETCHED_BLOB, Cache
from pixi_ship.digest import Digest
from pixi_ship.errors import CacheError
from pixi_ship.upkeep.contents import Contents, Holding, Kind, holdings, survey
from pixi_ship.upkeep.directory import CacheFile, remove
from pixi_ship.upkeep.prune import Limits, prune, removals
from pixi_ship.upkeep.removal import Reason
from pixi_ship.upkeep.verify import Verified, repair, verify

from ..tiny import Tiny

DAY = 86400
DATA = b"a blob of a registry"
ALL = Limits(everything=True)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache that was made, and holds nothing."""
    made = Cache(tmp_path / "cache")
    with made.in_use(make=True):
        return made


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """A workspace of three packages that was built once."""
    found = Tiny(tmp_path)
    found.lock(found.good(), found.good("other"), found.good("third"))
    found.works()
    return found


def put(cache: Cache, path: str, data: bytes = b"{}", *, days: float = 0) -> Path:
    """A file of the cache, last used some days ago."""
    target = cache.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    then = time.time() - days * DAY
    os.utime(target, (then, then))
    return target


def put_layer(cache: Cache, key: str, data: bytes, *, days: float = 0) -> tuple[Path, Path]:
    """Note and blob of a layer that looks like a real one."""
    digest = Digest.of(data)
    facts = {"digest": str(digest), "size": len(data), "diff_id": str(digest)}
    note = {**facts, "uncompressed_size": 1, "files": 1, "activation": {}, "packages": []}
    blob = put(cache, f"blobs/{digest.hex}", data, days=days)
    put(cache, f"layers/{key}.tree", b"", days=days)
    return put(cache, f"layers/{key}.json", json.dumps(note).encode(), days=days), blob


def key(number: int) -> str:
    return f"{number:064x}"


def paths(root: Path) -> set[str]:
    """Every file below the root but the marker and the lock."""
    found = {str(each.relative_to(root)) for each in root.rglob("*") if not each.is_dir()}
    return found - {"CACHEDIR.TAG", "lock"}


def checked(cache: Cache) -> Verified:
    return verify(cache, workers=2, report=lambda size, total: None)


def removed(cache: Cache, limits: Limits = Limits()) -> dict[str, Reason]:  # noqa: B008
    """What a prune took out; what it said that it would do is what it did."""
    before = paths(cache.root)
    said = prune(cache, limits, wait=0, dry_run=True)
    assert paths(cache.root) == before
    done = prune(cache, limits, wait=0)
    assert done == said
    assert before - paths(cache.root) == {each.file.path for each in done.removed}
    assert done.left == sum((cache.root / path).stat().st_size for path in paths(cache.root))
    return {each.file.path: each.reason for each in done.removed}


# The lock


def test_builds_share_the_cache_and_a_prune_has_it_alone(cache: Cache) -> None:
    mine, other, third = (Cache(cache.root) for _ in range(3))
    with mine.in_use(), other.in_use(), pytest.raises(CacheError) as caught, third.exclusive(0):
        pass
    assert str(caught.value) == f"locking the cache at {cache.root}: it is in use"
    assert caught.value.hint == "run the same again when no build runs, or give a longer --wait"
    with mine.exclusive(0), pytest.raises(CacheError), other.exclusive(0):
        pass


def test_a_prune_waits_for_a_build_to_end(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time it looks again; the build ends at the third look."""
    build = Cache(cache.root).in_use()
    build.__enter__()
    looks: list[float] = []

    def look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            build.__exit__(None, None, None)

    monkeypatch.setattr("pixi_ship.cache.time.sleep", look)
    with cache.exclusive(10):
        assert len(looks) == 3


def test_a_build_waits_for_a_prune_to_end(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    waits, order = threading.Event(), list[str]()
    flock = fcntl.flock

    def announced(handle: int, how: int) -> None:
        if how == fcntl.LOCK_SH:
            waits.set()
        flock(handle, how)

    def use() -> None:
        with Cache(cache.root).in_use():
            order.append("build")

    monkeypatch.setattr("pixi_ship.cache.fcntl.flock", announced)
    thread = threading.Thread(target=use)
    with cache.exclusive(0):
        thread.start()
        assert waits.wait(60)
        thread.join(0.2)  # time to go wrong in
        order.append("prune")
    thread.join(60)
    assert order == ["prune", "build"]


def test_a_plan_makes_no_cache(tmp_path: Path) -> None:
    with Cache(tmp_path / "cache").in_use():
        assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_needs_no_lock(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Builds that find everything there go on; who would remove something is told."""
    (cache.root / "lock").unlink()
    real = os.open

    def read_only(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_CREAT and Path(path).name == "lock":
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *more, **named)

    monkeypatch.setattr("pixi_ship.cache.os.open", read_only)
    with cache.in_use():
        pass
    with pytest.raises(CacheError, match=r"writing to the cache at .*: Permission denied"):
        prune(cache, ALL, wait=0)


def test_a_prune_in_the_middle_of_a_build_is_refused(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build has read the notes of its layers, and not yet the blobs."""
    refused = list[str]()
    real = Builder.layers

    def layers(self: Builder, *given: Any) -> Any:
        found = real(self, *given)
        with pytest.raises(CacheError) as caught:
            prune(Cache(tiny.cache), ALL, wait=0)
        refused.append(str(caught.value))
        return found

    monkeypatch.setattr(Builder, "layers", layers)
    want = json.loads((tiny.output / "index.json").read_text())["manifests"][0]["digest"]
    ran = tiny.build("--to", f"oci:{tiny.root / 'again'}:t")
    assert ran.digest == want
    assert refused == [f"locking the cache at {tiny.cache}: it is in use"]


# What was used when


def age(root: Path, days: float) -> None:
    then = time.time() - days * DAY
    for path in paths(root):
        os.utime(root / path, (then, then))


def old(root: Path) -> set[str]:
    """The kinds of files that were not used today."""
    today = (root / "lock").stat().st_mtime
    found = (path for path in paths(root) if (root / path).stat().st_mtime < today - DAY)
    return {path.partition("/")[0] for path in found if not path.endswith(".tree")}


def test_builds_mark_what_they_use(tiny: Tiny) -> None:
    """Layers that are there need no archives; where one is gone, its archives are used."""
    age(tiny.cache, 40)
    tiny.works()
    notes = {
        str(each.used > time.time() - DAY)
        for each in holdings(survey(Cache(tiny.cache)))
        if each.kind is Kind.LAYER
    }
    assert notes == {"True"}
    assert "layers" not in old(tiny.cache)
    assert "archives" in old(tiny.cache)
    for blob in (tiny.cache / "blobs").iterdir():
        blob.unlink()
    tiny.works()
    assert "archives" not in old(tiny.cache)


def test_a_file_is_marked_once_a_day(cache: Cache) -> None:
    recent, past = put(cache, "archives/a", days=0.9), put(cache, "archives/b", days=1.1)
    before = recent.stat().st_mtime, past.stat().st_mtime
    cache.mark_used(past)
    assert past.stat().st_mtime == before[1], "only who holds the lock knows the time"
    with cache.in_use():
        cache.mark_used(recent)
        cache.mark_used(past)
        cache.mark_used(cache.root / "archives" / "gone")
        now = (cache.root / "lock").stat().st_mtime
    assert recent.stat().st_mtime == before[0]
    assert abs(past.stat().st_mtime - now) < DAY / 2


def test_a_file_that_cannot_be_marked_is_used_all_the_same(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(cache, "archives/a", days=3)

    def read_only(*given: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pixi_ship.cache.os.utime", read_only)
    with cache.in_use():
        before = path.stat().st_mtime
        cache.mark_used(path)
    assert path.stat().st_mtime == before


# What is ours


def test_every_file_of_a_build_is_seen(tiny: Tiny) -> None:
    """A new kind of file that upkeep does not know would stay for ever."""
    found = survey(Cache(tiny.cache))
    assert {file.path for kind in Kind for file in found.of(kind)} == paths(tiny.cache)
    assert {kind for kind in Kind if found.of(kind)} == set(Kind) - {Kind.UNFINISHED}
    assert removed(Cache(tiny.cache), ALL).keys() | paths(tiny.cache) == {
        file.path for kind in Kind for file in found.of(kind)
    }
    assert paths(tiny.cache) == set()


def test_files_of_others_stay(cache: Cache) -> None:
    """Whoever gives a home directory as cache loses nothing of it."""
    for path in (
        "archives/2024.zip",
        "blobs/README",
        "layers/map.json",
        f"layers/{key(1)}.json.bak",
        "notes/todo.json",
        "notes/work/draft.json",
        f"notes/deep/er/{key(1)}.json",
        f"notes/My Notes/{key(1)}.json",
        "thesis.tex",
    ):
        put(cache, path, b"not ours", days=900)
    before = paths(cache.root)
    assert prune(cache, ALL, wait=0).removed == ()
    assert paths(cache.root) == before
    assert checked(cache).files == 0


def test_a_directory_without_our_mark_is_left_alone(tmp_path: Path) -> None:
    """Whatever it looks like, and also by the sweep of every build."""
    cache = Cache(tmp_path / "home")
    for tag in (None, b"", b"Signature: 8a477f597d28d172789f06886806bc55\n# of cargo.\n"):
        put(cache, f"archives/{key(1)}", b"x", days=900)
        put(cache, "tmp/letter.txt", b"Dear", days=900)
        if tag is not None:
            put(cache, "CACHEDIR.TAG", tag)
        before = paths(cache.root)
        for act in (survey, checked, removed):
            with pytest.raises(CacheError, match=r"is no cache: it holds no CACHEDIR\.TAG of"):
                act(cache)
        assert cache.sweep() == 0
        assert paths(cache.root) == before
    real = cache.root / "real.tag"
    real.write_bytes((Cache(tmp_path / "own")._prepared().parent / "CACHEDIR.TAG").read_bytes())
    (cache.root / "CACHEDIR.TAG").unlink()
    (cache.root / "CACHEDIR.TAG").symlink_to(real)
    with pytest.raises(CacheError, match="is no cache"):
        survey(cache)


def test_no_cache(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="there is no cache at"):
        prune(Cache(tmp_path / "none"), ALL, wait=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("room", ["archives", "blobs", "layers", "notes", "tmp"])
def test_links_to_directories_are_refused(cache: Cache, tmp_path: Path, room: str) -> None:
    outside = tmp_path / "outside"
    target = put(Cache(outside), key(1) if room != "layers" else f"{key(1)}.json", days=900)
    if (cache.root / room).exists():
        (cache.root / room).rmdir()
    (cache.root / room).symlink_to(outside)
    if room == "notes":  # its kinds are what could be links
        (cache.root / room).unlink()
        (cache.root / room).mkdir()
        (cache.root / room / "paths").symlink_to(outside)
        assert removed(cache, ALL) == {}
    else:
        with pytest.raises(CacheError) as caught:
            prune(cache, ALL, wait=0)
        assert str(caught.value) == f"reading {cache.root / room}: Not a directory"
    assert target.exists()


def test_the_cache_itself_may_be_a_link(cache: Cache, tmp_path: Path) -> None:
    put(cache, f"archives/{key(1)}", b"x")
    (tmp_path / "link").symlink_to(cache.root)
    assert prune(Cache(tmp_path / "link"), ALL, wait=0).freed == 1
    assert paths(cache.root) == set()


def test_a_link_in_place_of_a_file_is_a_fault_and_its_target_stays(
    cache: Cache, tmp_path: Path
) -> None:
    target = tmp_path / "thesis.tex"
    target.write_text("all my work")
    for room in ("archives", "blobs"):
        (cache.root / room).mkdir()
        (cache.root / room / key(1)).symlink_to(target)
    os.mkfifo(cache.root / "archives" / key(2))  # nobody waits for what never comes
    found = checked(cache)
    assert {each.path: each.problem for each in found.faults} == {
        f"archives/{key(1)}": "it is no regular file",
        f"archives/{key(2)}": "it is no regular file",
        f"blobs/{key(1)}": "it is no regular file",
    }
    said = prune(cache, Limits(), wait=0, dry_run=True).removed
    assert {each.file.path for each in said} == {each.path for each in found.faults}
    assert len(repair(cache, found, wait=0)) == 3
    assert paths(cache.root) == set()
    assert target.read_text() == "all my work"


# Verifying


def test_a_good_cache_has_no_fault(tiny: Tiny) -> None:
    cache = Cache(tiny.cache)
    reported: list[tuple[int, int]] = []
    found = verify(cache, workers=3, report=lambda *sizes: reported.append(sizes))
    contents = survey(cache)
    want = sum(file.size for kind in (Kind.ARCHIVE, Kind.BLOB) for file in contents.of(kind))
    assert (found.faults, found.hashed) == ((), want)
    assert sum(size for size, _ in reported) == want
    assert {total for _, total in reported} == {want}
    assert len(contents.blobs) == 3


def first(directory: Path, pattern: str = "*") -> Path:
    return sorted(directory.glob(pattern))[0]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object], str]] = {
    "archive": (lambda root: first(root / "archives"), flip, "its digest is sha256:"),
    "blob": (lambda root: first(root / "blobs"), flip, "its digest is sha256:"),
    "cut blob": (lambda root: first(root / "blobs"), lambda p: os.truncate(p, 9), "its digest is"),
    "layer note": (
        lambda root: first(root / "layers", "*.json"),
        lambda path: os.truncate(path, 20),
        "it cannot be read",
    ),
    "another note": (
        lambda root: first(root / "layers", "*.json"),
        lambda path: path.write_text('{"digest": "md5:1"}'),
        "it cannot be read",
    ),
    "deep note": (
        lambda root: first(root / "notes" / "merge"),
        lambda path: path.write_text("[" * 200_000),
        "it cannot be read",
    ),
    "list": (
        lambda root: first(root / "notes" / "merge"),
        lambda path: path.write_text("[1]"),
        "it cannot be read",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_removed_and_made_again(tiny: Tiny, name: str) -> None:
    choose, damage, problem = DAMAGE[name]
    cache, whole = Cache(tiny.cache), paths(tiny.cache)
    target = choose(tiny.cache)
    damage(target)
    found = checked(cache)
    assert found.faults
    assert any(problem in each.problem for each in found.faults)
    assert paths(tiny.cache) >= whole - {str(target.relative_to(tiny.cache))}, "nothing removed yet"
    gone = {each.file.path for each in repair(cache, found, wait=0)}
    assert not target.exists()
    assert gone | {str(target.relative_to(tiny.cache))} == whole - paths(tiny.cache)
    assert checked(cache).faults == ()
    digest = json.loads((tiny.output / "index.json").read_text())["manifests"][0]["digest"]
    assert tiny.build("--to", f"oci:{tiny.root / 'again'}:t").digest == digest
    if name != "archive":  # which a layer that is there does not need
        assert paths(tiny.cache) == whole


def test_a_damaged_blob_goes_with_all_that_name_it(cache: Cache) -> None:
    for number in (1, 2):
        _, blob = put_layer(cache, key(number), DATA)
    put_layer(cache, key(3), b"another")
    note = put(cache, f"notes/{FETCHED_BLOB}/{blob.name}.json")
    flip(blob)
    gone = [each.file.path for each in repair(cache, checked(cache), wait=0)]
    assert gone[-1] == f"blobs/{blob.name}", "last: until then a note tells where it is"
    assert f"notes/{FETCHED_BLOB}/{note.name}" in gone
    assert {path for path in gone if path.startswith("layers/")} == {
        f"layers/{key(number)}.{suffix}" for number in (1, 2) for suffix in ("json", "tree")
    }
    assert len(survey(cache).blobs) == 1


def test_what_was_replaced_since_it_was_verified_stays(cache: Cache) -> None:
    """A build may make a blob again while another process still verifies."""
    note, blob = put_layer(cache, key(1), DATA)
    flip(blob)
    found = checked(cache)
    with cache.writing(blob) as file:
        file.write(DATA)
    assert repair(cache, found, wait=0) == ()
    assert note.exists()
    assert checked(cache).faults == ()


def test_ctrl_c_stops_the_hashing(cache: Cache) -> None:
    """At the next block, not at the end of a file of gigabytes."""
    size = 200 << 20
    os.truncate(put(cache, f"archives/{key(1)}"), size)
    reported, main = list[int](), threading.get_ident()

    def report(block: int, total: int) -> None:
        if not reported:
            signal.pthread_kill(main, signal.SIGINT)
        reported.append(block)
        time.sleep(0.01)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            verify(cache, workers=1, report=report)
    finally:
        signal.signal(signal.SIGINT, before)
    assert 0 < sum(reported) < size


def test_a_note_too_deep_to_parse_is_no_note(cache: Cache) -> None:
    put(cache, f"notes/merge/{key(1)}.json", b"[" * 200_000)
    assert cache.note("merge", key(1)) is None


def test_a_file_of_another_user_is_not_called_broken(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be good; removing it would be a theft."""
    put(cache, f"notes/paths/{key(1)}.json")
    real = os.open

    def forbidden(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if str(path).startswith("0"):
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *more, **named)

    monkeypatch.setattr("pixi_ship.upkeep.directory.os.open", forbidden)
    with pytest.raises(CacheError) as caught:
        prune(cache, Limits(), wait=0)
    path = cache.root / "notes" / "paths" / f"{key(1)}.json"
    assert str(caught.value) == f"reading {path}: Permission denied"
    put(cache, f"archives/{key(1)}")
    with pytest.raises(CacheError, match="Permission denied"):
        checked(cache)


# Pruning


def test_a_plain_prune_takes_what_is_of_no_use(tiny: Tiny) -> None:
    """And nothing else: the next build has all its layers."""
    cache, whole = Cache(tiny.cache), paths(tiny.cache)
    put(cache, "tmp/tmpabandoned", b"half")
    put(cache, f"blobs/{key(1)}", b"nobody's")
    put(cache, f"layers/{key(2)}.tree", b"")
    put(cache, f"layers/{key(3)}.json", b"{")
    put(cache, f"layers/{key(3)}.tree", b"")
    put(cache, f"notes/paths/{key(4)}.json", b"")
    with cache.temporary() as file:
        file.write(b"being written")
        file.flush()
        assert removed(cache) == {
            "tmp/tmpabandoned": Reason.UNFINISHED,
            f"blobs/{key(1)}": Reason.UNNAMED,
            f"layers/{key(2)}.tree": Reason.UNNAMED,
            f"layers/{key(3)}.json": Reason.BROKEN,
            f"layers/{key(3)}.tree": Reason.BROKEN,
            f"notes/paths/{key(4)}.json": Reason.BROKEN,
        }
        assert Path(file.name).exists()
    assert removed(cache) == {}
    assert paths(tiny.cache) == whole
    counters = tiny.build().document["counters"]
    assert (counters["layers_reused"], counters["layers_built"]) == (3, 0)


def test_blobs_of_registries_stay_while_they_are_noted(cache: Cache) -> None:
    name = Digest.of(DATA).hex
    blob = put(cache, f"blobs/{name}", DATA, days=5)
    note = put(cache, f"notes/{FETCHED_BLOB}/{name}.json", days=9)
    put(cache, f"notes/{FETCHED_BLOB}/{key(1)}.json")  # its blob was never fetched to the end
    assert checked(cache).faults == ()
    week = Limits(used_since=time.time() - 7 * DAY)
    assert removed(cache) == removed(cache, week) == {}, "the blob itself was used since"
    os.utime(blob, (0, 0))
    assert removed(cache, week) == {
        f"notes/{FETCHED_BLOB}/{note.name}": Reason.AGE,
        f"blobs/{name}": Reason.AGE,
    }


def test_by_age(cache: Cache) -> None:
    """A blob stays as long as one layer that names it is young enough."""
    old, new = (Digest.of(name).hex for name in (b"old", b"new"))
    put(cache, f"archives/{old}", b"old", days=31)
    put(cache, f"archives/{new}", b"new", days=29)
    put(cache, f"notes/merge/{key(1)}.json", days=31)
    put_layer(cache, key(1), DATA, days=31)
    put_layer(cache, key(2), b"another", days=31)
    _, shared = put_layer(cache, key(3), DATA, days=29)
    month = Limits(used_since=time.time() - 30 * DAY)
    assert set(removed(cache, month)) == {
        f"archives/{old}",
        f"notes/merge/{key(1)}.json",
        f"layers/{key(1)}.json",
        f"layers/{key(1)}.tree",
        f"layers/{key(2)}.json",
        f"layers/{key(2)}.tree",
        f"blobs/{Digest.of(b'another').hex}",
    }
    assert shared.exists()
    assert checked(cache).faults == ()


def test_by_size_the_oldest_go_first(cache: Cache) -> None:
    for number in range(5):
        put(cache, f"archives/{key(number)}", bytes(100), days=number)
    assert removed(cache, Limits(size=500)) == {}
    assert removed(cache, Limits(size=300)) == dict.fromkeys(
        (f"archives/{key(4)}", f"archives/{key(3)}"), Reason.SIZE
    )
    put(cache, f"notes/merge/{key(1)}.json", days=99)
    assert set(removed(cache, Limits(size=250))) == {f"archives/{key(2)}"}, "notes come last"
    assert len(removed(cache, Limits(size=0))) == 3


def test_cut_short_at_any_step(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prune that dies leaves no note without its blob, and the next one ends its work."""
    cache = Cache(tiny.cache)
    put(cache, f"notes/{FETCHED_BLOB}/{Digest.of(DATA).hex}.json")
    put(cache, f"blobs/{Digest.of(DATA).hex}", DATA)
    whole = paths(cache.root)
    assert len(whole) > 10
    shutil.copytree(cache.root, tiny.root / "whole")
    for step in range(len(whole)):
        shutil.rmtree(cache.root)
        shutil.copytree(tiny.root / "whole", cache.root)
        left = iter(range(step))

        def die(root: Path, path: str, left: Iterator[int] = left) -> bool:
            if next(left, None) is None:
                raise InterruptedError
            return remove(root, path)

        with monkeypatch.context() as patch:
            patch.setattr("pixi_ship.upkeep.removal.remove", die)
            with pytest.raises(InterruptedError):
                prune(cache, ALL, wait=0)
        assert len(paths(cache.root)) == len(whole) - step
        assert checked(cache).faults == ()
        tiny.works()
        assert set(removed(cache, ALL)) >= {path for path in whole if path.startswith("layers/")}


def file(path: str, size: int, used: int) -> CacheFile:
    return CacheFile(path, size, used * 10**9, 1, True)


@st.composite
def caches(draw: st.DrawFn) -> tuple[Contents, list[Holding]]:
    """Archives, layers that share blobs, and notes, of any size and age."""
    sizes, ages = st.integers(0, 50), st.integers(0, 9)
    blobs = {
        key(n): file(f"blobs/{key(n)}", draw(sizes), 0) for n in range(draw(st.integers(1, 4)))
    }
    held = [
        Holding(Kind.ARCHIVE, (file(f"archives/{key(n)}", draw(sizes), used),), used)
        for n, used in enumerate(draw(st.lists(ages, max_size=5)))
    ]
    held += [
        Holding(Kind.NOTE, (file(f"notes/paths/{key(n)}.json", draw(sizes), used),), used)
        for n, used in enumerate(draw(st.lists(ages, max_size=3)))
    ]
    for n, used in enumerate(draw(st.lists(ages, max_size=6))):
        name = draw(st.sampled_from([*blobs, key(99)]))  # the last is not there
        note = file(f"layers/{key(n)}.json", draw(sizes), used)
        held.append(Holding(Kind.LAYER, (note,), used, name))
    archives = {each.files[0].name: each.files[0] for each in held if each.kind is Kind.ARCHIVE}
    layers = {each.files[0].name: each.files[0] for each in held if each.kind is Kind.LAYER}
    notes = tuple(each.files[0] for each in held if each.kind is Kind.NOTE)
    return Contents(Path(), archives, blobs, layers, {}, notes, (), ()), held


def stays(held: Sequence[Holding], gone: Sequence[str]) -> list[Holding]:
    return [each for each in held if each.files[0].path not in gone]


def size_of(found: Contents, held: Sequence[Holding]) -> int:
    blobs = {each.blob for each in held} & found.blobs.keys()
    return sum(each.size for each in held) + sum(found.blobs[b].size for b in blobs if b)


@given(caches(), st.integers(0, 400), st.integers(0, 10))
def test_limits_are_kept_and_no_more_goes_than_must(
    drawn: tuple[Contents, list[Holding]], limit: int, since: int
) -> None:
    found, held = drawn
    taken = removals(found, held, Limits(used_since=since, size=limit))
    gone = [each.file.path for each in taken]
    assert len(set(gone)) == len(gone)
    kept = stays(held, gone)
    assert all(each.used >= since for each in kept)
    assert size_of(found, kept) <= limit
    assert {each.blob for each in kept if each.blob} & found.blobs.keys() == {
        name for name, blob in found.blobs.items() if blob.path not in gone
    }, "blobs stay exactly as long as they are named"
    by_size = [each for each in held if each.used >= since and each.files[0].path in gone]
    if by_size:
        big = [each for each in by_size if each.kind is not Kind.NOTE]
        assert all(
            one.used <= other.used for one in big for other in kept if other.kind is not Kind.NOTE
        )
        last = max(
            by_size, key=lambda each: (each.kind is Kind.NOTE, each.used, each.files[0].path)
        )
        assert size_of(found, [*kept, last]) > limit, "the last one had to go"
    first_blob = next((n for n, path in enumerate(gone) if path.startswith("blobs/")), len(gone))
    assert all(path.startswith("blobs/") for path in gone[first_blob:])
