"""A machine of the lab: namespaces around a root filesystem, with files and a name of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError
from lab.process import Process, detach

USER = "ordinary"
"""Who submits jobs and whom they run as: the same name and number on every machine."""

HOME = f"/home/{USER}"
SCRATCH = "/scratch"
"""A directory of each machine that everybody may write to, as nodes have for jobs."""

LIMIT = 120.0
"""Seconds that a command may take unless the caller says otherwise."""

_BECOME = Path(__file__).with_name("machine.sh")
_NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid")
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

# What its disk holds: path, mode, and whose. The rest of its files is an overlay on the root.
_DISK = (
    ("home", 0o755, "root"),
    (HOME.lstrip("/"), 0o755, USER),
    (SCRATCH.lstrip("/"), 0o1777, "root"),
    ("tmp", 0o1777, "root"),
    ("var/lib/containers", 0o755, "root"),
    ("var/lib/condor", 0o755, "condor"),
)


@dataclass(slots=True)
class Machine:
    """A machine, running or not; what it wrote stays in `folder` until the lab goes.

    root: the root filesystem that it sees and cannot change. shows: files and directories of this
    machine that it sees, read-only, by the paths it has them at. process: the first of its
    processes, with which all others end.
    """

    name: str
    address: str
    root: Path
    folder: Path
    shows: Mapping[str, Path] = field(default_factory=dict)
    process: Process | None = None

    @property
    def logs(self) -> Path:
        """Its /var/log, which this machine can read too."""
        return self.folder / "logs"

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.alive()

    def prepare(self) -> None:
        """Make the directories it starts with."""
        for path in (self.folder / name for name in ("view", "changes", "work", "logs", "disk")):
            path.mkdir(parents=True)
            path.chmod(0o755)
        for name, mode, owner in _DISK:
            path = self.folder / "disk" / name
            path.mkdir(parents=True, exist_ok=True)
            os.chown(path, *self._ids(owner))
            path.chmod(mode)

    def put(self, path: str, content: str | bytes, mode: int = 0o644, owner: str = "root") -> None:
        """Write a file of its own; only before it runs: an overlay must not change underneath."""
        if self.running:
            raise LabError(f"writing {path} under {self.name}: it runs", hint="use copy_in")
        target = self.folder / "changes" / path.lstrip("/")
        for parent in reversed(target.relative_to(self.folder / "changes").parents):
            (self.folder / "changes" / parent).mkdir(mode=0o755, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        os.chown(target, *self._ids(owner))
        target.chmod(mode)

    def boot(self) -> Process:
        """Start it, without network and services; raises LabError."""
        binds = [str(word) for target, source in self.shows.items() for word in (source, target)]
        become = ["unshare", *_NAMESPACES, "--fork", "sh", str(_BECOME)]
        self.process = detach(
            f"machine {self.name}",
            [*become, str(self.root), str(self.folder), self.name, *binds],
            self.folder / "boot.log",
        )
        return self.process

    def kill(self) -> None:
        """Take its power away: all its processes end at once, and nobody is told."""
        if self.process is not None:
            self.process.kill()

    def run(
        self,
        *words: str | Path,
        user: str = USER,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: bytes | None = None,  # noqa: A002  # as subprocess.run has it
        timeout: float = LIMIT,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there, to its end; the caller looks at the status.

        cwd: the user's home unless given. env: variables beside the few of a fresh login.
        timeout: in seconds; then the command is killed and TimeoutExpired is raised.
        """
        # An empty input, or the command would read what the caller's terminal says.
        done = subprocess.run(
            self.command(*words, user=user, cwd=cwd, env=env),
            input=input or b"",
            capture_output=True,
            timeout=timeout,
        )
        said = (_text(done.stdout), _text(done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, *said)

    def output(
        self,
        *words: str | Path,
        user: str = USER,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: bytes | None = None,  # noqa: A002
        timeout: float = LIMIT,
    ) -> str:
        """What a command there prints; raises LabError with everything it said when it fails."""
        done = self.run(*words, user=user, cwd=cwd, env=env, input=input, timeout=timeout)
        if done.returncode:
            line = " ".join(map(str, words))
            said = (done.stdout + done.stderr).strip()
            raise LabError(f"{self.name}: {line}: status {done.returncode}\n{said}")
        return done.stdout

    def copy_in(self, source: Path, target: str = HOME, *, user: str = USER) -> None:
        """Copy a file or directory of this machine into a directory there, which is made."""
        self.output("mkdir", "-p", target, user=user)
        pack = ["tar", "-c", "-C", str(source.parent), "--", source.name]
        unpack = self.command("tar", "-x", "-C", target, "--no-same-owner", user=user)
        self._pipe(f"copying {source} there", pack, unpack)

    def copy_out(self, source: str, target: Path, *, user: str = USER) -> Path:
        """Copy a file or directory from there into a directory of this machine; where it is now."""
        folder, _, name = source.rpartition("/")
        target.mkdir(parents=True, exist_ok=True)
        pack = self.command("tar", "-c", "-C", folder or "/", "--", name, user=user)
        unpack = ["tar", "-x", "-C", str(target), "--no-same-owner"]
        self._pipe(f"copying {source} from there", pack, unpack)
        return target / name

    def write(self, path: str, text: str, *, mode: int = 0o644, user: str = USER) -> None:
        """Write a file there while it runs."""
        script = 'cat >"$1" && chmod "$2" "$1"'
        self.output("sh", "-c", script, "sh", path, f"{mode:o}", user=user, input=text.encode())

    def serve(self, *words: str, log: str, user: str = "root") -> None:
        """Start a program that stays, as a child of its first process; `log` lies in /var/log."""
        script = 'log=$1; shift; setsid "$@" >>"/var/log/$log" 2>&1 </dev/null &'
        self.output("sh", "-c", script, "sh", log, *_become(user), *words, user="root")

    def with_network(self, *words: str | Path) -> list[str]:
        """The words of a command that runs here, with files and user, but in its network."""
        return ["nsenter", "--target", str(self._pid()), "--net", "--", *map(str, words)]

    def command(
        self,
        *words: str | Path,
        user: str = USER,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> list[str]:
        """The words that run a command there, for those who start it themselves."""
        home = HOME if user == USER else "/root" if user == "root" else "/"
        login = {"HOME": home, "LC_ALL": "C.UTF-8", "LOGNAME": user, "PATH": _PATH, "USER": user}
        variables = [f"{name}={value}" for name, value in {**login, **(env or {})}.items()]
        return [
            *("nsenter", "--target", str(self._pid()), *_NAMESPACES, "--"),
            # Whoever ends nsenter means the command; nsenter itself would not pass that on.
            *_become(user, "--pdeathsig", "KILL"),
            *("env", "--ignore-environment", f"--chdir={cwd or home}", *variables),
            *map(str, words),
        ]

    def _pipe(self, what: str, pack: list[str], unpack: list[str]) -> None:
        with subprocess.Popen(
            pack, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as source:
            done = subprocess.run(unpack, stdin=source.stdout, capture_output=True)
            said = source.stderr.read() if source.stderr else b""
        if source.returncode or done.returncode:
            raise LabError(f"{self.name}: {what}: {_text(said + done.stderr).strip()}")

    def _pid(self) -> int:
        if self.process is None or not self.process.alive():
            raise LabError(f"{self.name} does not run", hint="python -m lab up starts it")
        return self.process.pid

    def _ids(self, user: str) -> tuple[int, int]:
        """The uid and gid of a user, from the root filesystem's passwd(5)."""
        for line in (self.root / "etc" / "passwd").read_text().splitlines():
            name, _, uid, gid, *_ = line.split(":")
            if name == user:
                return int(uid), int(gid)
        raise LabError(f"{self.root}/etc/passwd: no user {user}")


def _become(user: str, *options: str) -> list[str]:
    return ["setpriv", "--reuid", user, "--regid", user, "--init-groups", *options, "--"]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
