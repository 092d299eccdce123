"""The lab's network: one bridge, one link per machine, and what went over each."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.machine import Machine
from lab.process import Process, detach

NETWORK = "10.77.0"
"""The first three bytes of every address; only the lab's namespaces know this network."""

_BECOME = Path(__file__).with_name("switch.sh")
_BRIDGE = "lab"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes over a machine's link since it was started, with all headers.

    received, sent: as the machine sees it.
    """

    received: int
    sent: int

    def __sub__(self, earlier: Traffic) -> Traffic:
        return Traffic(self.received - earlier.received, self.sent - earlier.sent)


@dataclass(frozen=True, slots=True)
class Switch:
    """A bridge in a network namespace that nothing but the machines is connected to."""

    process: Process

    @classmethod
    def start(cls, log: Path) -> Switch:
        """A new one; raises LabError."""
        return cls(detach("switch", ["unshare", "--mount", "--net", "sh", str(_BECOME)], log))

    def connect(self, machine: Machine) -> None:
        """Give a machine that has just started its link and its address; raises LabError."""
        if machine.process is None:
            raise LabError(f"connecting {machine.name}: it does not run")
        name = machine.name
        self._ip(
            self.process,
            f"link add {name} type veth peer name eth0 netns {machine.process.pid}",
            f"link set {name} master {_BRIDGE} up",
        )
        self._ip(
            machine.process,
            "link set lo up",
            f"address add {machine.address}/24 dev eth0",
            "link set eth0 up",
        )

    def traffic(self) -> dict[str, Traffic]:
        """What went over the link of each machine that runs, by its name."""
        script = (
            "cd /sys/class/net && for link in *; do"
            " read -r to <$link/statistics/tx_bytes; read -r by <$link/statistics/rx_bytes;"
            " echo $link $to $by; done"
        )
        done = self._enter(self.process, ["sh", "-c", script], "--mount")
        rows = (line.split() for line in done.splitlines())
        # What the bridge sends over a link is what the machine at its end receives.
        return {
            name: Traffic(received=int(to), sent=int(by))
            for name, to, by in rows
            if name not in (_BRIDGE, "lo")
        }

    def throttle(self, machine: str, megabits: int | None) -> None:
        """Let a machine receive no more than this a second; None: as fast as it goes."""
        self._enter(self.process, ["tc", "qdisc", "del", "dev", machine, "root"], check=False)
        if megabits is not None:
            rate = ["rate", f"{megabits}mbit", "burst", "256k", "latency", "50ms"]
            self._enter(self.process, ["tc", "qdisc", "add", "dev", machine, "root", "tbf", *rate])

    def _ip(self, where: Process, *lines: str) -> None:
        self._enter(where, ["ip", "-batch", "-"], data="\n".join(lines) + "\n")

    def _enter(
        self, where: Process, words: list[str], *options: str, data: str = "", check: bool = True
    ) -> str:
        done = subprocess.run(
            ["nsenter", "--target", str(where.pid), "--net", *options, "--", *words],
            input=data,
            capture_output=True,
            text=True,
        )
        if check and done.returncode:
            raise LabError(f"the lab's network: {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout
