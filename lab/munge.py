"""MUNGE: how Slurm's daemons and commands know who is asking."""

from __future__ import annotations

import hashlib

from lab.machine import Machine
from lab.service import Service, Site


def _prepare(machine: Machine, site: Site) -> None:
    key = hashlib.sha512(b"munge" + site.secret).digest()
    machine.put("/etc/munge/munge.key", key, mode=0o400, owner="munge")


def _start(machine: Machine) -> None:
    directories = ("/run/munge", "/var/log/munge", "/var/lib/munge")
    owner = ("--owner", "munge", "--group", "munge", "--mode", "755")
    machine.output("install", "--directory", *owner, *directories, user="root")
    # It wants to be sure of every directory above its own; this is not the place to argue.
    machine.output("munged", "--force", user="munge")


MUNGE = Service("munge", _prepare, _start)
