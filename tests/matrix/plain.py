"""Runtimes over an unpacked image: runc, crun, Charliecloud, bubblewrap, and rules of others."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from .probe import PROBE, STRANGER, Circumstance
from .rules import LOGIN, enroot_environment, pyxis_environment, shifter_environment
from .runtime import Done, Missing, Runtime, Start, last_words, need, started
from .stage import ABSENT_HOME, Stage

_SHELL = ("sh", "-c", PROBE)
_ENTRYPOINT = "/app/entrypoint.sh"


def _bundle(stage: Stage, circumstance: Circumstance, command: Sequence[str], name: str) -> Path:
    """The bundle that umoci made, with another command, and no terminal."""
    config = json.loads((stage.bundle / "config.json").read_text())
    config["root"]["path"] = str(stage.root)
    config["process"].update(terminal=False, args=list(command))
    if circumstance is Circumstance.STRANGER:
        config["root"]["readonly"] = True
        config["process"]["user"] = {"uid": STRANGER, "gid": STRANGER}
    bundle = stage.folder / f"{name}-{circumstance}"
    bundle.mkdir(exist_ok=True)
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle


def _oci(tool: str, *entrypoint: str) -> Start:
    def start(stage: Stage, circumstance: Circumstance) -> Done:
        need(tool, "umoci", "unshare")
        name = f"{tool}-{len(entrypoint)}"
        bundle = _bundle(stage, circumstance, (*entrypoint, *_SHELL), name)
        state = stage.folder / f"{name}-state"
        call = (tool, "--root", str(state), *_OCI_OPTIONS[tool], "run", "--bundle", str(bundle))
        words = (*_pure_cgroups(tool), *call, f"{bundle.name}-{os.getpid()}")
        return started(*words, env=stage.host(circumstance))

    return start


_OCI_OPTIONS: Mapping[str, Sequence[str]] = {"crun": ("--cgroup-manager=disabled",), "runc": ()}


def _pure_cgroups(tool: str) -> tuple[str, ...]:
    """Words that start crun where cgroups are of version 2 alone; a mix it refuses."""
    if tool != "crun" or Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return ()
    script = 'umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
    return ("unshare", "--mount", "sh", "-c", script, "sh")


def _charliecloud(*options: str, command: Sequence[str] = _SHELL) -> Start:
    def start(stage: Stage, circumstance: Circumstance) -> Done:
        need("ch-run", "setpriv")
        before, home = [], ["--bind", f"{stage.home}:/mnt"]
        env = {**stage.host(circumstance), "HOME": "/mnt"}
        if circumstance is Circumstance.STRANGER:
            uid = str(STRANGER)
            before = ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups"]
            home, env["HOME"] = [], ABSENT_HOME
        words = [*before, "ch-run", *options, *home, str(stage.root), "--", *command]
        return started(*words, env=env)

    return start


def _bubblewrap(
    stage: Stage, circumstance: Circumstance, env: Mapping[str, str], command: Sequence[str]
) -> Done:
    """Raw bubblewrap, which knows mounts alone: the variables are the ones given here."""
    need("bwrap")
    if failed := _bubblewrap_fails(stage):
        raise Missing(failed)
    strange = circumstance is Circumstance.STRANGER
    user = ("--unshare-user", "--uid", str(STRANGER), "--gid", str(STRANGER)) if strange else ()
    words = (*_bare(stage), *user, "--", *command)
    return started(*words, env={"PATH": "/usr/bin:/bin", **env})


def _bare(stage: Stage) -> list[str]:
    mounts = ["--ro-bind", str(stage.root), "/", "--dev", "/dev", "--proc", "/proc"]
    return ["bwrap", *mounts, "--tmpfs", "/tmp"]


@cache
def _bubblewrap_fails(stage: Stage) -> str | None:
    done = started(*_bare(stage), "true", env={"PATH": "/usr/bin:/bin"})
    return f"bubblewrap makes no mounts here: {last_words(done)}" if done.returncode else None


def _only_variables(stage: Stage, circumstance: Circumstance) -> Done:
    return _bubblewrap(stage, circumstance, stage.variables, _SHELL)


def _our_run(stage: Stage, circumstance: Circumstance) -> Done:
    """`pixi-ship run`, by a Python that does not believe the host's variables either."""
    need("bwrap")
    if failed := _bubblewrap_fails(stage):
        raise Missing(failed)
    options = ["--runtime", "bubblewrap", "--cache-dir", str(stage.folder / "cache")]
    if circumstance is Circumstance.STRANGER:
        more = ("--unshare-user", "--uid", str(STRANGER), "--gid", str(STRANGER))
        options += [f"--runtime-option={word}" for word in more]
    work = stage.folder / "work"
    work.mkdir(exist_ok=True)
    words = [sys.executable, "-E", "-m", "pixi_ship", "run", *options, f"oci:{stage.layout}:numpy"]
    return started(*words, "--", *_SHELL, env=stage.host(circumstance), cwd=work)


