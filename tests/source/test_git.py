"""Git dependencies: the locked commit and no other; a repository that means harm gets nothing."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pixi_ship.errors import SourceError
from pixi_ship.source import git as module
from pixi_ship.source.git import Git
from pixi_ship.source.git_location import GitLocation, submodule
from pixi_ship.source.wheels import Workshop, built_wheel, known_wheel

from .projects import FLITTED, from_git, git, repository, write

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("location", "url", "subdirectory"),
    [
        (f"git+https://h/x.git#{COMMIT}", "https://h/x.git", ""),
        (f"git+https://h/x.git?rev=v1&subdirectory=a%2Fb#{COMMIT}", "https://h/x.git", "a/b"),
        (f"git+https://h/x?branch=dev%2Fnew#{COMMIT}", "https://h/x", ""),
        (f"git+https://h/x.git@{COMMIT}", "https://h/x.git", ""),
        (f"git+ssh://git@h/pallets/flask@{COMMIT}", "ssh://git@h/pallets/flask", ""),
        (f"git+https://me:token@h/x#{COMMIT.upper()}", "https://me:token@h/x", ""),
        (f"git://h/x#{COMMIT}", "git://h/x", ""),
    ],
)
def test_a_location_is_read(location: str, url: str, subdirectory: str) -> None:
    found = GitLocation.parse(location)
    assert found == GitLocation(url, COMMIT, subdirectory)
    assert "token" not in f"{found} {found.key}"


@pytest.mark.hostile
@pytest.mark.parametrize(
    "location",
    [
        "git+https://me:token@h/x.git",
        "git+https://h/x.git#main",
        "git+https://h/x.git@v1.3.1",
        f"git+ext::sh -c evil#{COMMIT}",
        f"git+ext://sh#{COMMIT}",
        f"git+-upload-pack=evil#{COMMIT}",
        f"git+/local/path#{COMMIT}",
        f"git+https://h/x?subdirectory=../../etc#{COMMIT}",
        f"git+https://h/x#{COMMIT[:7]}",
    ],
)
def test_what_is_no_location_of_a_commit(location: str) -> None:
    with pytest.raises(SourceError) as raised:
        GitLocation.parse(location)
    assert "token" not in str(raised.value)


def test_a_commit_that_is_not_there(workshop: Workshop, tmp_path: Path) -> None:
    repository(tmp_path / "origin", FLITTED)
    with pytest.raises(SourceError, match="no such commit") as raised:
        built_wheel(from_git("flitted", tmp_path / "origin", COMMIT), workshop)
    assert "pixi update" in str(raised.value.hint)
    with pytest.raises(SourceError, match="fetching file:///"):
        built_wheel(from_git("flitted", tmp_path / "nowhere", COMMIT), workshop)


def test_a_server_that_gives_no_lone_commits(workshop: Workshop, tmp_path: Path) -> None:
    """One that answers for branches only; the commit lies behind the branch's end."""
    commit = repository(tmp_path / "origin", FLITTED)
    repository(tmp_path / "origin", {"flitted.py": "newer"})
    git(tmp_path / "origin", "config", "uploadpack.allowAnySHA1InWant", "false")
    assert built_wheel(from_git("flitted", tmp_path / "origin", commit), workshop).version == "0.3"


def test_offline_a_wheel_that_was_built_is_still_known(workshop: Workshop, tmp_path: Path) -> None:
    commit = repository(tmp_path / "origin", FLITTED)
    source = from_git("flitted", tmp_path / "origin", commit)
    offline = replace(workshop, offline=True)
    with pytest.raises(SourceError, match="--offline forbids"):
        built_wheel(source, offline)
    wheel = built_wheel(source, workshop)
    (tmp_path / "origin").rename(tmp_path / "gone")
    assert built_wheel(source, offline) == known_wheel(source, offline) == wheel


@pytest.mark.hostile
def test_nothing_that_the_users_settings_name_is_started(
    workshop: Workshop, tmp_path: Path
) -> None:
    marker, program = tmp_path / "started", tmp_path / "evil"
    program.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    program.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("post-checkout", "reference-transaction", "post-merge", "post-index-change"):
        (hooks / hook).symlink_to(program)
    settings = tmp_path / "gitconfig"
    settings.write_text(
        f"[core]\n\thooksPath = {hooks}\n\tfsmonitor = {program}\n\tautocrlf = true\n"
        f'[filter "evil"]\n\tsmudge = {program}\n\tclean = {program}\n\trequired = true\n'
    )
    (program.parent / "ignored").touch()
    origin = tmp_path / "origin"
    commit = repository(origin, {**FLITTED, ".gitattributes": "*.py filter=evil eol=crlf\n"})
    variables = {**workshop.environment, "GIT_CONFIG_GLOBAL": str(settings)}
    variables |= {"GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/nowhere", "GIT_INDEX_FILE": "/nowhere"}
    into, scratch = tmp_path / "into", tmp_path / "scratch"
    into.mkdir()
    scratch.mkdir()
    location = GitLocation.parse(from_git("flitted", origin, commit).location)
    Git("git", variables).write_commit(location, scratch, into)
    assert (into / "flitted.py").read_bytes() == FLITTED["flitted.py"].encode()
    assert not marker.exists()


def made_of(place: Path, *rows: tuple[str, str, bytes]) -> str:
    """A commit whose tree is made by hand: mode, name and content of each entry."""
    repository(place, FLITTED)
    listed = b""
    for mode, name, content in rows:
        done = subprocess.run(
            ["git", "-C", place, "hash-object", "-w", "--stdin"], input=content, capture_output=True
        )
        digest = bytes.fromhex(done.stdout.decode().strip())
        listed += mode.encode() + b" " + name.encode() + b"\0" + digest
    tree = subprocess.run(
        ["git", "-C", place, "hash-object", "-t", "tree", "-w", "--stdin", "--literally"],
        input=listed,
        capture_output=True,
        check=True,
    ).stdout.decode()
    commit = git(place, "commit-tree", "-m", "by hand", tree.strip())
    git(place, "update-ref", "refs/heads/hostile", commit)
    return commit


