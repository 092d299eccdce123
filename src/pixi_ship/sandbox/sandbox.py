"""One command in a mount namespace of its own, by ``bwrap`` (bubblewrap).

It sees what was mounted for it and nothing else: no home, no credentials, no environment of
the caller's, a process table of its own, and a network only where it was given one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.errors import SandboxError
from pixi_ship.sandbox.process import Outcome, gone, run_to_end

# What a compiler, an interpreter and a resolver of names need of this machine's /etc. Not all of
# /etc/ssl and /etc/pki: there are private keys in them.
_ETC = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "nsswitch.conf", "hosts"),
    *("ssl/certs", "ssl/openssl.cnf", "pki/ca-trust", "pki/tls/certs", "pki/tls/cert.pem"),
    *("ca-certificates", "localtime", "protocols", "services"),
)
_ETC_NETWORK = ("resolv.conf",)
_SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt")
_NAMES = "user:x:{uid}:{gid}::{home}:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
HOME = "/home/user"
PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or directory of this machine as the command sees it."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """Where commands run.

    program: ``bwrap``'s path. root: an unpacked root filesystem, shown read-only; None for this
    machine's own system directories. uid, gid: who the command is, whoever the caller is.
    hostname: how the machine calls itself.
    """

    program: str
    root: Path | None = None
    uid: int
    gid: int
    hostname: str = "sandbox"

    def run(
        self,
        command: Sequence[str],
        *,
        mounts: Sequence[Mount],
        environment: Mapping[str, str],
        directory: str,
        network: bool = False,
        timeout: float = 3600,
        largest_file: int = 16 << 30,
    ) -> Outcome:
        """Run ``command`` and wait for it; a descendant does not outlive it.

        mounts: carried out in their order; the last may lie within earlier ones, and what none
        of them covers is read-only but for /tmp, HOME and /dev/shm, which vanish. environment:
        all that the command gets, with HOME and PATH where they are not in it. directory: where
        it begins. timeout: seconds. largest_file: bytes. Raises SandboxError where the sandbox
        itself cannot be had.
        """
        with tempfile.TemporaryDirectory(prefix="pixi-ship-sandbox-") as own:
            words = self._words(Path(own), mounts, network)
            words += ["--chdir", directory, "--clearenv"]
            for name, value in {"HOME": HOME, "PATH": PATH, **environment}.items():
                words += ["--setenv", name, value]
            return self._run([*words, "--", *command], timeout, largest_file)

    def check(self) -> None:
        """Raise SandboxError where this machine does not let us make namespaces."""
        found = self.run(["/bin/true"], mounts=(), environment={}, directory="/", timeout=60)
        if found.status:
            raise SandboxError(
                f"starting {self.program}: {' '.join(found.output.split()) or found.status}",
                hint="user namespaces may be turned off here (sysctl user.max_user_namespaces, "
                "kernel.apparmor_restrict_unprivileged_userns)",
            )

    def _run(self, words: Sequence[str], timeout: float, largest_file: int) -> Outcome:
        # The program returns before the last process of the sandbox is dead; what it was told
        # to hold open is closed by then.
        reading, writing = os.pipe()
        try:
            try:
                outcome = run_to_end(
                    [words[0], "--sync-fd", str(writing), *words[1:]],
                    environment={},
                    timeout=timeout,
                    largest_file=largest_file,
                    held=writing,
                )
            except OSError as error:
                raise SandboxError(
                    f"starting {self.program}: {error.strerror}", hint="install bubblewrap"
                ) from error
            finally:
                os.close(writing)
            if not gone(reading):
                raise SandboxError(f"ending what {self.program} has started: it is still there")
        finally:
            os.close(reading)
        return outcome

    def _words(self, own: Path, mounts: Sequence[Mount], network: bool) -> list[str]:
        words = [self.program, "--unshare-all", "--die-with-parent", "--new-session"]
        words += ["--cap-drop", "ALL", "--hostname", self.hostname]
        words += ["--uid", str(self.uid), "--gid", str(self.gid)]
        words += ["--share-net"] if network else []
        words += self._of_this_machine(network) if self.root is None else self._of(self.root)
        names = own / "passwd"
        names.write_text(_NAMES.format(uid=self.uid, gid=self.gid, home=HOME))
        words += ["--ro-bind", str(names), "/etc/passwd"] if self.root is None else []
        words += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]  # noqa: S108
        words += ["--tmpfs", HOME] if self.root is None else []
        for each in mounts:
            words += ["--bind" if each.writable else "--ro-bind", str(each.source), each.target]
        # What is written beside the mounts would vanish unseen.
        return [*words, "--remount-ro", "/"]

    @staticmethod
    def _of_this_machine(network: bool) -> list[str]:
        words: list[str] = []
        for name in _SYSTEM:
            here = Path("/", name)
            if here.is_symlink():
                words += ["--symlink", str(here.readlink()), str(here)]
            elif here.is_dir():
                words += ["--ro-bind", str(here), str(here)]
        for name in (*_ETC, *(_ETC_NETWORK if network else ())):
            words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        return words

    @staticmethod
    def _of(root: Path) -> list[str]:
        words: list[str] = []
        for here in sorted(root.iterdir()):
            if here.name in ("dev", "proc", "sys", "tmp"):
                continue
            if here.is_symlink():
                words += ["--symlink", str(here.readlink()), f"/{here.name}"]
            else:
                words += ["--ro-bind", str(here), f"/{here.name}"]
        return words
