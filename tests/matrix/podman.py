"""Podman, as root and without, with and without the image's entrypoint, and login shells in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from ..contract.tools import LIMITS, Podman, working_podman
from .probe import PROBE, STRANGER, Circumstance
from .runtime import Done, Missing, Runtime, Start, last_words, need, started
from .stage import ABSENT_HOME, REPOSITORY, Stage

ROOTLESS = Path(__file__).with_name("rootless.sh")
ROOTLESS_UID = 20002

# Without --passwd=false podman gives a stranger a name, which Docker does not.
_STRANGER = (f"--user={STRANGER}:{STRANGER}", "--passwd=false", "--read-only")
_OPTIONS: dict[Circumstance, Sequence[str]] = {Circumstance.STRANGER: _STRANGER}
_BARE = ("--entrypoint", "")

# Ubuntu's: no PATH here, as in base-files 13ubuntu10, but in /etc/environment, which PAM reads.
_UBUNTU_PROFILE = """\
for each in /etc/profile.d/*.sh; do
  if [ -r "$each" ]; then . "$each"; fi
done
unset each
"""
_UBUNTU_ENVIRONMENT = (
    'PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/snap/bin"\n'
)


@dataclass(frozen=True, slots=True)
class Engine:
    """A podman that has the image."""

    podman: Podman
    image: str
    before: tuple[str | Path, ...] = ()

    def run(
        self,
        stage: Stage,
        circumstance: Circumstance,
        command: Sequence[str],
        options: Sequence[str],
    ) -> Done:
        words = self.podman.words(
            *("run", "--rm", "--network=none", *self.podman.limits),
            *(*_OPTIONS.get(circumstance, ()), *options, self.image, *command),
        )
        return started(*self.before, *words, env=stage.host(circumstance), cwd=Path("/"))


def rootful(stage: Stage) -> Engine:
    """Podman as root; raises Missing."""
    return _ready(_rootful(stage))


def rootless(stage: Stage) -> Engine:
    """Podman as an ordinary user; raises Missing."""
    return _ready(_rootless(stage))


def _ready(found: Engine | str) -> Engine:
    if isinstance(found, str):
        raise Missing(found)
    return found


@cache
def _rootful(stage: Stage) -> Engine | str:
    need("podman")
    place = stage.folder / "p"
    place.mkdir(exist_ok=True)
    try:
        podman = working_podman(place, f"docker-archive:{REPOSITORY}/.test-data/base.docker.tar")
    except pytest.skip.Exception as reason:
        return str(reason)
    return Engine(podman, podman.pull(f"docker-archive:{stage.archive}"))


@cache
def _rootless(stage: Stage) -> Engine | str:
    need("podman", "newuidmap", "setpriv", "unshare")
    stage.archive.chmod(0o644)
    place = stage.folder / "r"
    place.mkdir(exist_ok=True)
    said = []
    for driver in ("overlay", "vfs"):
        for runtime in (("--runtime", "runc", "--cgroup-manager=cgroupfs"), ()):
            podman = Podman(place / driver, driver, runtime, LIMITS[-1])
            archive = f"docker-archive:{stage.archive}"
            pulled = _by_the_user(stage, podman.words("pull", "--quiet", archive))
            if pulled.returncode:
                said.append(f"{driver}: {last_words(pulled)}")
                break
            engine = Engine(podman, pulled.stdout.split()[-1], _before(stage))
            done = engine.run(stage, Circumstance.USUAL, ["true"], ())
            if done.returncode == 0:
                return engine
            said.append(f"{driver} {' '.join(runtime)}: {last_words(done)}")
    return "podman without root starts nothing here: " + "; ".join(said)


def _before(stage: Stage) -> tuple[str | Path, ...]:
    return ("unshare", "--mount", "sh", ROOTLESS, stage.folder / "r", str(ROOTLESS_UID))


def _by_the_user(stage: Stage, words: Sequence[str]) -> Done:
    return started(*_before(stage), *words, env=stage.host(Circumstance.USUAL))


def forget(stage: Stage) -> None:
    """Remove what podman keeps, and end what a rootless one leaves running: it holds its ids."""
    place = stage.folder / "r"
    if place.exists():
        for driver in ("overlay", "vfs"):
            _by_the_user(stage, ["podman", "unshare", "rm", "-rf", str(place / driver)])
        for file in (place / "run").rglob("pause.pid"):
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(file.read_text()), signal.SIGTERM)
    for driver in ("overlay", "vfs"):
        if (stage.folder / "p" / driver).exists():
            Podman(stage.folder / "p" / driver, driver).forget()


def _row(name: str, line: str, *command: str, options: Sequence[str] = ()) -> Runtime:
    def start(stage: Stage, circumstance: Circumstance) -> Done:
        return rootful(stage).run(stage, circumstance, command, options)

    return Runtime(name, line, "podman", start)


def _without_root(*options: str) -> Start:
    def start(stage: Stage, circumstance: Circumstance) -> Done:
        return rootless(stage).run(stage, circumstance, ("sh", "-c", PROBE), options)

    return start


def _as_htcondor(stage: Stage, circumstance: Circumstance) -> Done:
    """A job's own home, which the image need not have; the submitter's uid is always a stranger."""
    strange = circumstance is Circumstance.STRANGER
    home = ABSENT_HOME if strange else str(stage.home)
    mounts: Sequence[str] = () if strange else ("--volume", f"{home}:{home}:ro")
    user = () if strange else _STRANGER[:2]  # what a stranger gets anyway
    scratch = ("--tmpfs", "/scratch:mode=1777", "--workdir", "/scratch", "--env", f"HOME={home}")
    options = [*user, *mounts, *scratch]
    return rootful(stage).run(stage, circumstance, ("sh", "-c", PROBE), options)


def _su(stage: Stage, circumstance: Circumstance, options: Sequence[str] = _BARE) -> Done:
    """`su` wants a name, so the stranger is the image's `nobody`, whose home is not there."""
    if circumstance is not Circumstance.STRANGER:
        root = ("su", "-l", "root", "-c", PROBE)
        return rootful(stage).run(stage, circumstance, root, options)
    nobody = ("su", "-l", "nobody", "-s", "/bin/sh", "-c", PROBE)
    return rootful(stage).run(stage, Circumstance.USUAL, nobody, (*options, "--read-only"))


def _ubuntu(stage: Stage) -> tuple[str, ...]:
    """Options that give the Debian base the two files in which Ubuntu differs."""
    files = {"profile": _UBUNTU_PROFILE, "environment": _UBUNTU_ENVIRONMENT}
    words = [*_BARE]
    for name, text in files.items():
        path = stage.folder / f"ubuntu-{name}"
        path.write_text(text)
        words += ["--volume", f"{path}:/etc/{name}:ro"]
    return tuple(words)


def _ubuntu_login(stage: Stage, circumstance: Circumstance) -> Done:
    words = ("bash", "-l", "-c", PROBE)
    return rootful(stage).run(stage, circumstance, words, _ubuntu(stage))


def _ubuntu_su(stage: Stage, circumstance: Circumstance) -> Done:
    return _su(stage, circumstance, _ubuntu(stage))


_CLEAN = ("env", "-i", "bash", "-l", "-c", PROBE)

ROWS = (
    _row("podman", "podman run IMAGE", "sh", "-c", PROBE),
    _row("podman, no entrypoint", 'podman run --entrypoint ""', "sh", "-c", PROBE, options=_BARE),
    Runtime("podman, HTCondor's options", "podman run, HOME of the host", "podman", _as_htcondor),
    Runtime("podman without root", "podman run, by a user", "podman", _without_root()),
    Runtime(
        "podman without root, no entrypoint",
        'podman run --entrypoint "", by a user',
        "podman",
        _without_root(*_BARE),
    ),
    _row("bash -l", "bash -l -c, no entrypoint", "bash", "-l", "-c", PROBE, options=_BARE),
    _row("sh -l", "sh -l -c, no entrypoint", "sh", "-l", "-c", PROBE, options=_BARE),
    _row("env -i bash -l", "env -i bash -l -c, no entrypoint", *_CLEAN, options=_BARE),
    Runtime("su -l", "su -l USER -c, no entrypoint", "podman", _su),
    Runtime("Ubuntu's bash -l", "the same with Ubuntu's files", "podman", _ubuntu_login),
    Runtime("Ubuntu's su -l", "the same with Ubuntu's files", "podman", _ubuntu_su),
)
