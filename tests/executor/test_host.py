"""Functions as jobs of a scheduler on a login node behind a real sshd: they travel there with their
code, and what came of them is brought here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pixi_ship.executor import Executor, Job, JobFailed
from pixi_ship.scheduler.record import read_record
from pixi_ship.scheduler.state import State

from ..host.cluster import NAME, Cluster
from ..host.conftest import cluster, keys, short_path, sif, stopped

__all__ = ["cluster", "keys", "short_path", "sif", "stopped"]

LIMIT = 60.0


@pytest.fixture
def executor(
    cluster: Cluster, study: ModuleType, sif: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Executor:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return Executor(
        "slurm",
        image=f"sif:{sif}",
        host=NAME,
        code=[tmp_path / "modules" / "study.py"],
        python=sys.executable,
    )


def test_a_whole_story(
    executor: Executor, cluster: Cluster, study: ModuleType, tmp_path: Path
) -> None:
    job = executor.submit(study.both, 1, two="it's")
    assert job.result(LIMIT) == study.Both(1, two="it's")
    assert job.directory == tmp_path / "jobs" / "both-1"
    there = read_record(job.directory).there
    assert there is not None
    assert there.host == NAME
    assert (cluster.jobs / "both-1" / "pixi_ship_result.pickle").exists()
    failed = executor.submit(study.fail, "careful")
    with pytest.raises(study.Careful):
        failed.result(LIMIT)
    assert failed.stdout() == "failing\n"
    assert failed.state is State.FAILED


LOAD = "import json, sys, pixi_ship; print(json.dumps(pixi_ship.Job.load(sys.argv[1]).result(60)))"


def test_another_process(executor: Executor, cluster: Cluster) -> None:
    job = executor.submit(json.dumps, [1])
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(job.directory)],
        capture_output=True,
        text=True,
        env=cluster.environment,
    )
    assert done.stdout == '"[1]"\n', done.stderr
    assert Job.load(job.directory).result(LIMIT) == "[1]"


def test_cancel(executor: Executor, study: ModuleType) -> None:
    job = executor.submit(study.sleep)
    while job.state is State.PENDING:
        pass
    job.cancel()
    error = job.exception(LIMIT)
    assert isinstance(error, JobFailed)
    assert error.state is State.CANCELLED
