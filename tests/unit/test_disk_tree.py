"""Trees that strangers made are removed to the last file, and nothing beside them.

Shown here: depth beyond the limits of calls, paths and descriptors; directories that are closed
to their owner; links; a directory that is moved while it is gone through; that what cannot be
removed does not keep the rest; and the same through what the cache keeps and sweeps.
"""

from __future__ import annotations

import fcntl
import os
import resource
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pixi_ship.cache import Cache, replacing_directory, sweep_beside
from pixi_ship.disk_tree import _visit, remove_tree, tree_size
from pixi_ship.upkeep.contents import survey
from pixi_ship.upkeep.prune import Limits, prune
from pixi_ship.upkeep.removal import Reason

DEEP = 3000
NOBODY = 65534


@pytest.fixture(autouse=True)
def nothing_deep_is_left(tmp_path: Path) -> Iterator[None]:
    """What a failed test leaves would be too deep for pytest to remove."""
    yield
    remove_tree(tmp_path)


def make_deep(place: Path, depth: int = DEEP) -> None:
    """A directory so deep that no path leads to its end, a file of 3 bytes in each of them."""
    place.mkdir(exist_ok=True)
    handle = os.open(place, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deeper", dir_fd=handle)
        below = os.open("deeper", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
        file = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=handle)
        os.write(file, b"abc")
        os.close(file)
    os.close(handle)


def as_nobody(place: Path, work: Callable[[], None]) -> None:
    """Run in a directory, in a process without a superuser's rights, whom no mode would stop.

    Paths are relative there, since the directories above are closed to others.
    """
    if os.getuid() == 0:
        os.chown(place, NOBODY, NOBODY)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.chdir(place)
            if os.getuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_any_depth(tmp_path: Path) -> None:
    place = tmp_path / "tree"
    make_deep(place)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, limits[1]))
    try:
        assert tree_size(place) == 3 * DEEP
        remove_tree(place)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0, 0o100, 0o500, 0o600])
def test_directories_that_are_closed_to_their_owner(tmp_path: Path, mode: int) -> None:
    room = tmp_path / "room"
    room.mkdir()

    def work() -> None:
        inner = Path("tree") / "closed" / "inner"
        inner.mkdir(parents=True)
        (inner / "file").touch()
        for each in (inner, inner.parent, inner.parent.parent):
            each.chmod(mode)
        remove_tree("tree")

    as_nobody(room, work)
    assert list(room.iterdir()) == []


def test_links_go_and_what_they_lead_to_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "thesis.tex").touch()
    kept.chmod(0o500)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(kept)
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    remove_tree(tree)
    assert not tree.exists()
    assert list(kept.iterdir()) == [kept / "thesis.tex"]
    assert kept.stat().st_mode & 0o777 == 0o500
    (tmp_path / "itself").symlink_to(kept)
    with pytest.raises(OSError, match="itself"):
        remove_tree(tmp_path / "itself")
    assert list(kept.iterdir()) == [kept / "thesis.tex"]


def test_a_directory_that_is_moved_out_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    left: list[str] = []

    def enter(handle: int) -> list[str]:
        names = os.listdir(handle)
        if not names:
            (tmp_path / "tree" / "inner").rename(tmp_path / "elsewhere" / "inner")
        return names

    with pytest.raises(OSError, match="'inner' was moved"):
        _visit(tmp_path / "tree", None, enter, lambda handle, name: left.append(name), [])
    assert left == []


def test_what_stays_does_not_keep_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    (tree / "held").mkdir(parents=True)
    for each in ("a", "held/file", "z"):
        (tree / each).touch()
    unlink = os.unlink

    def refusing(name: str, *, dir_fd: int | None = None) -> None:
        if name == "file":
            raise PermissionError(1, "held", name)
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refusing)
    with pytest.raises(PermissionError, match="held"):
        remove_tree(tree)
    assert [each.name for each in tree.rglob("*")] == ["held", "file"]


def test_a_fresh_directory_that_became_deep_and_closed(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()

    def work() -> None:
        with replacing_directory(Path("target")) as fresh:
            make_deep(fresh / "deep", 1200)
            (fresh / "closed" / "inner").mkdir(parents=True)
            (fresh / "closed").chmod(0)

    as_nobody(room, work)
    assert list(room.iterdir()) == []


def test_orphans_of_a_directory_that_is_replaced(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()

    def work() -> None:
        make_deep(Path(".target.killed.tmp"), 1200)
        Path(".target.closed.tmp", "inner").mkdir(parents=True)
        Path(".target.closed.tmp").chmod(0)
        os.mkfifo(".target.pipe.tmp")
        sweep_beside(Path("target"))

    as_nobody(room, work)
    assert list(room.iterdir()) == []


@pytest.mark.parametrize("where", ["tmp", "prefixes", "roots"])
@pytest.mark.parametrize("clean", ["prune", "sweep"])
def test_dead_directories_of_a_cache(tmp_path: Path, where: str, clean: str) -> None:
    cache = Cache(tmp_path / "cache")
    with cache.in_use(make=True):
        pass
    (cache.root / where).mkdir(exist_ok=True)
    make_deep(cache.root / where / ".build.dead.tmp", 1200)
    kept = cache.root / where / "sha256-of-an-image"
    kept.mkdir()
    with replacing_directory(cache.root / where / "other") as alive:
        # Made again, as a killed process leaves it: the line above swept its own kind alone.
        (alive / "file").write_bytes(b"12345")
        found = survey(cache)
        assert {file.path for file in found.orphans} == {f"{where}/.build.dead.tmp"}
        assert found.orphans[0].size == 3600
        assert {file.path for file in found.unfinished} >= {f"{where}/{alive.name}"}
        if clean == "prune":
            done = prune(cache, Limits(), wait=0)
            (removal,) = done.removed
            assert removal.reason is Reason.UNFINISHED
            assert done.freed == 3600
        else:
            assert cache.sweep() == 1
        assert sorted((cache.root / where).iterdir()) == sorted([alive, kept])


def test_a_dry_prune_leaves_them(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with cache.in_use(make=True):
        pass
    dead = cache.root / "tmp" / ".build.dead.tmp"
    dead.mkdir()
    assert len(prune(cache, Limits(), wait=0, dry_run=True).removed) == 1
    assert dead.is_dir()


@pytest.mark.parametrize("where", ["prefixes", "roots"])
def test_roots_on_another_disk_are_left_alone(tmp_path: Path, where: str) -> None:
    cache = Cache(tmp_path / "cache")
    with cache.in_use(make=True):
        pass
    dead = tmp_path / "elsewhere" / ".build.dead.tmp"
    dead.mkdir(parents=True)
    (cache.root / where).symlink_to(dead.parent)
    assert prune(cache, Limits(), wait=0).removed == ()
    assert cache.sweep() == 0
    assert dead.is_dir()


def test_the_lock_is_let_go_where_removing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(place: Path) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("pixi_ship.cache.remove_tree", broken)
    with pytest.raises(RecursionError), replacing_directory(tmp_path / "target"):
        pass
    (left,) = tmp_path.iterdir()
    handle = os.open(left, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(handle)


def test_a_dead_directory_that_is_closed_is_pruned(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()

    def work() -> None:
        cache = Cache(Path("cache"))
        with cache.in_use(make=True):
            pass
        dead = cache.root / "tmp" / ".build.dead.tmp"
        (dead / "inner").mkdir(parents=True)
        dead.chmod(0)
        (removal,) = prune(cache, Limits(), wait=0).removed
        assert removal.reason is Reason.UNFINISHED
        assert not dead.exists()

    as_nobody(room, work)
