"""What a site offers to jobs, as far as the machine knows that one submits from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pixi_ship.doctor.filesystem import mount_of
from pixi_ship.doctor.finding import Finding, State
from pixi_ship.doctor.htcondor import Pool, ask_htcondor
from pixi_ship.doctor.machine import Machine
from pixi_ship.doctor.modules import ask_modules
from pixi_ship.doctor.slurm import Cluster, ask_slurm

_SCRATCH = ("scratch", "localscratch", "lscratch", "local", "var/tmp")
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFacts:
    """What is known of a site.

    runtime: apptainer or singularity, whichever this machine has; module: the one that has it.
    directory, directory_kind: where jobs would be submitted from, and its filesystem;
    is_shared: whether that comes over a network. scratch: local directories that look as if
    jobs could write there.
    """

    host: str
    directory: str
    directory_kind: str
    is_shared: bool
    cluster: Cluster | None = None
    pool: Pool | None = None
    runtime: str | None = None
    module: str | None = None
    scratch: tuple[str, ...] = ()


def ask_site(machine: Machine, directory: Path, host: str) -> SiteFacts:
    """Ask everything that can be asked from here; directory: where one would submit from."""
    ask = machine.questions
    with ThreadPoolExecutor() as together:
        cluster = together.submit(ask_slurm, ask, machine.user)
        pool = together.submit(ask_htcondor, ask)
        module = together.submit(ask_modules, ask)
    mount = mount_of(PurePosixPath(directory), machine.mounts())
    return SiteFacts(
        host=host,
        directory=str(directory),
        directory_kind=mount.kind if mount else "an unknown filesystem",
        is_shared=mount is not None and mount.is_shared,
        cluster=cluster.result(),
        pool=pool.result(),
        runtime=next(filter(ask.which, ("apptainer", "singularity")), None),
        module=module.result(),
        scratch=tuple(_scratch(machine)),
    )


def _scratch(machine: Machine) -> Iterator[str]:
    """Directories on disks of this machine, by the names that sites give them."""
    mounts = machine.mounts()
    for name in _SCRATCH:
        for path in (machine.root / name, machine.root / name / machine.user):
            mount = mount_of(PurePosixPath(path), mounts)
            local = mount is None or not (mount.is_shared or mount.kind in _IN_MEMORY)
            if local and path.is_dir() and os.access(path, os.W_OK | os.X_OK):
                yield str(path)
                break


def site_findings(facts: SiteFacts) -> Iterator[Finding]:
    """What was found, as far as a sentence can say it."""
    if (cluster := facts.cluster) is None:
        yield Finding("Slurm", State.ABSENT, "sinfo is not here, or does not answer")
    else:
        count = len(cluster.partitions)
        detail = f"{cluster.version}, {count} {'partition' if count == 1 else 'partitions'}"
        yield Finding("Slurm", State.GOOD, f"{detail}{', pyxis' if cluster.pyxis else ''}")
    if (pool := facts.pool) is None:
        yield Finding("HTCondor", State.ABSENT, "condor_version is not here, or does not answer")
    elif pool.slots == 0:
        yield Finding(
            "HTCondor",
            State.NOTE,
            f"{pool.version}, and condor_status names no slots",
            "ask whether the pool is up: condor_status -collector",
        )
    else:
        gpus = sum(each.count for each in pool.gpus)
        detail = f"{pool.version}, {pool.slots} slots, {pool.cpus} cores, {gpus} GPUs"
        yield Finding("HTCondor", State.GOOD, detail)
    if facts.module:
        yield Finding("modules", State.GOOD, facts.module)
    over = "a network" if facts.is_shared else "this machine"
    detail = f"{facts.directory} is on {facts.directory_kind} of {over}"
    yield Finding("submitting from here", State.GOOD, detail)
