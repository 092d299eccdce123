"""Files that a command sends as a tar: nothing appears before all of them have come."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_MOST_SAID = 2000  # characters of what a command complains of


def receive(
    words: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    stdin: IO[bytes] | None = None,
) -> tuple[int, str]:
    """Unpack the tar that a command writes; returns its status, and why where that is not 0.

    Nothing leaves the directory, and nothing in it is made to belong to others (tarfile's
    ``data`` filter, PEP 706). Raises FileNotFoundError where there is no such command.
    """
    problem = ""
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            list(words),
            env=dict(environment),
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
        with process:
            try:
                with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                    tar.extractall(directory, filter="data")
            except (tarfile.TarError, OSError) as error:
                problem = str(error)
                process.kill()
            if process.stdout is not None:
                while process.stdout.read(1 << 16):  # the padding after the last member
                    pass
        complaints.seek(0)
        said = complaints.read(1 << 20).decode("utf-8", "replace").strip()[-_MOST_SAID:]
    status = process.returncode or (1 if problem else 0)
    return status, said or problem or f"status {status}"


def move_in(fresh: Path, directory: Path, last: str) -> None:
    """Move everything into a directory in place of what was there, ``last`` at the end."""
    for path in sorted(fresh.iterdir(), key=lambda each: each.name == last):
        target = directory / path.name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        path.replace(target)
