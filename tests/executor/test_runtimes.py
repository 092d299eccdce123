"""Local jobs in an image by a real bubblewrap and a real podman: a script that submits its own
functions, and the command line; when told to end, nothing of a container stays.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import REPOSITORY
from ..runtime.conftest import AWKWARD, ECHO, Runner
from ..runtime.test_bubblewrap import runner as bubblewrap
from ..runtime.test_podman import runner as podman

__all__ = ["bubblewrap", "podman"]

pytestmark = [pytest.mark.contract]

SCRIPT = '''\
"""A study, as a person would write it."""

import json
import sys
import time

import pixi_ship


class Fit:
    def __init__(self, seed):
        self.seed = seed


def train(seed):
    import numpy

    print("seed", seed)
    if seed == 13:
        raise ValueError("unlucky")
    return Fit(int(numpy.square(seed))), sys.prefix


def sleep():
    print("asleep", flush=True)
    time.sleep(600)


def main(image, runtime, cache):
    executor = pixi_ship.Executor(image=image, runtime=runtime, cache_dir=cache, cpus=1)
    fit, prefix = executor.submit(train, seed=7).result(timeout=120)
    jobs = executor.map_array(train, range(12, 15))
    errors = [type(job.exception(timeout=120)).__name__ for job in jobs]
    slow = executor.submit(sleep)
    while "asleep" not in slow.stdout():
        time.sleep(0.1)
    slow.cancel()
    ended = slow.exception(timeout=120)
    executor.update_parameters(time="1s")
    late = executor.submit(sleep).exception(timeout=120)
    print(json.dumps([fit.seed, prefix, errors, jobs[0].stdout(), ended.state, late.reason]))


if __name__ == "__main__":
    main(*sys.argv[1:])
'''


@pytest.fixture(
    params=[
        pytest.param("bubblewrap", marks=pytest.mark.xdist_group("bubblewrap")),
        pytest.param("podman", marks=pytest.mark.xdist_group("podman")),
    ]
)
def runner(request: pytest.FixtureRequest) -> Runner:
    found: Runner = request.getfixturevalue(request.param)
    return found


def run(runner: Runner, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=300,
        env={**os.environ, **runner.environment},
    )


def ship(runner: Runner, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(runner, folder, "-m", "pixi_ship", *words)


def left(runner: Runner) -> str:
    """Containers that are still there."""
    if runner.options[1] != "podman":
        return ""
    return subprocess.run(
        ["podman", "ps", "--all", "--quiet"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **runner.environment},
    ).stdout


def test_a_script(runner: Runner, numpy_image: str, tmp_path: Path) -> None:
    """Its functions run in the image, and instances of its classes come back."""
    (tmp_path / "study.py").write_text(SCRIPT)
    words = (numpy_image, str(runner.options[1]), str(runner.cache))
    done = run(runner, tmp_path, "study.py", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        *(49, "/app/.pixi/envs/default", ["NoneType", "ValueError", "NoneType"]),
        *("seed 12\n", "cancelled", "timeout"),
    ]
    assert left(runner) == ""


ASKED = '"slurm", image="docker://ghcr.io/me/fit:1", cpus=4, memory="8G", time="2h"'


def test_the_example_of_the_page(bubblewrap: Runner, numpy_image: str, tmp_path: Path) -> None:
    """As it stands there, but for image and scheduler."""
    page = (REPOSITORY / "docs" / "how-to" / "python.md").read_text()
    script = page.partition("```python\n")[2].partition("```")[0]
    here = f'image="{numpy_image}", runtime="bubblewrap", cache_dir="{bubblewrap.cache}"'
    assert script.count(ASKED) == 1
    script = script.replace(ASKED, here).replace("range(30)", "range(4)")
    (tmp_path / "study.py").write_text(script)
    done = run(bubblewrap, tmp_path, "study.py")
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first.endswith(str(tmp_path / "jobs" / "train-1"))
    assert (second, round(float(third))) == ("2.0", 1)
    assert (tmp_path / "jobs" / "train-2" / "task-3" / "stdout.txt").read_text() == "seed 3\n"


def test_the_command_line(runner: Runner, numpy_image: str, tmp_path: Path) -> None:
    """Each verb a process of its own, all after the one that submitted has ended."""
    common = (*runner.options, "--cache-dir", str(runner.cache))
    code = f"{ECHO}; import os; print(os.getcwd(), os.environ['A']); open('made', 'w')"
    more = ("--array", "3-4", "--env", "A=x, 'y'", "--workdir", "/data/run")
    command = ("python", "-c", code, "{index}", *AWKWARD)
    done = ship(runner, tmp_path, "submit", "local", numpy_image, *common, *more, "--", *command)
    assert done.returncode == 0, done.stderr
    job = done.stdout.strip()
    assert job == str(tmp_path / "jobs" / "Layout-1")
    followed = ship(runner, tmp_path, "logs", "--follow", job, "--task", "4").stdout
    words, place = followed.splitlines()
    assert json.loads(words) == ["4", *AWKWARD]
    assert place == "/data/run x, 'y'"
    waited = ship(runner, tmp_path, "wait", job, "--json")
    assert waited.returncode == 0
    rows: list[dict[str, Any]] = json.loads(waited.stdout)["tasks"]
    assert [(row["index"], row["state"]) for row in rows] == [(3, "done"), (4, "done")]
    assert Path(job, "task-3", "made").exists()
    by_hand = subprocess.run(
        ["sh", f"{job}/Layout.sh", "3"],
        capture_output=True,
        text=True,
        env={**os.environ, **runner.environment},
    )
    assert json.loads(by_hand.stdout.splitlines()[0])[0] == "3"


def test_a_dry_run_starts_nothing(runner: Runner, numpy_image: str, tmp_path: Path) -> None:
    common = (*runner.options, "--cache-dir", str(runner.cache), "--dry-run", "--name", "fit")
    done = ship(runner, tmp_path, "submit", "local", numpy_image, *common, "--", "true")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("==> fit.sh <==\n#!/bin/sh\n")
    assert done.stdout.splitlines()[-1].endswith("fit.sh fit.supervisor.log")
    assert not (tmp_path / "jobs").exists()


def test_what_local_refuses(runner: Runner, numpy_image: str, tmp_path: Path) -> None:
    common = (*runner.options, "--cache-dir", str(runner.cache))
    for options, words in (
        (("--after", "1"), "waits for no other"),
        (("--host", "login"), "for this machine alone"),
    ):
        done = ship(
            runner, tmp_path, "submit", "local", numpy_image, *common, *options, "--", "true"
        )
        assert done.returncode == 2
        assert words in done.stderr
    assert not list(tmp_path.glob("jobs/*"))
