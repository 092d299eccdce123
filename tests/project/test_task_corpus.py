"""Every task of real workspaces becomes a command or is refused with a reason, none by accident."""

from __future__ import annotations

from collections import Counter

import pytest

from pixi_ship.errors import PixiShipError, TaskError
from pixi_ship.project.task import task_command
from pixi_ship.project.task_table import task_tables
from pixi_ship.workspace import find_workspace

from ..conftest import SHARED

CORPUS = SHARED / "corpus"
TARGETS = ("linux-64", "linux", "unix")
# Manifests lie there alone: a task that runs in a directory has none.
WANT = {
    "program": 502,
    "shell script": 311,
    "calls pixi": 157,
    "working directory": 69,
    "arguments": 20,
    "no such task": 17,
    "template": 8,
    "shell": 6,
    "another environment": 3,
}


@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared is not here: no corpus to test with")
def test_all_tasks() -> None:
    found: Counter[str] = Counter()
    for directory in sorted(each for each in CORPUS.iterdir() if each.is_dir()):
        try:
            workspace = find_workspace(directory, search_upward=False)
        except PixiShipError:
            continue
        for environment in workspace.environments:
            for name in task_tables(workspace, environment, TARGETS):
                try:
                    made = task_command(workspace, environment, TARGETS, "linux-64", name)
                except TaskError as error:
                    found[error.obstacle if error.hint else "no way out"] += 1
                else:
                    script = made.words[:2] == ("/bin/sh", "-c")
                    found["shell script" if script else "program"] += 1
    assert dict(found) == WANT
