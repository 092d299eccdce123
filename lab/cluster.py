"""The lab as a whole: a submit host, a registry, and the nodes of two schedulers."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import htcondor, slurm
from lab.errors import LabError
from lab.htcondor import CONDOR_MANAGER, CONDOR_NODE
from lab.machine import Machine
from lab.munge import MUNGE
from lab.process import Process
from lab.registry import PORT, PRIVATE_PORT, REGISTRY
from lab.service import Service, Site
from lab.slurm import SLURM_CONTROLLER, SLURM_NODE
from lab.switch import NETWORK, Switch, Traffic
from lab.tool import bind_tool, put_tool, put_tool_aside

DATA = Path(__file__).parents[1] / ".test-data"

SUBMIT = "submit"
REGISTRY_HOST = "registry"


@dataclass(frozen=True, slots=True)
class Plan:
    """A machine to be: the last byte of its address, and what it serves."""

    name: str
    number: int
    services: tuple[Service, ...]

    @property
    def address(self) -> str:
        """Its IPv4 address."""
        return f"{NETWORK}.{self.number}"


PLANS = (
    Plan(SUBMIT, 1, (MUNGE, SLURM_CONTROLLER, CONDOR_MANAGER)),
    Plan(REGISTRY_HOST, 2, (REGISTRY,)),
    *(Plan(name, 11 + i, (MUNGE, SLURM_NODE)) for i, name in enumerate(slurm.NODES)),
    *(Plan(name, 21 + i, (CONDOR_NODE,)) for i, name in enumerate(htcondor.NODES)),
)

# Jobs own no cgroup here, and no network but their machine's.
_PODMAN = """\
[containers]
cgroups = "disabled"
netns = "host"
[engine]
cgroup_manager = "cgroupfs"
"""


class Lab:
    """The machines that `data` holds, which may be running or not.

    data: the directory with `lab-root`, in which `lab` is made.
    """

    def __init__(self, data: Path = DATA) -> None:
        data = data.resolve()
        self.root = data / "lab-root"
        self.folder = data / "lab"
        self._data = data
        self._state = self.folder / "state.json"
        self.registry = f"{NETWORK}.2:{PORT}"
        """HOST:PORT of the registry, which speaks plain HTTP."""
        self.private_registry = f"{NETWORK}.2:{PRIVATE_PORT}"
        """One that wants the login of :data:`lab.registry.LOGIN`."""
        self.machines = {
            plan.name: Machine(plan.name, plan.address, self.root, self.folder / plan.name)
            for plan in PLANS
        }
        for machine in (self.submit, *self.slurm_nodes):
            bind_tool(machine, data)
        self._switch: Switch | None = None
        self._complete = False
        self._load()

    @property
    def submit(self) -> Machine:
        """Where people are and submit from: Slurm's controller, HTCondor's access point."""
        return self.machines[SUBMIT]

    @property
    def slurm_nodes(self) -> tuple[Machine, ...]:
        """Slurm's nodes; the last has GPUs."""
        return tuple(self.machines[name] for name in slurm.NODES)

    @property
    def condor_nodes(self) -> tuple[Machine, ...]:
        """HTCondor's nodes; the last has GPUs."""
        return tuple(self.machines[name] for name in htcondor.NODES)

    @property
    def running(self) -> bool:
        """Whether all of it runs."""
        return self._complete and all(each.running for each in self.machines.values())

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Alone among those who ask for that, such as test sessions; waits for the others."""
        with _alone(self._data / "lab.reserved", os.O_WRONLY | os.O_CREAT):
            self._load()
            yield

    def missing(self) -> str | None:
        """Why it cannot run here; None where it can."""
        if os.geteuid() != 0:
            return "the lab of schedulers: only root can make machines"
        tools = ("unshare", "nsenter", "setpriv", "setsid", "ip", "tc", "tar", "pivot_root")
        lacking = [tool for tool in tools if shutil.which(tool) is None]
        if lacking:
            return f"the lab of schedulers: this machine has no {', '.join(lacking)}"
        probe = ["unshare", "--mount", "--net", "--pid", "--fork", "true"]
        done = subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            return f"the lab of schedulers: {done.stderr.strip()}"
        if not (self.root / "made-by").exists():
            return f"no {self.root.name} here (make lab-up makes it where Debian sid is in reach)"
        return None

    def up(self) -> bool:
        """Start what does not run; whether that was anything.

        Raises LabError, and then nothing runs any more: what remains are the logs.
        """
        if reason := self.missing():
            raise LabError(reason)
        with self._locked():
            if self.running:
                return False
            try:
                self._revive() if self._usable() else self._start_all()
            except BaseException as error:
                self._end()
                self._keep_logs()
                if isinstance(error, LabError) and error.hint is None:
                    error.hint = f"see the logs in {self.folder}/*/logs"
                raise
        return True

    def down(self) -> bool:
        """End everything and remove what it has left; whether there was anything."""
        with self._locked():
            there = self.folder.exists()
            self._end()
            shutil.rmtree(self.folder, ignore_errors=True)
        return there

    def traffic(self) -> dict[str, Traffic]:
        """What went over each machine's link since it was last started."""
        return self._running_switch().traffic()

    def throttle(self, name: str, megabits: int | None) -> None:
        """Let a machine receive no more than this a second; None: as fast as it goes."""
        self._running_switch().throttle(name, megabits)

    def kill(self, name: str) -> None:
        """Take a machine's power away."""
        with self._locked():
            self.machine(name).kill()

    def restart(self, name: str) -> None:
        """Start a machine that does not run, with the files it had; raises LabError.

        Its services have started when this returns; its scheduler may need some seconds more,
        see `wait_for_nodes` of `lab.slurm` and `lab.htcondor`.
        """
        with self._locked():
            machine = self.machine(name)
            if not machine.running:
                self._start(machine)

    def _start_all(self) -> None:
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o711)
        hosts = {plan.name: plan.address for plan in PLANS}
        site = Site(hosts, self.registry, secrets.token_bytes(32))
        for plan in PLANS:
            machine = self.machines[plan.name]
            machine.prepare()
            _introduce(machine, site)
            for service in plan.services:
                service.prepare(machine, site)
        put_tool(self.submit)
        for machine in self.slurm_nodes:
            put_tool_aside(machine)
        self._switch = Switch.start(self.folder / "switch.log")
        self._save()
        for machine in self.machines.values():
            self._start(machine)
        slurm.wait_for_nodes(self.submit)
        htcondor.wait_for_nodes(self.submit)
        self._complete = True
        self._save()

    def _revive(self) -> None:
        names = [name for name, machine in self.machines.items() if not machine.running]
        for name in names:
            self._start(self.machines[name])
        slurm.wait_for_nodes(self.submit)
        htcondor.wait_for_nodes(self.submit)

    def _start(self, machine: Machine) -> None:
        machine.boot()
        self._save()
        self._running_switch().connect(machine)
        services = next(plan.services for plan in PLANS if plan.name == machine.name)
        for service in services:
            service.start(machine)

    def _usable(self) -> bool:
        """Whether there is something to add to."""
        return self._complete and self._switch is not None and self._switch.process.alive()

    def _running_switch(self) -> Switch:
        if self._switch is None or not self._switch.process.alive():
            raise LabError("the lab does not run", hint="make lab-up starts it")
        return self._switch

    def machine(self, name: str) -> Machine:
        """The machine of this name; raises LabError."""
        try:
            return self.machines[name]
        except KeyError:
            known = ", ".join(self.machines)
            raise LabError(f"no machine {name} in the lab", hint=f"machines: {known}") from None

    def _end(self) -> None:
        for machine in self.machines.values():
            machine.kill()
        if self._switch is not None:
            self._switch.process.kill()
        self._switch, self._complete = None, False

    def _keep_logs(self) -> None:
        self._state.unlink(missing_ok=True)
        for machine in self.machines.values():
            for name in ("view", "changes", "work", "disk"):
                shutil.rmtree(machine.folder / name, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among the programs that change this lab, and knowing what the last one left."""
        # The directory that is there anyway: a file of its own would have to go with the lab.
        self._data.mkdir(parents=True, exist_ok=True)
        with _alone(self._data, os.O_RDONLY | os.O_DIRECTORY):
            self._load()
            yield

    def _load(self) -> None:
        try:
            state = json.loads(self._state.read_text())
        except FileNotFoundError:
            state = {"switch": None, "machines": {}, "complete": False}
        self._complete = state["complete"]
        self._switch = Switch(Process.from_json(state["switch"])) if state["switch"] else None
        for name, machine in self.machines.items():
            known = state["machines"].get(name)
            machine.process = Process.from_json(known) if known else None

    def _save(self) -> None:
        processes = {name: each.process for name, each in self.machines.items()}
        state = {
            "complete": self._complete,
            "switch": self._switch.process.to_json() if self._switch else None,
            "machines": {name: known.to_json() for name, known in processes.items() if known},
        }
        new = self._state.with_suffix(".new")
        new.write_text(json.dumps(state, indent=1))
        new.replace(self._state)


@contextmanager
def _alone(path: Path, flags: int) -> Iterator[None]:
    """Hold the lock of a file, which is given back also when this program is killed."""
    file = os.open(path, flags, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _introduce(machine: Machine, site: Site) -> None:
    """Tell a machine the others' names; there is no other source of names in the lab."""
    lines = ["127.0.0.1 localhost", *(f"{where} {name}" for name, where in site.hosts.items())]
    machine.put("/etc/hosts", "\n".join(lines) + "\n")
    machine.put("/etc/hostname", f"{machine.name}\n")
    machine.put("/etc/resolv.conf", "")
    insecure = "".join(
        f'[[registry]]\nlocation = "{each}"\ninsecure = true\n'
        for each in (site.registry, f"{site.registry.partition(':')[0]}:{PRIVATE_PORT}")
    )
    machine.put("/etc/containers/registries.conf.d/lab.conf", insecure)
    machine.put("/etc/containers/containers.conf", _PODMAN)
