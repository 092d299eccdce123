"""What a command sends as a tar appears when all of it has come, and one file after all others.

Whoever finds that file may take the rest for there.
"""

from __future__ import annotations

import io
import shlex
import tarfile
from pathlib import Path

import pytest

from pixi_ship.errors import SchedulerError
from pixi_ship.scheduler.command import LocalCommands
from pixi_ship.scheduler.receive import move_in

from .conftest import Programs
from .test_slurm import tar_of


def sends(programs: Programs, data: bytes, status: int = 0) -> LocalCommands:
    programs.add("send", status=status)
    (programs.folder / "send.out").write_bytes(data)
    return programs.commands


def test_a_tar(programs: Programs, tmp_path: Path) -> None:
    """In place of what an earlier one has left; other files stay."""
    target = tmp_path / "job"
    (target / "deep").mkdir(parents=True)
    (target / "deep" / "old").touch()
    (target / "job.json").write_text("{}")
    commands = sends(programs, tar_of({"stdout.txt": b"said", "deep/new": b"1"}))
    commands.unpack(("send",), target, "stdout.txt")
    found = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert found == ["deep/new", "job.json", "stdout.txt"]


@pytest.mark.parametrize("end", [512, 1024, 2048, 2000])
def test_a_tar_that_is_cut_off(programs: Programs, tmp_path: Path, end: int) -> None:
    """Also between two files, where its format does not tell."""
    data = tar_of({"stdout.txt": b"said", "out": b"made"})
    with pytest.raises(SchedulerError, match="send brought no files"):
        sends(programs, data[:end], status=1).unpack(("send",), tmp_path / "job", "stdout.txt")
    assert list((tmp_path / "job").iterdir()) == []


def test_the_last_one_is_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh, target = tmp_path / "fresh", tmp_path / "job"
    target.mkdir()
    fresh.mkdir()
    for name in ("a", "stdout.txt", "z"):
        (fresh / name).touch()
    moved: list[str] = []
    replace = Path.replace

    def noted(path: Path, to: Path) -> Path:
        moved.append(path.name)
        return replace(path, to)

    monkeypatch.setattr(Path, "replace", noted)
    move_in(fresh, target, "stdout.txt")
    assert (moved[-1], set(moved)) == ("stdout.txt", {"a", "stdout.txt", "z"})


def test_links_and_devices_stay_out(programs: Programs, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    commands = sends(programs, buffer.getvalue())
    with pytest.raises(SchedulerError, match="send brought no files"):
        commands.unpack(("send",), tmp_path / "job", "stdout.txt")
    assert list((tmp_path / "job").iterdir()) == []


def test_no_such_command(programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(SchedulerError, match="there is no srun on this machine"):
        programs_without(programs).unpack(("srun",), tmp_path / "job", "stdout.txt")


def programs_without(programs: Programs) -> LocalCommands:
    return LocalCommands({"PATH": str(programs.folder)})


def test_the_end_of_a_file(programs: Programs, tmp_path: Path) -> None:
    path = tmp_path / shlex.quote("it's")
    path.write_bytes(b"0123456789")
    assert b"".join(programs.commands.tail(path, 7)) == b"789"
    assert b"".join(programs.commands.tail(path, 10)) == b""
    assert b"".join(programs.commands.tail(tmp_path / "none", 0)) == b""
