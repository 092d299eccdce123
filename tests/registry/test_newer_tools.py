"""Fetching programs of newer Debian suites is free when they are there, and never stops a setup."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from ..contract.tools import need, need_newer, run

SCRIPT = Path(__file__).parents[2] / "setup" / "newer_tools.sh"


def test_nothing_is_done_when_all_is_there(tmp_path: Path) -> None:
    """Neither apt nor anything else that could fetch is in reach here, and none is missed."""
    tools = tmp_path / "data" / "tools" / "bin"
    tools.mkdir(parents=True)
    for name in ("crane", "oras"):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(0o755)
    commands = tmp_path / "commands"
    commands.mkdir()
    for name in ("sh", "mkdir"):
        (commands / name).symlink_to(f"/bin/{name}")
    done = run("/bin/sh", SCRIPT, tmp_path / "data", env={"PATH": str(commands)})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_suite_out_of_reach_is_said_in_one_line(tmp_path: Path) -> None:
    """The mirror is a port of this machine at which nobody listens."""
    need("apt-get", "dpkg-deb")
    name = platform.freedesktop_os_release().get("VERSION_CODENAME", "none")
    source = tmp_path / "sources.list"
    source.write_text(f"deb http://127.0.0.1:9/debian {name} main\n")
    config = tmp_path / "apt.conf"
    config.write_text(
        f'Dir::Etc::SourceList "{source}";\nDir::Etc::SourceParts "/dev/null";\n'
        'Acquire::http::Proxy "DIRECT";\n'
    )
    into = tmp_path / "data"
    done = run("/bin/sh", SCRIPT, into, env={"APT_CONFIG": str(config)})
    assert (done.returncode, done.stdout) == (0, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("not fetched: crane oras (")
    assert "skipped" in line
    assert [path.name for path in into.rglob("*")] == ["tools", "bin"]


def test_tests_then_skip_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.contract.tools.PATH", str(tmp_path))
    monkeypatch.setattr("tests.contract.tools.IN_CI", True)
    with pytest.raises(pytest.skip.Exception, match="crane"):
        need_newer("crane")