@pytest.mark.hostile
@pytest.mark.parametrize(
    "rows",
    [
        [("100644", "../escaped", b"x")],
        [("100644", "..", b"x")],
        [("100644", ".git/hooks/post-checkout", b"x")],
        [("100644", ".GIT", b"x")],
        [("120000", "link", b"/etc/passwd")],
        [("120000", "link", b"../../escaped")],
        [("120000", "link", b"/tmp"), ("100644", "link/escaped", b"x")],
        [("120000", "setup.py", b"flitted.py"), ("100644", "setup.py", b"x")],
    ],
)
def test_a_tree_that_leads_out_is_refused(
    workshop: Workshop, tmp_path: Path, rows: list[tuple[str, str, bytes]]
) -> None:
    commit = made_of(tmp_path / "origin", *rows)
    with pytest.raises(SourceError):
        built_wheel(from_git("flitted", tmp_path / "origin", commit), workshop)
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("parent", "url", "becomes"),
    [
        ("https://h/a/b.git", "../c.git", "https://h/a/c.git"),
        ("https://h/a/b", "./c", "https://h/a/b/c"),
        ("https://h/a/b", "../../../../c", "https://h/c"),
        ("ssh://git@h/a/b", "../c", "ssh://git@h/a/c"),
        ("https://h/a/b", "git@h:c/d.git", "ssh://git@h/c/d.git"),
        ("https://h/a/b", "https://other/c", "https://other/c"),
        ("file:///srv/a", "file:///srv/b", "file:///srv/b"),
        ("https://h/a/b", "file:///etc", None),
        ("https://h/a/b", "/etc", None),
        ("https://h/a/b", "ext::sh -c evil", None),
        ("https://h/a/b", "ext://sh", None),
        ("https://h/a/b", "-u./evil", None),
        ("https://h/a/b", "ssh://-oProxyCommand=evil/x", None),
        ("https://h/a/b", "", None),
    ],
)
def test_where_a_submodule_may_be(parent: str, url: str, becomes: str | None) -> None:
    text = f'[submodule "m"]\n\tpath = lib/m\n\turl = {url}\n'.encode()
    where = GitLocation(parent, COMMIT)
    if becomes is None:
        with pytest.raises(SourceError, match="submodule 'lib/m'"):
            submodule(where, "lib/m", COMMIT, text)
    else:
        assert submodule(where, "lib/m", COMMIT, text) == GitLocation(becomes, COMMIT)
    assert submodule(where, "lib/other", COMMIT, text) is None


@pytest.mark.hostile
def test_submodules_without_end(workshop: Workshop, tmp_path: Path) -> None:
    """Each commit holds the one before as a submodule."""
    origin = tmp_path / "origin"
    modules = '[submodule "m"]\n\tpath = m\n\turl = ./\n'
    commit = repository(origin, {**FLITTED, ".gitmodules": modules})
    for _ in range(12):
        git(origin, "update-index", "--add", "--cacheinfo", f"160000,{commit},m")
        git(origin, "commit", "-q", "-m", "deeper")
        commit = git(origin, "rev-parse", "HEAD")
    with pytest.raises(SourceError, match="submodules lie more than"):
        built_wheel(from_git("flitted", origin, commit), workshop)


@pytest.mark.hostile
def test_a_commit_that_is_too_large(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository(tmp_path / "origin", {**FLITTED, "big": "x" * 5000})
    monkeypatch.setattr(module, "_MAX_SIZE", 4000)
    with pytest.raises(SourceError, match="its files are larger"):
        built_wheel(from_git("flitted", tmp_path / "origin", commit), workshop)


@pytest.mark.hostile
def test_a_login_in_the_address_is_not_shown(workshop: Workshop, tmp_path: Path) -> None:
    source = replace(
        from_git("flitted", tmp_path, COMMIT),
        location=f"git+http://me:hunter2@127.0.0.1:1/x.git#{COMMIT}",
    )
    with pytest.raises(SourceError, match=r"127\.0\.0\.1") as raised:
        built_wheel(source, workshop)
    assert "hunter2" not in f"{raised.value} {raised.value.hint}"


def test_without_git(workshop: Workshop, tmp_path: Path) -> None:
    variables = {**workshop.environment, "PATH": str(tmp_path)}
    with pytest.raises(SourceError, match="starting git") as raised:
        built_wheel(from_git("flitted", tmp_path, COMMIT), replace(workshop, environment=variables))
    assert raised.value.hint == "install git"


def test_execute_bits_and_links_come_along(tmp_path: Path, variables: dict[str, str]) -> None:
    origin = write(tmp_path / "origin", {**FLITTED, "run.sh": "#!/bin/sh\n"})
    (origin / "run.sh").chmod(0o755)
    (origin / "link").symlink_to("run.sh")
    commit = repository(origin, {})
    for each in ("scratch", "into"):
        (tmp_path / each).mkdir()
    location = GitLocation.parse(f"git+file://{origin}#{commit}")
    project = Git("git", variables).write_commit(location, tmp_path / "scratch", tmp_path / "into")
    assert os.access(project / "run.sh", os.X_OK)
    assert not os.access(project / "flitted.py", os.X_OK)
    assert (project / "link").readlink() == Path("run.sh")
    assert not (project / ".git").exists()
