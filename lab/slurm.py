"""Slurm: a controller with accounting, and nodes of which one has GPUs."""

from __future__ import annotations

from lab.machine import Machine
from lab.service import Service, Site, wait_until

CONTROLLER = "submit"
NODES = ("slurm1", "slurm2", "slurm3")
GPU_NODE = "slurm3"
GPU_TYPE = "a100"
GPUS = 2
CPUS = 4
"""Cores that each node claims to have; nothing holds jobs to them."""
MEMORY = 6000
"""MiB that each node claims to have."""
CROWD, CROWDED_NODE = "crowd", "slurm2"
"""A partition of one node where each core is given to 32 jobs."""
DOWN_AFTER = 20
"""Seconds without an answer after which a node is down."""

_GPU_DEVICE = "/srv/gpu"

# No cgroups: they are this machine's, and jobs would leave theirs behind.
_CONFIGURATION = """\
ClusterName=lab
SlurmctldHost={controller}
SlurmUser=slurm
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SchedulerParameters=sched_interval=2,sched_min_interval=0,batch_sched_delay=0,bf_interval=2
ReturnToService=2
SlurmdTimeout={down_after}
SlurmctldTimeout=60
MinJobAge=300
MpiDefault=none
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={controller}
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=5
GresTypes=gpu
NodeName=DEFAULT CPUs={cpus} RealMemory={memory} State=UNKNOWN
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName={crowd} Nodes={crowded} OverSubscribe=FORCE:32 MaxTime=INFINITE State=UP
"""

_DATABASE_DAEMON = """\
AuthType=auth/munge
DbdHost={controller}
SlurmUser=slurm
PidFile=/run/slurm/slurmdbd.pid
LogFile=/var/log/slurm/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StorageLoc=accounting
"""

_SOCKET = "/run/mariadbd/mysqld.sock"
_DATA = "/var/lib/accounting"

# Small, and without users or network: only who may go into the socket's directory can ask.
_DATABASE = (
    *("mariadbd", "--no-defaults", f"--datadir={_DATA}", f"--socket={_SOCKET}"),
    *("--skip-networking", "--skip-grant-tables", "--performance-schema=0"),
    *("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M"),
    *("--innodb-snapshot-isolation=OFF", "--innodb-lock-wait-timeout=900"),
    "--innodb-flush-log-at-trx-commit=0",
)


def _configuration() -> str:
    lines = [
        f"NodeName={name}" + (f" Gres=gpu:{GPU_TYPE}:{GPUS}" if name == GPU_NODE else "")
        for name in NODES
    ]
    return _CONFIGURATION.format(
        controller=CONTROLLER,
        down_after=DOWN_AFTER,
        cpus=CPUS,
        memory=MEMORY,
        crowd=CROWD,
        crowded=CROWDED_NODE,
        nodes="\n".join(lines),
    )


def _prepare(machine: Machine, site: Site) -> None:
    machine.put("/etc/slurm/slurm.conf", _configuration())
    machine.put("/etc/slurm/cgroup.conf", "CgroupPlugin=disabled\n")
    # Not /dev/nvidia0: nobody shall take them for the real ones.
    devices = f"Name=gpu Type={GPU_TYPE} File={_GPU_DEVICE}[0-{GPUS - 1}]"
    machine.put("/etc/slurm/gres.conf", f"NodeName={GPU_NODE} {devices}\n")


def _prepare_controller(machine: Machine, site: Site) -> None:
    _prepare(machine, site)
    text = _DATABASE_DAEMON.format(controller=CONTROLLER)
    machine.put("/etc/slurm/slurmdbd.conf", text, mode=0o600, owner="slurm")


def _directories(machine: Machine, owner: str, *paths: str, mode: str = "755") -> None:
    words = ("--owner", owner, "--group", owner, "--mode", mode, *paths)
    machine.output("install", "--directory", *words, user="root")


def _start_controller(machine: Machine) -> None:
    _directories(machine, "slurm", "/run/slurm", "/var/log/slurm", "/var/spool/slurmctld")
    _directories(machine, "slurm", "/run/mariadbd", _DATA, mode="700")
    log = str(machine.logs / "slurm")
    if not machine.output("ls", _DATA, user="slurm"):
        words = ("--no-defaults", f"--datadir={_DATA}", "--skip-test-db")
        normal = "--auth-root-authentication-method=normal"
        machine.output("mariadb-install-db", *words, normal, user="slurm", cwd="/")
    machine.serve(*_DATABASE, log="slurm/database.log", user="slurm")
    ask = ("mariadb", "--no-defaults", f"--socket={_SOCKET}", "-e", "select 1")
    wait_until(
        "the database of Slurm's accounting answers",
        lambda: not machine.run(*ask, user="slurm").returncode,
        f"{log}/database.log",
    )
    # MariaDB 11.8's client takes no answer on a connection whose first try found no database.
    machine.output(*ask[:-1], "create database if not exists accounting", user="slurm")
    machine.output("slurmdbd", user="slurm")
    wait_until(
        "slurmdbd answers",
        lambda: not machine.run("sacctmgr", "-n", "list", "cluster").returncode,
        f"{log}/slurmdbd.log",
    )
    known = machine.output("sacctmgr", "-n", "-P", "list", "cluster", "format=cluster")
    if "lab" not in known.split():
        machine.output("sacctmgr", "-i", "-Q", "add", "cluster", "lab", user="root")
    machine.output("slurmctld", user="slurm")


def _start_node(machine: Machine) -> None:
    _directories(machine, "root", "/var/log/slurm", "/var/spool/slurmd")
    if machine.name == GPU_NODE:
        for number in range(GPUS):
            device = f"{_GPU_DEVICE}{number}"
            script = '[ -e "$1" ] || mknod -m 666 "$1" c 1 3'
            machine.output("sh", "-c", script, "sh", device, user="root")
    machine.output("slurmd", user="root")


def wait_for_nodes(submit: Machine, names: tuple[str, ...] = NODES) -> None:
    """Wait until nodes take jobs; raises LabError."""
    ask = ("sinfo", "--noheader", "--responding", "--states=idle,mixed,allocated")
    wait_until(
        f"Slurm has {', '.join(names)}",
        lambda: set(names) <= set(submit.run(*ask, "--Format=nodehost").stdout.split()),
        str(submit.logs / "slurm" / "slurmctld.log"),
    )


SLURM_CONTROLLER = Service("slurmctld", _prepare_controller, _start_controller)
SLURM_NODE = Service("slurmd", _prepare, _start_node)
