"""The files of a job as one text, held against a golden one."""

from __future__ import annotations

import os
from pathlib import Path

from pixi_ship.job.spec import JobFiles


def assert_golden(path: Path, files: JobFiles) -> None:
    """Compare to the byte; with REWRITE_GOLDEN set, write it anew first."""
    parts = [f"==> {file} <==\n{text}" for file, text in files.files.items()]
    parts += [f"$ {' '.join(files.submit)}\n", *(f"note: {note}\n" for note in files.notes)]
    text = "\n".join(parts)
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text
