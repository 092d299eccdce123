"""Which files are found, where they go, and every way in which that must not go wrong."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

import pytest

from pixi_ship.errors import ProjectError, UsageError
from pixi_ship.project.find import Limits

from .made import dests, find, make


def refused(root: Path, *includes: str, limits: Limits | None = None) -> str:
    with pytest.raises((ProjectError, UsageError)) as caught:
        find(root, *includes, limits=limits)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("include", "want"),
    [
        ("a.py", ["app/a.py"]),
        ("./d/../a.py", ["app/a.py"]),
        ("d", ["app/d/b.csv", "app/d/e/c.csv", "app/d/e/f.txt"]),
        ("d/", ["app/d/b.csv", "app/d/e/c.csv", "app/d/e/f.txt"]),
        ("d/e", ["app/d/e/c.csv", "app/d/e/f.txt"]),
        (".", ["app/a.py", "app/d/b.csv", "app/d/e/c.csv", "app/d/e/f.txt"]),
        (".:/srv/x", ["srv/x/a.py", "srv/x/d/b.csv", "srv/x/d/e/c.csv", "srv/x/d/e/f.txt"]),
        ("a.py:b.py", ["app/b.py"]),
        ("a.py:bin/", ["app/bin/a.py"]),
        ("a.py:/usr/local/bin/a", ["usr/local/bin/a"]),
        ("d/e/c.csv:.", ["app/c.csv"]),
        ("d:data", ["app/data/b.csv", "app/data/e/c.csv", "app/data/e/f.txt"]),
        ("d/*.csv", ["app/d/b.csv"]),
        ("d/*.csv:t", ["app/t/b.csv"]),
        ("**/*.csv", ["app/d/b.csv", "app/d/e/c.csv"]),
        ("**/*.csv:t", ["app/t/d/b.csv", "app/t/d/e/c.csv"]),
        ("d/[ef]", ["app/d/e/c.csv", "app/d/e/f.txt"]),
        ("?/b.csv", ["app/d/b.csv"]),
    ],
)
def test_places(tmp_path: Path, include: str, want: list[str]) -> None:
    root = make(tmp_path, {"a.py": "", "d/b.csv": "", "d/e/c.csv": "", "d/e/f.txt": ""})
    assert dests(find(root, include)) == want


def test_a_pattern_takes_no_hidden_file_by_a_wildcard(tmp_path: Path) -> None:
    root = make(tmp_path, {".a": "", "b": "", ".d/c": "", "e/.f": ""})
    assert dests(find(root, "*")) == ["app/b", "app/e/.f"]
    assert dests(find(root, ".[a]")) == ["app/.a"]
    assert "no file is left" in refused(root, "**/c*")
    assert "nothing matches the pattern" in refused(root, "[")


def test_brackets_in_the_way_to_the_workspace(tmp_path: Path) -> None:
    root = make(tmp_path / "w[1]*", {"a.csv": "", "b[1].csv": ""})
    assert dests(find(root, "*.csv")) == ["app/a.csv", "app/b[1].csv"]
    assert dests(find(root, "b[1].csv")) == ["app/b[1].csv"]


def test_order_is_bytewise_whatever_the_filesystem_gives(tmp_path: Path) -> None:
    names = ["Z", "a", "a-b", "a/x", "a.b", "é", "zz", "a0"]
    made = [name for name in names if name != "a"]
    random.Random(7).shuffle(made)
    root = make(tmp_path, dict.fromkeys(made, ""))
    found = dests(find(root, "."))
    assert found == sorted(found, key=os.fsencode)
    assert found == [f"app/{name}" for name in ("Z", "a-b", "a.b", "a/x", "a0", "zz", "é")]


def test_modes(tmp_path: Path) -> None:
    root = make(tmp_path, {"run": "", "data": "", "group": ""})
    (root / "run").chmod(0o4700)
    (root / "data").chmod(0o600)
    (root / "group").chmod(0o674)
    assert [(file.dest, file.mode) for file in find(root, ".").files] == [
        ("app/data", 0o644),
        ("app/group", 0o644),
        ("app/run", 0o755),
    ]


def test_manifest_and_lock_are_left_to_the_image(tmp_path: Path) -> None:
    root = make(tmp_path, {"a": "", "sub/pixi.toml": "", "sub/pixi.lock": ""})
    assert dests(find(root, ".")) == ["app/a", "app/sub/pixi.lock", "app/sub/pixi.toml"]
    assert "/app/pixi.toml is in every image" in refused(root, "pixi.toml")
    assert "/app/pixi.lock is in every image" in refused(root, "sub/pixi.lock:pixi.lock")
    assert dests(find(root, "pixi.toml:conf/")) == ["app/conf/pixi.toml"]


def test_the_images_own_entrypoint(tmp_path: Path) -> None:
    root = make(tmp_path, {"a": "", "entrypoint.sh": ""})
    assert "/app/entrypoint.sh is not the project's to write" in refused(root, ".")


def test_outside_needs_a_place(tmp_path: Path) -> None:
    outside = make(tmp_path / "data", {"x.csv": "", "y/z.csv": ""}) / "x.csv"
    root = make(tmp_path / "work", {"a": ""})
    for path in (str(outside), "../data/x.csv"):
        assert "it is outside the workspace" in refused(root, path)
        assert dests(find(root, f"{path}:x")) == ["app/x"]
    assert dests(find(root, "../data/*.csv:t")) == ["app/t/x.csv"]
    assert dests(find(root, "../data/y:/srv/y")) == ["srv/y/z.csv"]
    assert dests(find(root, str(root / "a"))) == ["app/a"]


def test_what_is_not_there(tmp_path: Path) -> None:
    root = make(tmp_path, {"d/a": ""})
    assert "No such file or directory" in refused(root, "nope")
    assert "no file is left, 0 are ignored" in refused(root, "*.nope")
    assert "nothing matches the pattern" in refused(root, "nope/*.csv")
    (root / "empty").mkdir()
    assert "no file is left" in refused(root, "empty")
    assert "no file is left, 1 are ignored" in refused(make(root, {".gitignore": "a\n"}), "d")


def test_two_for_one_place(tmp_path: Path) -> None:
    root = make(tmp_path, {"a": "", "b": "", "d/a": ""})
    assert dests(find(root, "a", ".", "a")) == ["app/a", "app/b", "app/d/a"]
    assert f"'{root}/b' and '{root}/a' would both be '/app/a'" in refused(root, "a", "b:a")
    assert "'/app/x' would be a file, and a directory for '/app/x/a'" in refused(root, "a:x", "d:x")


@pytest.mark.parametrize(
    ("target", "want"), [("a", "a"), ("./d/../a", "a"), ("d", "d"), ("d/x", "d/x")]
)
def test_links_within_are_kept(tmp_path: Path, target: str, want: str) -> None:
    root = make(tmp_path, {"a": "", "d/x": ""})
    (root / "link").symlink_to(target)
    found = {file.dest: file.target for file in find(root, ".").files}
    assert found == {"app/a": None, "app/d/x": None, "app/link": want}


def test_links_from_below_and_by_whole_paths(tmp_path: Path) -> None:
    root = make(tmp_path, {"a": "", "d/e/x": ""})
    (root / "d/e/up").symlink_to("../../a")
    (root / "d/whole").symlink_to(root / "a")
    (root / "through").symlink_to("d/e/up")
    (root / "dir").symlink_to("d/e")
    (root / "below").symlink_to("dir/x")
    found = {file.dest: file.target for file in find(root, ".:/srv").files if file.target}
    assert found == {
        "srv/below": "d/e/x",
        "srv/d/e/up": "../../a",
        "srv/d/whole": "../a",
        "srv/dir": "d/e",
        "srv/through": "d/e/up",
    }


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "pixi.lock", ".pixi", "ignored"])
def test_links_that_leave(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").write_text("")
    root = make(tmp_path / "w", {"a": "", ".gitignore": "ignored\n", "ignored": "", ".pixi/x": ""})
    (root / "link").symlink_to(target)
    assert refused(root, ".").endswith(
        f"link': it is a link to '{target}': which is not taken along"
    )


def test_links_that_lead_nowhere_or_round(tmp_path: Path) -> None:
    root = make(tmp_path, {"a": ""})
    (root / "dangling").symlink_to("nope")
    assert "a link to 'nope': no such file or directory" in refused(root, ".")
    (root / "dangling").unlink()
    (root / "x").symlink_to("y")
    (root / "y").symlink_to("x")
    assert "too many levels of symbolic links" in refused(root, ".")
    assert "including 'x'" in refused(root, "x")
    (root / "x").unlink()
    (root / "y").unlink()
    (root / "loop").symlink_to(".")
    assert {file.dest: file.target for file in find(root, ".").files}["app/loop"] == "."


def test_a_link_that_is_named_is_followed_within_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("")
    root = make(tmp_path / "w", {"a": "12", "d/x": ""})
    (root / "link").symlink_to("a")
    (root / "dir").symlink_to("d")
    (root / "out").symlink_to("../outside")
    assert [(file.dest, file.size, file.target) for file in find(root, "link").files] == [
        ("app/link", 2, None)
    ]
    assert dests(find(root, "dir")) == ["app/dir/x"]
    assert f"through a link to {tmp_path}/outside, outside the workspace" in refused(root, "out")


def test_special_files(tmp_path: Path) -> None:
    root = make(tmp_path, {"a": ""})
    os.mkfifo(root / "pipe")
    assert refused(root, ".").endswith("/pipe' is a pipe")
    assert refused(root, "pipe").endswith("/pipe' is a pipe")
    (root / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        # A socket's whole path may have 108 bytes.
        listener.bind(f"/proc/self/fd/{os.open(root, os.O_RDONLY)}/socket")
        assert refused(root, ".").endswith("/socket' is a socket")
    assert "is a device" in refused(root, "/dev/null:x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(tmp_path: Path) -> None:
    root = make(tmp_path, {"d/a": ""})
    (root / "d").chmod(0)
    try:
        assert "Permission denied" in refused(root, ".")
    finally:
        (root / "d").chmod(0o700)


def test_names(tmp_path: Path) -> None:
    root = make(tmp_path, {"a\nb": "", "c d": "", "-e": "", "'\"$`": ""})
    assert dests(find(root, ".")) == ["app/'\"$`", "app/-e", "app/a\nb", "app/c d"]
    (Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe"))).write_text("")
    assert "the name b'\\xff\\xfe' is not UTF-8" in refused(root, ".")
    assert "'/app/a\\nb'" in refused(root, "c d:a\nb", "a\nb")


def test_deep(tmp_path: Path) -> None:
    """Deeper than a stack of calls would be, and as deep as paths go."""
    root = make(tmp_path, {"a": ""})
    deep = root
    for _ in range(1200):
        deep = deep / "d"
        deep.mkdir()
    (deep / "x").write_text("")
    try:
        assert dests(find(root, ".")) == ["app/a", f"app/{'d/' * 1200}x"]
    finally:
        # What removes the directory of this test does recurse.
        (deep / "x").unlink()
        while deep != root:
            deep.rmdir()
            deep = deep.parent


def test_limits(tmp_path: Path) -> None:
    root = make(tmp_path, {"a": "123", "b": "45", "c": ""})
    assert find(root, ".", limits=Limits(files=3, size=5)).size == 5
    assert "more than 2 files" in refused(root, ".", limits=Limits(files=2))
    assert "more than 0 GiB" in refused(root, ".", limits=Limits(size=4))


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    root = make(tmp_path, {"a": ""})
    with (root / "sparse").open("wb") as file:
        file.truncate(50 << 30)
    assert find(root, ".").size == 50 << 30


def test_wants_to_know_where_the_workspace_is(tmp_path: Path) -> None:
    """A relative root would be looked for where somebody happens to be."""
    with pytest.raises(ValueError, match="want an absolute path"):
        find(Path("here"), ".")
