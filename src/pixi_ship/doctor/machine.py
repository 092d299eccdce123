"""What this machine has for building images and running them."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pixi_ship.doctor.filesystem import Mount, existing, free_bytes, mount_of, parse_mounts
from pixi_ship.doctor.finding import Finding, State
from pixi_ship.doctor.questions import Questions
from pixi_ship.runtime.find import RUNTIMES

_LITTLE = 5 << 30  # bytes; a CUDA environment takes as much, packed and unpacked
_GIB = 1 << 30
_VERSION = re.compile(r"\d+(?:\.\d+)+[\w.+~-]*")
_SERVERS = {"docker": ("version", "--format", "{{.Server.Version}}")}


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, as a user of it sees it.

    root: where its files are; user: the name, empty where the number has none.
    """

    questions: Questions
    user: str
    uid: int
    root: Path = Path("/")

    def text(self, path: str) -> str:
        """A small file of the system; empty where it is not there, or not to be read."""
        try:
            return (self.root / path).read_text("utf-8", "replace")
        except OSError:
            return ""

    def mounts(self) -> list[Mount]:
        """What is mounted; nothing where the kernel is not Linux."""
        return parse_mounts(self.text("proc/self/mountinfo"))


def machine_findings(machine: Machine, cache: Path) -> Iterator[Finding]:
    """What there is: Python, the cache, runtimes, and what runtimes need of the kernel."""
    where = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("Python", State.GOOD, where)
    yield cache_finding(machine, cache)
    runtimes = [runtime_finding(machine, name) for name in RUNTIMES]
    yield from runtimes
    if all(each.state is State.ABSENT for each in runtimes):
        yield Finding(
            "runtimes",
            State.NOTE,
            "none is here: images can be built and pushed, not run",
            "install podman, bubblewrap or Apptainer; on a cluster try: module load apptainer",
        )
    yield namespaces_finding(machine)
    yield subids_finding(machine)
    yield fuse_finding(machine)


def cache_finding(machine: Machine, cache: Path) -> Finding:
    """Whether the cache can be written to, how much room it has, and on what."""
    at = existing(cache.absolute())
    if not at.is_dir() or not os.access(at, os.W_OK | os.X_OK):
        return Finding(
            "cache",
            State.BAD,
            f"{cache} cannot be written to",
            "choose another place with --cache-dir or PIXI_SHIP_CACHE_DIR",
        )
    mount = mount_of(PurePosixPath(at.resolve()), machine.mounts())
    free = free_bytes(at)
    room = "an unknown amount" if free is None else f"{free / _GIB:.1f} GiB"
    detail = f"{cache}, {room} free" + (f", on {mount.kind}" if mount else "")
    if free is not None and free < _LITTLE:
        return Finding(
            "cache",
            State.NOTE,
            detail,
            "little for environments with CUDA: choose another place with PIXI_SHIP_CACHE_DIR",
        )
    if mount is not None and mount.is_shared:
        hint = "it may be slow there; a place on a disk of this machine is quicker"
        return Finding("cache", State.NOTE, detail, hint)
    return Finding("cache", State.GOOD, detail)


def runtime_finding(machine: Machine, name: str) -> Finding:
    """Whether a runtime is here, its version, and whether what it speaks to answers."""
    ask = machine.questions
    found = [path for path in map(ask.which, RUNTIMES[name].programs) if path]
    if not found:
        return Finding(name, State.ABSENT, f"no {' or '.join(RUNTIMES[name].programs)} in PATH")
    said = _VERSION.search(ask.answer(found[0], "--version") or "")
    if said is None:
        return Finding(name, State.BAD, f"{found[0]} does not tell its version")
    if name in _SERVERS and not (ask.answer(found[0], *_SERVERS[name]) or "").strip():
        return Finding(
            name,
            State.NOTE,
            f"{said[0]} at {found[0]}, and its server does not answer",
            "start the server, or ask to be let at its socket",
        )
    return Finding(name, State.GOOD, f"{said[0]} at {found[0]}")


def namespaces_finding(machine: Machine) -> Finding:
    """Whether a user may make namespaces, as every runtime without root does."""
    subject = "user namespaces"
    if machine.questions.answer("unshare", "--user", "--map-root-user", "true") is not None:
        return Finding(subject, State.GOOD, "a user can make them")
    for path, forbids in (
        ("proc/sys/user/max_user_namespaces", "0"),
        ("proc/sys/kernel/unprivileged_userns_clone", "0"),
        ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
    ):
        if machine.text(path).strip() == forbids:
            return Finding(
                subject,
                State.NOTE,
                f"forbidden: /{path} is {forbids}",
                "runtimes that are installed with setuid root run all the same",
            )
    if not machine.questions.which("unshare"):
        return Finding(subject, State.ABSENT, "there is no unshare in PATH to try them with")
    return Finding(subject, State.NOTE, "a user cannot make them here")


def subids_finding(machine: Machine) -> Finding:
    """Whether the user has further numbers, for images whose files belong to several.

    Source: subuid(5).
    """
    names = {machine.user, str(machine.uid)} - {""}
    for file in ("etc/subuid", "etc/subgid"):
        rows = [line.split(":") for line in machine.text(file).splitlines()]
        if not any(
            len(row) == 3 and row[0] in names and "".join(row[1:]).isdigit() for row in rows
        ):
            return Finding(
                "subuid",
                State.NOTE,
                f"/{file} has no row for this user",
                "podman then has one user in a container; images of pixi-ship need no more",
            )
    return Finding("subuid", State.GOOD, "the user has further numbers")


def fuse_finding(machine: Machine) -> Finding:
    """Whether filesystems can be mounted by a user, as Apptainer does with a SIF."""
    if not os.access(machine.root / "dev/fuse", os.R_OK | os.W_OK):
        return Finding(
            "fuse",
            State.NOTE,
            "/dev/fuse is not there, or not for this user",
            "Apptainer then unpacks each SIF before it runs",
        )
    program = next(filter(None, map(machine.questions.which, ("fusermount3", "fusermount"))), None)
    if program is None:
        return Finding("fuse", State.NOTE, "/dev/fuse is there, and no fusermount3 in PATH")
    return Finding("fuse", State.GOOD, f"/dev/fuse and {program}")