def _enroot(stage: Stage, circumstance: Circumstance) -> Done:
    env = enroot_environment(stage.rows, stage.host(circumstance), LOGIN)
    # /etc/rc, as src/docker.sh writes it, is what the login shell reads.
    command = ("sh", "-l", "-c", f'exec {_ENTRYPOINT} "$@"', "rc", *_SHELL)
    return _bubblewrap(stage, circumstance, env, command)


def _pyxis(stage: Stage, circumstance: Circumstance) -> Done:
    job = stage.host(circumstance)
    env = enroot_environment(stage.rows, job, {**LOGIN, "SHELL": "/bin/bash"})
    shell = _bubblewrap(stage, circumstance, env, ("bash", "-l", "-c", "exec env -0"))
    pairs = (row.partition("=") for row in shell.stdout.split("\0") if row)
    task = pyxis_environment({name: value for name, _, value in pairs}, job)
    return _bubblewrap(stage, circumstance, task, _SHELL)


def _shifter(*entrypoint: str) -> Start:
    def start(stage: Stage, circumstance: Circumstance) -> Done:
        env = shifter_environment(stage.rows, stage.host(circumstance))
        return _bubblewrap(stage, circumstance, env, (*entrypoint, *_SHELL))

    return start


_ACTIVE = ("--set-env",)
ROWS = (
    Runtime("runc", "runc over umoci's bundle", "plain", _oci("runc", _ENTRYPOINT)),
    Runtime("runc, other command", "the bundle's args replaced", "plain", _oci("runc")),
    Runtime("crun", "crun over umoci's bundle", "plain", _oci("crun", _ENTRYPOINT)),
    Runtime("crun, other command", "the bundle's args replaced", "plain", _oci("crun")),
    Runtime("Charliecloud", "ch-run", "plain", _charliecloud()),
    Runtime("Charliecloud, --set-env", "ch-run --set-env", "plain", _charliecloud(*_ACTIVE)),
    Runtime(
        "Charliecloud, entrypoint named",
        "ch-run --set-env ROOT -- /app/entrypoint.sh COMMAND",
        "plain",
        _charliecloud(*_ACTIVE, command=(_ENTRYPOINT, *_SHELL)),
    ),
    Runtime(
        "Charliecloud, sh -l",
        "ch-run ROOT -- sh -l",
        "plain",
        _charliecloud(command=("sh", "-l", "-c", PROBE)),
    ),
    Runtime("bubblewrap", "pixi-ship run --runtime bubblewrap", "plain", _our_run),
    Runtime("bubblewrap, variables alone", "bwrap, config.Env", "plain", _only_variables),
    Runtime("enroot", "enroot start", "plain", _enroot, real=False),
    Runtime("pyxis", "srun --container-image", "plain", _pyxis, real=False),
    Runtime("Shifter", "shifter --image", "plain", _shifter(), real=False),
    Runtime("Sarus", "sarus run", "plain", _shifter(_ENTRYPOINT), real=False),
)
