"""What a machine of the lab serves, and waiting until something is so."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.errors import LabError
from lab.machine import Machine

_LOOK = 0.2  # seconds between two looks
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Site:
    """What all machines of one lab must agree on.

    hosts: the address of each name. registry: HOST:PORT. secret: random bytes that only this lab
    knows, from which its machines make the keys they know each other by.
    """

    hosts: Mapping[str, str]
    registry: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class Service:
    """Something a machine serves.

    prepare: write its files; once, before the machine's first start. start: start it; each time
    the machine has started. Both raise LabError.
    """

    name: str
    prepare: Callable[[Machine, Site], None]
    start: Callable[[Machine], None]


def wait_until(what: str, so: Callable[[], bool], log: str, patience: float = _PATIENCE) -> None:
    """Wait until something is so; raises LabError that names a log to read."""
    end = time.monotonic() + patience
    while not so():
        if time.monotonic() > end:
            raise LabError(f"{what}: not so after {patience:.0f} s", hint=f"see {log}")
        time.sleep(_LOOK)
