"""Jobs under a real podman: words, exit codes, signals and streams pass, and each imitation gives
the user, home, directory and variables that it says.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ..contract.tools import need, output, working_podman
from ..registry.fake import FakeRegistry
from .conftest import AWKWARD, BASE, ECHO, Runner
from .test_bubblewrap import HANDLER, PREFIX, said

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("podman")]


@pytest.fixture(scope="module")
def runner(image_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    need("podman")
    archive = BASE.removeprefix("oci:").removesuffix("/base:bookworm") + "/base.docker.tar"
    # Podman takes no longer run root than 50 characters, which pytest's folders exceed.
    with TemporaryDirectory(prefix="ship-") as folder:
        podman = working_podman(Path(folder), f"docker-archive:{archive}")
        store = f"{podman.store}/root", f"{podman.store}/run"
        config = Path(folder, "storage.conf")
        config.write_text(
            f'[storage]\ndriver = "{podman.driver}"\n'
            f'graphroot = "{store[0]}"\nrunroot = "{store[1]}"\n'
        )
        environment = {
            "CONTAINERS_STORAGE_CONF": str(config),
            "FROM_HOST": "seen",
            "PIXI_SHIP_PODMAN_OPTIONS": shlex.join([*podman.runtime, *podman.limits]),
        }
        work = tmp_path_factory.mktemp("podman")
        yield Runner(image_cache, work, ("--runtime", "podman"), environment)
        podman.forget()


def test_words(runner: Runner, numpy_image: str) -> None:
    assert json.loads(said(runner, numpy_image, "--", "python", "-c", ECHO, *AWKWARD)) == [*AWKWARD]


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("nosuch", 127)])
def test_exit_codes(runner: Runner, numpy_image: str, script: str, status: int) -> None:
    assert runner(numpy_image, "--", "sh", "-c", script).returncode == status


def test_killed(runner: Runner, numpy_image: str) -> None:
    """As in a shell: the first process of a container cannot kill itself, another can."""
    script = "sh -c 'kill -KILL $$'; exit $?"
    assert runner(numpy_image, "--", "sh", "-c", script).returncode == 137


def test_streams(runner: Runner, numpy_image: str) -> None:
    done = runner(numpy_image, "--", "sh", "-c", "cat; echo two >&2", stdin="one\n")
    assert (done.stdout, done.stderr) == ("one\n", "two\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1, signal.SIGTERM])
def test_signals(runner: Runner, numpy_image: str, number: signal.Signals) -> None:
    with runner.begin(numpy_image, "--", "python", "-c", HANDLER) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        # Podman loses what comes in the moment between the start and its own handlers.
        for _ in range(60):
            job.send_signal(number)
            if select.select([job.stdout], [], [], 1)[0]:
                break
        assert job.stdout.read() == f"{int(number)}\n"
        assert job.wait() == 40 + number


SHOW = 'pwd; echo "$HOME|$_CONDOR_SCRATCH_DIR|$FROM_HOST|$CONDA_PREFIX"; touch "$PWD"/made; '
SHOW += "touch /usr/made 2>/dev/null && echo writable"


@pytest.mark.parametrize(
    ("like", "shown", "writable"),
    [
        (None, "/root||", True),
        # The home of the host is named and not there: our entrypoint finds another one.
        ("htcondor", "/tmp|{here}|", True),
        ("slurm", "{home}||seen", False),
    ],
)
def test_surroundings(
    runner: Runner, numpy_image: str, like: str | None, shown: str, writable: bool, tmp_path: Path
) -> None:
    here, options = str(runner.directory), ["--like", like] if like else []
    home = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": "", "PYTHONPATH": "/mine"}
    done = runner(numpy_image, *options, "--", "sh", "-c", SHOW, env=home)
    first, second, *rest = done.stdout.splitlines()
    assert first == here, done.stderr
    if like or os.geteuid() == 0:
        assert second == f"{shown}|{PREFIX}".format(home=tmp_path, here=here)
    assert rest == (["writable"] if writable else [])
    made = (runner.directory / "made").stat()
    assert (made.st_uid, made.st_gid) == (os.getuid(), os.getgid())
    (runner.directory / "made").unlink()


def test_binds_and_variables(runner: Runner, numpy_image: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("bound\n")
    script = 'cat /in/file; touch /in/x 2>/dev/null || echo read-only; pwd; echo "$A|$FROM_HOST"'
    shown = said(
        *(runner, numpy_image, "--bind", f"{tmp_path}:/in:ro", "--workdir", "/in"),
        *("--env", "A=x, 'y'", "--env", "FROM_HOST", "--", "sh", "-c", script),
    )
    assert shown.splitlines() == ["bound", "read-only", "/in", "x, 'y'|seen"]


def test_from_a_registry(runner: Runner, numpy_image: str) -> None:
    """By its digest, over HTTP where we speak HTTP."""
    need("skopeo")
    with FakeRegistry() as registry:
        reference = f"docker://{registry.address}/lab/numpy:1"
        copy = ("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false")
        output(*copy, numpy_image, reference)
        assert said(runner, reference, "--", "greet").startswith("hello world")


def test_without_a_terminal_there_is_none(runner: Runner, numpy_image: str) -> None:
    code = "import sys; print(sys.stdin.isatty(), sys.stdout.isatty())"
    assert said(runner, numpy_image, "--", "python", "-c", code) == "False False"
