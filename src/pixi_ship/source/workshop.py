"""What building wheels needs of the machine, as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.cache import Cache
from pixi_ship.fetch.archives import Archives
from pixi_ship.prefix.bytecode import Interpreter
from pixi_ship.prefix.python import PythonInfo
from pixi_ship.sandbox.sandbox import Sandbox
from pixi_ship.workspace import PypiOptions

_HOUR = 3600.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What building needs of this machine, and for whom it builds.

    root: the lock's directory. python, subdir: the target's. interpreters: minor version → a
    Python at hand. sandbox: where backends run; None where there is none, or none is wanted
    (unconfined). runs_target: whether programs for ``subdir`` run here. environment: the
    caller's variables, for ``uv`` and ``git``, never for a backend. build_network: whether
    backends may use the network. report: told the name of each package that
    is built. timeout: seconds of one step.
    """

    cache: Cache
    root: Path
    archives: Archives
    python: PythonInfo
    subdir: str
    interpreters: Mapping[str, Interpreter]
    sandbox: Sandbox | None
    unconfined: bool
    runs_target: bool
    environment: Mapping[str, str]
    indexes: PypiOptions
    offline: bool
    build_network: bool
    report: Callable[[str], None]
    timeout: float = _HOUR
