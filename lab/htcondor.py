"""HTCondor: an access point that is also the central manager, and nodes, one of them with GPUs."""

from __future__ import annotations

import hashlib

from lab.machine import Machine
from lab.service import Service, Site, wait_until

MANAGER = "submit"
NODES = ("condor1", "condor2")
GPU_NODE = "condor2"
GPUS = 2
GPU_CAPABILITY = 8.0
GPU_MEMORY = 40_000
"""MiB that each GPU claims to have."""
GPU_RUNTIME = 12_040
"""The newest CUDA that the driver claims to know: 12.4, as MaxSupportedVersion says it."""
CPUS = 4
MEMORY = 6000
"""Cores and MiB that each node claims to have."""

_POOL = f"condor@{MANAGER}"

# Security is as Debian's package has it: tokens between daemons, the file system for users.
# No cgroups and no tuning of the kernel: both are this machine's.
_EVERYWHERE = f"""\
CONDOR_HOST = {MANAGER}
TRUST_DOMAIN = {MANAGER}
UID_DOMAIN = lab
TRUST_UID_DOMAIN = true
ALLOW_DAEMON = {_POOL}, condor@lab
ALLOW_NEGOTIATOR = {_POOL}, condor@lab
ALLOW_ADVERTISE_STARTD = {_POOL}, condor@lab
ALLOW_ADVERTISE_SCHEDD = {_POOL}, condor@lab
ALLOW_ADVERTISE_MASTER = {_POOL}, condor@lab
USE_SHARED_PORT = false
BASE_CGROUP =
ENABLE_KERNEL_TUNING = false
SINGULARITY = /usr/bin/apptainer
"""

# Intervals of a pool that one person waits for, where a real one has minutes.
_MANAGER = """\
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
SHADOW_WORKLIFE = 0
ALIVE_INTERVAL = 10
JOB_DEFAULT_LEASE_DURATION = 40
"""

_NODE = f"""\
DAEMON_LIST = MASTER STARTD
NUM_CPUS = {CPUS}
MEMORY = {MEMORY}
UPDATE_INTERVAL = 5
STARTER_UPDATE_INTERVAL = 5
RUNBENCHMARKS = false
JAVA =
CLAIM_WORKLIFE = 0
"""

_GPU = """\
use feature: GPUs
GPU_DISCOVERY_EXTRA = -extra
MACHINE_RESOURCE_INVENTORY_GPUs = /usr/local/libexec/gpu_discovery
GPU_MONITOR = false
"""

# What condor_gpu_discovery -extra says on a machine that has them.
_DISCOVERY = f"""\
#!/bin/sh
cat <<'END'
DetectedGPUs="{", ".join(f"GPU-0000000{number}" for number in range(GPUS))}"
Common=[ Capability={GPU_CAPABILITY}; DeviceName="NVIDIA A100-PCIE-40GB"; DriverVersion=12.4; \
ECCEnabled=true; GlobalMemoryMb={GPU_MEMORY}; MaxSupportedVersion={GPU_RUNTIME}; ]
{chr(10).join(f'GPU_0000000{number}=[ id="GPU-0000000{number}"; ]' for number in range(GPUS))}
END
"""


def _prepare(machine: Machine, site: Site) -> None:
    machine.put("/etc/condor/config.d/50-lab", _EVERYWHERE)
    key = hashlib.sha256(b"condor" + site.secret).hexdigest()
    machine.put("/etc/condor/passwords.d/POOL", key, mode=0o600)


def _prepare_manager(machine: Machine, site: Site) -> None:
    _prepare(machine, site)
    machine.put("/etc/condor/config.d/60-manager", _MANAGER)


def _prepare_node(machine: Machine, site: Site) -> None:
    _prepare(machine, site)
    machine.put("/etc/condor/config.d/60-node", _NODE)
    if machine.name == GPU_NODE:
        machine.put("/etc/condor/config.d/70-gpu", _GPU)
        machine.put("/usr/local/libexec/gpu_discovery", _DISCOVERY, mode=0o755)


def _start(machine: Machine) -> None:
    owner = ("--owner", "condor", "--group", "condor", "--mode", "755")
    places = ("run", "lock", "spool", "log")
    paths = [f"/var/{place}/condor" for place in places] + ["/var/lib/condor/execute"]
    machine.output("install", "--directory", *owner, *paths, user="root")
    token = f"/etc/condor/tokens.d/{_POOL}"
    script = (
        'umask 077; mkdir -p "${1%/*}"; [ -s "$1" ] || condor_token_create -identity "$2" >"$1"'
    )
    machine.output("sh", "-c", script, "sh", token, _POOL, user="root")
    machine.output("condor_master", user="root")


def wait_for_nodes(submit: Machine, names: tuple[str, ...] = NODES) -> None:
    """Wait until nodes take jobs, also such that run in containers; raises LabError."""
    ask = ("condor_status", "-constraint", "HasSIF", "-autoformat", "Machine")
    wait_until(
        f"HTCondor has {', '.join(names)}",
        lambda: set(names) <= set(submit.run(*ask).stdout.split()),
        str(submit.logs / "condor" / "CollectorLog"),
    )
    wait_until(
        "HTCondor takes jobs",
        lambda: not submit.run("condor_q", "-totals").returncode,
        str(submit.logs / "condor" / "SchedLog"),
    )


CONDOR_MANAGER = Service("condor_master", _prepare_manager, _start)
CONDOR_NODE = Service("condor_master", _prepare_node, _start)
