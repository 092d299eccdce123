"""A real Apptainer of Debian sid, run as root or as an ordinary user of a batch node would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

User = Literal["root", "ordinary"]

ROOT = Path(__file__).parents[2] / ".test-data" / "apptainer-root"
"""The root filesystem that `setup/apptainer_root.sh` makes."""

LIMIT = 120.0
"""Seconds that a call may take unless it says otherwise."""

_ENTER = Path(__file__).with_name("enter.sh")
_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Apptainer:
    """Apptainer as one user, whose home, cache and temporary files lie in `folder`.

    It sees `folder` at the same path; of this machine's other files only what a call binds.
    """

    user: User
    folder: Path
    root: Path = ROOT

    def run(
        self,
        *words: str | Path,
        binds: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        timeout: float = LIMIT,
        typed: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run `apptainer WORDS...` in the user's home, to its end; the caller looks at the status.

        binds: files and directories to see at the same path, with the rights they have here:
        pytest's directories are for root alone, so bind the file, or open the directory.
        env: variables beside the few of a fresh login.
        timeout: in seconds; then all its processes are killed and TimeoutExpired is raised.
        typed: what it reads from its standard input.
        """
        return self._enter(["apptainer", *map(str, words)], binds, env or {}, timeout, typed)

    def version(self) -> tuple[int, ...]:
        """The numbers of its version."""
        said = self.run("version").stdout.strip()
        return tuple(int(number) for number in said.partition("-")[0].split("."))

    def available(self) -> str | None:
        """Why Apptainer cannot run here as this user; None where it can."""
        if os.geteuid() != 0:
            return "Apptainer: only root can enter a root filesystem"
        if not (self.root / "usr" / "bin" / "apptainer").exists():
            return f"no {self.root.name} here (make setup makes it where Debian sid is in reach)"
        # What Apptainer does first where it has no setuid program, as here.
        probe = ["unshare", "--user", "--map-root-user", "--mount", "apptainer", "version"]
        done = self._enter(probe, (), {}, LIMIT)
        return f"Apptainer as {self.user}: {done.stderr.strip()}" if done.returncode else None

    def ids(self) -> tuple[int, int]:
        """The user and group that its processes run as."""
        return self._login()[:2]

    def _login(self) -> tuple[int, int, str]:
        """The user's uid, gid and home, from the root filesystem's passwd(5)."""
        for line in (self.root / "etc" / "passwd").read_text().splitlines():
            name, _, uid, gid, _, home, _ = line.split(":")
            if name == self.user:
                return int(uid), int(gid), home
        raise LookupError(f"{self.root}/etc/passwd: no user {self.user}")

    def _enter(
        self,
        command: Sequence[str],
        binds: Sequence[Path],
        env: Mapping[str, str],
        timeout: float,
        typed: str = "",
    ) -> subprocess.CompletedProcess[str]:
        uid, gid, home = self._login()
        for each in (self.folder, *(self.folder / name for name in ("home", "cache", "tmp"))):
            each.mkdir(parents=True, exist_ok=True)
            os.chown(each, uid, gid)
        mounts = [(self.folder / "home", Path(home)), *((p, p) for p in (self.folder, *binds))]
        login = {
            "APPTAINER_CACHEDIR": str(self.folder / "cache"),
            "HOME": home,
            "LC_ALL": "C.UTF-8",
            "PATH": _PATH,
            "TMPDIR": str(self.folder / "tmp"),
            "USER": self.user,
        }
        return subprocess.run(
            [
                *(*_NAMESPACES, "sh", str(_ENTER), str(self.root), self.user),
                *(str(path) for mount in mounts for path in mount),
                *("--", *command),
            ],
            input=typed,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env={**login, **env},
            timeout=timeout,
        )
