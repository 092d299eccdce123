"""The Apptainer that judges our SIF files is a real one: as root and as an ordinary user it runs a
SIF file of its own making. What it is shown is what a call binds, and nothing stays behind.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from .conftest import Sif
from .runtime import Apptainer

PREFIX = "/app/.pixi/envs/default"

# As root the kernel mounts the file, for others FUSE does; --debug tells which.
MOUNTED_BY = {"root": r"Mounting loop device", "ordinary": r"Executing \S*squashfuse"}

MARK = "STARTED_BY"
"""The variable that every process of a call carries in these tests."""


def test_it_is_an_apptainer_of_today(apptainer: Apptainer) -> None:
    assert apptainer.version() >= (1, 4)


def test_exec(apptainer: Apptainer, foreign_sif: Sif) -> None:
    words = ["python", "-c", "import os, numpy; print(os.getuid(), numpy.ones((3, 3)).sum())"]
    done = apptainer.run("exec", foreign_sif.path, *words, binds=[foreign_sif.path])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(apptainer.ids()[0]), "9.0"]


def test_exec_mounts_the_file(apptainer: Apptainer, foreign_sif: Sif) -> None:
    """An Apptainer that unpacked the file first would judge less of it."""
    done = apptainer.run("--debug", "exec", foreign_sif.path, "true", binds=[foreign_sif.path])
    assert done.returncode == 0, done.stderr
    assert re.search(MOUNTED_BY[apptainer.user], done.stderr)


def test_build(apptainer: Apptainer) -> None:
    """Temporary files and results go where the user may write."""
    home = apptainer.folder / "home"
    (home / "nothing.def").write_text("Bootstrap: scratch\n")
    done = apptainer.run("build", "nothing.sif", "nothing.def")
    assert done.returncode == 0, done.stderr
    made = (home / "nothing.sif").stat()
    assert (made.st_uid, made.st_gid) == apptainer.ids()


@pytest.mark.parametrize("contained", [False, True])
def test_exec_contained(apptainer: Apptainer, foreign_sif: Sif, contained: bool) -> None:
    """What HTCondor asks for: no home and no variables of the host."""
    (apptainer.folder / "home" / "of-the-host").touch()
    options = ["--containall", "--cleanenv"] if contained else []
    script = 'echo "variable ${FROM_HOST-}"; [ ! -e "$HOME"/of-the-host ] || echo home'
    done = apptainer.run(
        *["exec", *options, str(foreign_sif.path), "sh", "-c", script],
        binds=[foreign_sif.path],
        env={"FROM_HOST": "seen"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == (["variable "] if contained else ["variable seen", "home"])


def test_run(apptainer: Apptainer, foreign_sif: Sif) -> None:
    code = "import sys; print(sys.prefix, sys.argv[1:]); sys.exit(7)"
    words = ["python", "-c", code, "two  spaces", ""]
    done = apptainer.run("run", foreign_sif.path, *words, binds=[foreign_sif.path])
    assert done.returncode == 7, done.stderr
    assert done.stdout.strip() == f"{PREFIX} ['two  spaces', '']"


def test_inspect(apptainer: Apptainer, foreign_sif: Sif) -> None:
    done = apptainer.run("inspect", "--json", foreign_sif.path, binds=[foreign_sif.path])
    assert done.returncode == 0, done.stderr
    labels = json.loads(done.stdout)["data"]["attributes"]["labels"]
    assert labels["pixi-ship.lock.digest"] == foreign_sif.report["lock_digest"]


def test_what_is_not_bound_is_not_there(apptainer: Apptainer, foreign_sif: Sif) -> None:
    done = apptainer.run("exec", foreign_sif.path, "true")
    assert done.returncode == 255
    assert "no such file" in done.stderr


@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_what_is_bound_has_the_rights_that_it_has_here(
    apptainer: Apptainer, foreign_sif: Sif, tmp_path: Path, mode: int
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    words: list[str | Path] = ["exec", "--bind", shared, foreign_sif.path, "touch", shared / "file"]
    done = apptainer.run(*words, binds=[foreign_sif.path, shared])
    if apptainer.user == "ordinary" and mode == 0o755:
        assert done.returncode == 1
        assert "Permission denied" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        made = (shared / "file").stat()
        assert (made.st_uid, made.st_gid) == apptainer.ids()


def test_nothing_is_left_after_a_job(
    apptainer: Apptainer, foreign_sif: Sif, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    script = f"until [ -e {tmp_path}/stop ]; do sleep 0.1; done"
    words: list[str | Path] = ["exec", "--bind", tmp_path, foreign_sif.path, "sh", "-c", script]
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(
            lambda: apptainer.run(
                *words, binds=[foreign_sif.path, tmp_path], env={MARK: str(tmp_path)}
            )
        )
        # While it runs its traces are seen, so that seeing none means something below.
        wait_until(lambda: job.done() or "sleep" in processes(tmp_path))
        (tmp_path / "stop").touch()
        done = job.result()
    assert done.returncode == 0, done.stderr
    wait_until(lambda: not processes(tmp_path) and not loops(foreign_sif.path))
    assert not mounts(apptainer)


def test_nothing_is_left_after_the_time_is_up(
    apptainer: Apptainer, foreign_sif: Sif, tmp_path: Path
) -> None:
    words: list[str | Path] = ["exec", foreign_sif.path, "sh", "-c", "echo begun; sleep 1000"]
    for limit in (3, 10, 30, 100):  # seconds: a busy machine may take long to begin
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            apptainer.run(
                *words, binds=[foreign_sif.path], env={MARK: str(tmp_path)}, timeout=limit
            )
        if "begun" in str(caught.value.stdout):
            break
    else:
        pytest.fail(f"the job did not begin within {limit} s")
    wait_until(lambda: not processes(tmp_path) and not loops(foreign_sif.path))
    assert not mounts(apptainer)


def test_without_a_root_filesystem_it_says_so(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gets to the second question")
    missing = Apptainer("root", tmp_path, root=tmp_path / "apptainer-root")
    assert "no apptainer-root here (make setup" in str(missing.available())


def test_without_root_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "only root" in str(Apptainer("ordinary", tmp_path).available())


def test_a_root_filesystem_that_cannot_be_entered(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gets as far as trying")
    root = tmp_path / "apptainer-root"
    for name, text in {
        "usr/bin/apptainer": "",
        "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
    }.items():
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)
    reason = Apptainer("root", tmp_path, root=root).available()
    assert reason is not None
    assert reason.startswith("Apptainer as root: mount: ")


def processes(mark: Path) -> list[str]:
    """The names of the processes that a call with this mark has started and that still run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end meanwhile
            if f"{MARK}={mark}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "comm").read_text().strip())
    return found


def mounts(apptainer: Apptainer) -> list[str]:
    """The mounts of this process that have to do with the root filesystem or the folder."""
    table = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in table if str(apptainer.root) in line or str(apptainer.folder) in line]


def loops(file: Path) -> list[Path]:
    """The loop devices that read a file."""
    found = []
    for device in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            if device.read_text().strip() == str(file):
                found.append(device)
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """The kernel takes namespaces and loop devices apart a moment after their last process."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"still not so after {seconds:.0f} s")
        time.sleep(0.05)
