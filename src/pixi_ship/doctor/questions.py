"""Questions to programs of this machine, each bounded in time and in length."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field

_SECONDS = 10.0
_LONGEST = 32 << 20  # bytes; a pool of many thousand slots says less


@dataclass(frozen=True, slots=True)
class Questions:
    """Runs programs with the variables in ``environment``; seconds: for each to answer."""

    environment: Mapping[str, str] = field(repr=False)
    seconds: float = _SECONDS

    def which(self, program: str) -> str | None:
        """Where a program is; None where it is not."""
        return shutil.which(program, path=self.environment.get("PATH", ""))

    def answer(self, *words: str, also_stderr: bool = False) -> str | None:
        """What a program prints; None where it is missing, fails, or says nothing in time."""
        # Into a file: a grandchild that holds a pipe open would be waited for.
        with tempfile.TemporaryFile() as out:
            try:
                done = subprocess.run(
                    list(words),
                    env={**self.environment, "LC_ALL": "C"},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT if also_stderr else subprocess.DEVNULL,
                    timeout=self.seconds,
                )
            except (OSError, ValueError, subprocess.TimeoutExpired):
                return None
            if done.returncode:
                return None
            out.seek(0)
            return out.read(_LONGEST).decode("utf-8", "replace")
