"""Jobs in a root filesystem that we unpacked, under a real bubblewrap: active, with words, exit
codes, signals and streams as if nothing were in between, and no more writable than is said.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ..tiny import lacking
from .conftest import AWKWARD, ECHO, Runner

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("bubblewrap")]

PREFIX = "/app/.pixi/envs/default"


@pytest.fixture(scope="module")
def runner(image_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    if shutil.which("bwrap") is None:
        lacking("not on this machine: bwrap (make setup installs it)")
    probe = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "true"]
    if (done := subprocess.run(probe, capture_output=True, text=True)).returncode:
        lacking(f"bubblewrap makes no mounts here: {done.stderr.strip()}")
    work = tmp_path_factory.mktemp("bubblewrap")
    return Runner(image_cache, work, ("--runtime", "bubblewrap"), {"FROM_HOST": "seen"})


def said(runner: Runner, *words: str | Path) -> str:
    done = runner(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("python", "-c", "import numpy; print(numpy.ones((3, 3)).sum())"), "9.0"),
        (("greet",), f"hello world from greet 1.0 in {PREFIX}"),
        (("sh", "-c", "echo $CONDA_PREFIX $ACTIV_GREETING"), f"{PREFIX} hello, activ"),
        (("sh", "-c", "echo $FROM_HOST"), ""),
        (("sh", "-c", "ls -d /proc/self /dev/null /sys/kernel | wc -l"), "3"),
    ],
)
@pytest.mark.parametrize("like", [(), ("--like", "htcondor")])
def test_active(
    runner: Runner, numpy_image: str, like: tuple[str, ...], command: tuple[str, ...], answer: str
) -> None:
    assert said(runner, numpy_image, *like, "--", *command) == answer


def test_words(runner: Runner, numpy_image: str) -> None:
    assert json.loads(said(runner, numpy_image, "--", "python", "-c", ECHO, *AWKWARD)) == [*AWKWARD]


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("nosuch", 127)]
)
def test_exit_codes(runner: Runner, numpy_image: str, script: str, status: int) -> None:
    assert runner(numpy_image, "--", "sh", "-c", script).returncode == status


def test_streams(runner: Runner, numpy_image: str) -> None:
    done = runner(numpy_image, "--", "sh", "-c", "cat; echo two >&2", stdin="one\n")
    assert (done.stdout, done.stderr) == ("one\n", "two\n")


HANDLER = """
import os, signal, time
def handle(number, frame):
    os.write(1, b"%d\\n" % number)
    os._exit(40 + number)
for number in (1, 2, 10, 15):
    signal.signal(number, handle)
os.write(1, b"ready\\n")
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGTERM])
def test_signals(runner: Runner, numpy_image: str, number: signal.Signals) -> None:
    """The command gets them, not bubblewrap, which would die and leave it behind."""
    with runner.begin(numpy_image, "--", "python", "-c", HANDLER) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        job.send_signal(number)
        assert job.stdout.read() == f"{int(number)}\n"
        assert job.wait() == 40 + number


def test_without_a_handler(runner: Runner, numpy_image: str) -> None:
    with runner.begin(numpy_image, "--", "sh", "-c", "echo ready; exec sleep 600") as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        job.send_signal(signal.SIGTERM)
        assert job.wait() == 128 + signal.SIGTERM


CAREFUL = """
import sys, time
try:
    print(sys.stdin.isatty(), "ready", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    time.sleep(0.5)
    print("cleaned up", flush=True)
    sys.exit(9)
"""


def terminal_output(handle: int) -> Iterator[bytes]:
    with suppress(OSError):  # how Linux says that the other end is closed
        while data := os.read(handle, 1000):
            yield data


def test_interrupt_at_a_terminal(runner: Runner, numpy_image: str) -> None:
    """Ctrl-C reaches the command once, and what it does then is waited for."""
    words = runner.words("-q", numpy_image, "--", "python", "-c", CAREFUL)
    process, handle = pty.fork()
    if not process:
        os.chdir(runner.directory)
        os.execv(words[0], words)
    said = b""
    for data in terminal_output(handle):
        said += data
        if b"ready" in data:
            os.write(handle, b"\x03")
    assert b"True ready" in said
    assert said.count(b"cleaned up") == 1
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9


