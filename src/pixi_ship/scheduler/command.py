"""A scheduler's commands, run here."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.errors import SchedulerError

_LIMIT = 120  # seconds that a scheduler may take to answer


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs programs of this machine with the variables in ``environment``."""

    environment: Mapping[str, str]

    def output(self, words: Sequence[str], directory: Path | None = None) -> str:
        """What a command prints; raises SchedulerError where it is missing or fails."""
        done = self._run(words, directory)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise SchedulerError(
                f"{words[0]} failed with status {done.returncode}: {' '.join(said[-3:])}"
            )
        return done.stdout

    def attempt(self, words: Sequence[str]) -> str | None:
        """What a command prints; None where it fails or is missing."""
        try:
            return self.output(words)
        except SchedulerError:
            return None

    def unpack(self, words: Sequence[str], directory: Path) -> None:
        """Unpack the tar that a command writes; raises SchedulerError.

        Nothing leaves the directory, and nothing in it is made to belong to others (tarfile's
        ``data`` filter, PEP 706).
        """
        with subprocess.Popen(
            list(words),
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                    tar.extractall(directory, filter="data")
            except (tarfile.TarError, OSError) as error:
                process.kill()
                _, said = process.communicate()
                words_said = said.decode("utf-8", "replace").strip() or str(error)
                raise SchedulerError(f"{words[0]} brought no files: {words_said}") from error
            process.communicate()

    def _run(
        self, words: Sequence[str], directory: Path | None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                list(words),
                cwd=directory,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_LIMIT,
            )
        except FileNotFoundError:
            raise SchedulerError(
                f"there is no {words[0]} on this machine",
                hint="submit from a login node, or see the files with --dry-run",
            ) from None
        except subprocess.TimeoutExpired:
            raise SchedulerError(f"{words[0]} did not answer in {_LIMIT} s") from None
