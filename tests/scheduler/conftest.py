"""A job's directory, and programs on PATH that answer as a scheduler's do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pixi_ship.job.spec import Tasks
from pixi_ship.scheduler.command import LocalCommands
from pixi_ship.scheduler.record import JobRecord, SchedulerName


class Programs:
    """Programs in a directory; each notes its words in ``calls``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        folder.mkdir()

    def add(self, name: str, said: str = "", *, status: int = 0, error: str = "") -> None:
        """A program that says this, and ends so."""
        path = self.folder / name
        (self.folder / f"{name}.out").write_text(said)
        (self.folder / f"{name}.err").write_text(error)
        path.write_text(
            f'#!/bin/sh\necho "{name} $*" >>"{self.calls}"\n'
            f'cat "{path}.err" >&2\ncat "{path}.out"\nexit {status}\n'
        )
        path.chmod(0o755)

    @property
    def commands(self) -> LocalCommands:
        return LocalCommands({"PATH": f"{self.folder}:/usr/bin:/bin"})


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "bin")


Recorded = Callable[[SchedulerName, Tasks | None], JobRecord]


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """A function that makes the record of a job, and its directories."""

    def make(scheduler: SchedulerName, tasks: Tasks | None = None) -> JobRecord:
        record = JobRecord(tmp_path / "fit-1", scheduler, "12", "fit", "sif:x", tasks, ("out",))
        for index in record.indices:
            record.task_directory(index).mkdir(parents=True, exist_ok=True)
        record.save()
        return record

    return make
