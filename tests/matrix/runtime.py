"""What a row of the matrix is: a way to start the probe in the image."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .probe import Circumstance
from .stage import Stage

LIMIT = 120.0
"""Seconds that a runtime may take to start and end the probe."""

Done = subprocess.CompletedProcess[str]
Start = Callable[[Stage, Circumstance], Done]


class Missing(Exception):
    """This machine cannot run a runtime; the message says what it lacks."""


def need(*tools: str) -> None:
    """Raise Missing unless these programs, and root's rights, are here."""
    lacking = [tool for tool in tools if shutil.which(tool) is None]
    if lacking:
        raise Missing(f"not on this machine: {', '.join(lacking)} (make setup installs programs)")
    if os.geteuid() != 0:
        raise Missing("only root can set this up")


@dataclass(frozen=True, slots=True)
class Runtime:
    """One row.

    started: how, in words for the table. real: False for a rule that we carry out ourselves.
    group: rows that share something costly, and so a worker of pytest.
    """

    name: str
    started: str
    group: str
    start: Start
    real: bool = True


def started(
    *words: str | Path, env: Mapping[str, str], typed: str = "", cwd: Path | None = None
) -> Done:
    """Run a program with these variables and no others, to its end."""
    return subprocess.run(
        [str(word) for word in words],
        input=typed,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=dict(env),
        cwd=cwd,
        timeout=LIMIT,
    )


def last_words(done: Done) -> str:
    """What a program that failed said at its end."""
    lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
    return lines[-1]