def test_what_is_writable(runner: Runner, numpy_image: str) -> None:
    script = 'for d in / /app /usr /etc /opt/none /tmp /var/tmp /run "$PWD" "$HOME"; do '
    script += 'if touch "$d"/probe 2>/dev/null; then echo "$d"; fi; done'
    here = str(runner.directory)
    free = ["/tmp", "/var/tmp", "/run", here]
    assert said(runner, numpy_image, "--", "sh", "-c", script).splitlines() == [*free, "/tmp"]
    htcondor = said(runner, numpy_image, "--like", "htcondor", "--", "sh", "-c", script)
    assert htcondor.splitlines() == [*free, here]
    assert (runner.directory / "probe").exists()
    assert not Path("/tmp/probe").exists()


def test_like_htcondor(runner: Runner, numpy_image: str) -> None:
    script = 'pwd; echo "$HOME $_CONDOR_SCRATCH_DIR|$FROM_HOST"'
    here = str(runner.directory)
    shown = said(runner, numpy_image, "--like", "htcondor", "--", "sh", "-c", script)
    assert shown.splitlines() == [here, f"{here} {here}|"]


def test_like_slurm(runner: Runner, numpy_image: str, tmp_path: Path) -> None:
    """Home and variables get in; what the image sets wins, so no module of the home is found."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "mine").touch()
    host = {"HOME": str(home), "PYTHONPATH": str(home), "LD_LIBRARY_PATH": "/x", "DEMO_MODE": "x"}
    script = 'pwd; ls "$HOME"; echo "$FROM_HOST $PYTHONPATH $LD_LIBRARY_PATH $DEMO_MODE"'
    done = runner(numpy_image, "--like", "slurm", "--", "sh", "-c", script, env=host)
    assert done.stdout.splitlines() == [str(runner.directory), "mine", "seen   batch"]


def test_binds(runner: Runner, numpy_image: str, tmp_path: Path) -> None:
    """Also where the image has no such directory, and over a file of a directory that it has."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("bound\n")
    script = "cat /new/deep/file /app/extra; touch /new/deep/x || cat /app/pixi.toml | head -1; pwd"
    done = runner(
        *(numpy_image, "--bind", f"{tmp_path}/data:/new/deep:ro"),
        *("--bind", f"{tmp_path}/data/file:/app/extra", "--workdir", "/new"),
        *("--", "sh", "-c", script),
    )
    assert done.stdout.splitlines()[:2] == ["bound", "bound"]
    assert done.stdout.splitlines()[-1] == "/new"
    assert "Read-only" in done.stderr
    assert not (tmp_path / "data" / "x").exists()


def test_an_ordinary_user(runner: Runner, numpy_image: str, tmp_path: Path) -> None:
    """Who has no rights of root unpacks, binds and runs all the same."""
    if os.geteuid() != 0:
        pytest.skip("the other tests run as an ordinary user already")
    if shutil.which("setpriv") is None:
        lacking("not on this machine: setpriv")
    probe = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "bwrap"]
    trial = subprocess.run([*probe, "--ro-bind", "/", "/", "true"], capture_output=True, text=True)
    if trial.returncode:
        lacking(f"bubblewrap as an ordinary user: {trial.stderr.strip()}")
    line = runner(numpy_image, "--dry-run", "--workdir", "/tmp", "--", "id", "-u").stdout
    above = [*runner.cache.parents, runner.cache, runner.cache / "roots"]
    modes = {path: path.stat().st_mode & 0o7777 for path in above}
    # Pytest's folders are for root alone.
    before = {path: mode for path, mode in modes.items() if mode & 0o055 != 0o055}
    try:
        for path, mode in before.items():
            path.chmod(mode | 0o055)
        done = subprocess.run(
            [*probe[:-1], "sh", "-c", line], capture_output=True, text=True, cwd="/"
        )
    finally:
        for path, mode in before.items():
            path.chmod(mode)
    assert (done.stdout, done.stderr) == ("12345\n", "")
