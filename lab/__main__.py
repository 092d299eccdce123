"""`python -m lab`: start and stop a Slurm cluster and an HTCondor pool, and look at them.

up        start what does not run
down      end everything and remove what it has left
status    which machines run, and what the schedulers say
bytes     what went over each machine's link since it was started
run       run a command on a machine: run submit squeue; --as root run slurm1 ps ax
kill      take a machine's power away
restart   start a machine again, with the files it had
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from lab.cluster import DATA, Lab
from lab.errors import LabError
from lab.machine import USER


def main() -> int:
    """Do one thing; the exit status."""
    options = _options()
    try:
        return _VERBS[options.verb](Lab(options.data), options)
    except LabError as error:
        sys.stderr.write(f"error: {error}\n")
        if error.hint:
            sys.stderr.write(f"  hint: {error.hint}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lab", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    data = Path(os.environ.get("PIXI_SHIP_LAB", DATA))
    parser.add_argument(
        "--data", type=Path, default=data, help="where the root filesystem is; or $PIXI_SHIP_LAB"
    )
    parser.add_argument("--as", dest="user", default=USER, help=f"who runs it (default: {USER})")
    parser.add_argument("verb", choices=list(_VERBS))
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...")
    return parser.parse_args()


def _up(lab: Lab, options: argparse.Namespace) -> int:
    begun = time.monotonic()
    started = lab.up()
    _say(f"the lab is up ({time.monotonic() - begun:.1f} s)" if started else "the lab was up")
    return 0


def _down(lab: Lab, options: argparse.Namespace) -> int:
    _say("the lab is down" if lab.down() else "there was no lab")
    return 0


def _status(lab: Lab, options: argparse.Namespace) -> int:
    for machine in lab.machines.values():
        pid = machine.process.pid if machine.process and machine.running else "-"
        _say(f"{machine.name:10} {machine.address:12} {pid}")
    if not lab.running:
        _say("not all of it runs; make lab-up starts it")
        return 1
    _say(f"registry   {lab.registry}\n")
    for words in (("sinfo", "--Node", "--long"), ("condor_status",)):
        _say(lab.submit.output(*words))
    return 0


def _bytes(lab: Lab, options: argparse.Namespace) -> int:
    _say(f"{'machine':10} {'received':>14} {'sent':>14}")
    for name, traffic in sorted(lab.traffic().items()):
        _say(f"{name:10} {traffic.received:14} {traffic.sent:14}")
    return 0


def _run(lab: Lab, options: argparse.Namespace) -> int:
    name, *words = options.words or ("",)
    machine = lab.machine(name)
    command = machine.command(*(words or ["bash", "-l"]), user=options.user)
    return subprocess.run(command).returncode


def _kill(lab: Lab, options: argparse.Namespace) -> int:
    for name in options.words:
        lab.kill(name)
    return 0


def _restart(lab: Lab, options: argparse.Namespace) -> int:
    for name in options.words:
        lab.restart(name)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


_VERBS = {
    "up": _up,
    "down": _down,
    "status": _status,
    "bytes": _bytes,
    "run": _run,
    "kill": _kill,
    "restart": _restart,
}

if __name__ == "__main__":
    sys.exit(main())
