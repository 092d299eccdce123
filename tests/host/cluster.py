"""A login node on this machine: a real sshd on 127.0.0.1 with a home of its own, and a small Slurm.

Its Slurm is programs of shell: sbatch starts the script at once, the others tell what became of
it. Its apptainer takes its options away and runs the command itself.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from pixi_ship.host.connection import Connection
from pixi_ship.host.host import Host

from ..tiny import lacking

NAME = "cluster"  # in the ssh_config of these tests
SYSTEM = "/usr/bin:/bin"
SLURM = {
    "sbatch": """\
for script; do :; done
number=$(( $(cat "$state/number" 2>/dev/null || echo 11) + 1 ))
echo $number >"$state/number"
out=$(sed -n 's/^#SBATCH --output=//p' "$script")
err=$(sed -n 's/^#SBATCH --error=//p' "$script")
(
    SLURM_JOB_ID=$number setsid bash "$script" >"$out" 2>"$err" </dev/null &
    echo $! >"$state/$number"
)
echo $number
[ ! -e "$state/slow" ] || sleep 60
""",
    "squeue": """\
[ "$3" = --jobs ] || exit 1
if kill -0 "$(cat "$state/$4")" 2>/dev/null; then echo 'N/A|RUNNING|None'; fi
""",
    "scontrol": """\
[ -e "$state/cancelled-$4" ] || exit 1
echo "JobId=$4 JobState=CANCELLED ExitCode=0:15 BatchHost=n1"
""",
    "scancel": """\
touch "$state/cancelled-$1"
kill -TERM "-$(cat "$state/$1")"
""",
    "apptainer": """\
while [ "${1%.sif}" = "$1" ]; do shift; done
[ -s "$1" ] || exit 255
shift
exec "$@"
""",
}


def need_ssh() -> None:
    """Skip where there is no sshd, ssh or rsync; where CI runs, that is a failure."""
    programs = ("sshd", "ssh", "ssh-keygen", "rsync")
    missing = [each for each in programs if _which(each) is None]
    if missing:
        lacking(f"not on this machine: {', '.join(missing)} (make setup installs the programs)")


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:{SYSTEM}:/usr/sbin:/sbin")


def make_key(path: Path) -> Path:
    words = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path)
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return path


@dataclass
class Cluster:
    """The login node in ``root/far``, and this machine's side of it in ``root/near``."""

    root: Path
    host_key: Path
    user_key: Path
    port: int = 0
    server: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        for each in (self.home, self.programs, self.state, self.near / "bin"):
            each.mkdir(parents=True)
        for name, text in SLURM.items():
            self.add(name, text)

    @property
    def near(self) -> Path:
        return self.root / "near"

    @property
    def home(self) -> Path:
        return self.root / "far" / "home"

    @property
    def programs(self) -> Path:
        return self.root / "far" / "bin"

    @property
    def state(self) -> Path:
        return self.root / "far" / "state"

    @property
    def jobs(self) -> Path:
        return self.home / "pixi-ship-jobs"

    @property
    def environment(self) -> dict[str, str]:
        """What this machine's ssh and rsync are found with."""
        path = f"{self.near / 'bin'}:{SYSTEM}"
        return {"PATH": path, "XDG_RUNTIME_DIR": str(self.near), "HOME": str(self.near)}

    def add(self, name: str, text: str) -> None:
        """A program of the login node, which notes its words."""
        path = self.programs / name
        head = f'#!/bin/sh\nstate={self.state}\necho "{name} $*" >>"$state/calls"\n'
        path.write_text(head + text)
        path.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        """The words that a program there was given, each time."""
        path = self.state / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.partition(" ")[0] == name]

    def start(self, *options: str, path: str | None = None) -> None:
        """Run the sshd, with lines for its configuration and its sessions' PATH."""
        self.port = self.port or _free_port()
        path = path or f"{self.programs}:{SYSTEM}"
        config = self.root / "far" / "sshd_config"
        lines = (
            *options,
            *(f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {self.host_key}"),
            *(f"AuthorizedKeysFile {self.user_key}.pub", "StrictModes no", "UsePAM no"),
            *("PasswordAuthentication no", "KbdInteractiveAuthentication no"),
            *("PermitRootLogin yes", "PidFile none", "PrintMotd no"),
            f"SetEnv HOME={self.home} PATH={path}",
        )
        config.write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists on it
        log = (self.root / "far" / "log").open("ab")
        words = [str(_which("sshd")), "-D", "-e", "-f", str(config)]
        self.server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=log)
        self._wait()
        self.know(self.host_key)

    def know(self, host_key: Path) -> None:
        """Write this machine's ssh_config, which takes this key for the host's."""
        known = self.near / "known_hosts"
        public = host_key.with_suffix(".pub").read_text()
        known.write_text(f"[127.0.0.1]:{self.port} {public}")
        config = self.near / "ssh_config"
        config.write_text(
            f"Host {NAME} also.{NAME}\n  HostName 127.0.0.1\n  Port {self.port}\n"
            f"  User {pwd.getpwuid(os.geteuid()).pw_name}\n  IdentityFile {self.user_key}\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n"
            "  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
            # What people have there, and what must not come between.
            "  RemoteCommand echo never\n  RequestTTY force\n  ForwardAgent yes\n"
        )
        self._wrap("ssh", f"/usr/bin/ssh -F {config}")
        self._wrap("rsync", "/usr/bin/rsync")

    def _wrap(self, name: str, program: str) -> None:
        """A program of this machine that notes its words."""
        path = self.near / "bin" / name
        note = f'echo "$@" >>{self.near}/{name}-calls'
        path.write_text(f'#!/bin/sh\n{note}\nexec {program} "$@"\n')
        path.chmod(0o755)

    def called(self, name: str) -> list[str]:
        """The words that ssh or rsync was given here, each time."""
        path = self.near / f"{name}-calls"
        return path.read_text().splitlines() if path.exists() else []

    def connection(self, name: str = NAME) -> Connection:
        return Connection(name, self.environment, self.near / "sockets")

    def host(self) -> Host:
        return Host(self.connection())

    def cut(self) -> int:
        """End every session with the processes in it, as a network that goes away does."""
        assert self.server is not None
        found = list(_below(self.server.pid))
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(found)

    def stop(self) -> None:
        if self.server is None:
            return
        self.server.send_signal(signal.SIGSTOP)  # it takes nobody while its sessions end
        self.cut()
        self.server.kill()
        self.server.wait()
        self.server = None

    def end_jobs(self) -> None:
        """Kill what sbatch has started and nobody waited for."""
        for path in self.state.iterdir():
            if path.name.isdigit():
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(int(path.read_text()), signal.SIGKILL)

    def _wait(self) -> None:
        assert self.server is not None
        for _ in range(200):
            if self.server.poll() is not None:
                pytest.fail((self.root / "far" / "log").read_text())
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        pytest.fail("sshd does not listen")


def eventually(done: Callable[[], object], seconds: float = 30) -> None:
    """Wait until a function says so; the test fails where it never does."""
    for _ in range(int(seconds / 0.05)):
        if done():
            return
        time.sleep(0.05)
    pytest.fail("it never came to be")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _below(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield int(child)
        yield from _below(int(child))


def script_words(words: Sequence[str]) -> list[str]:
    """Words that print the others as a JSON list."""
    return ["python3", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words]
