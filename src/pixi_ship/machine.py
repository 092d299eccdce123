"""What making an image may use of the machine that it is made on; read at the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pixi_ship.platform import Platform
from pixi_ship.prefix.bytecode import Interpreter
from pixi_ship.sandbox.sandbox import Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine as the steps of a build see it; by default one that has nothing.

    interpreters: minor version → a Python at hand. platform: whose programs it runs; None for
    no Linux. sandbox: where what packages bring along runs; None where there is none.
    unconfined: --no-sandbox, sources are built by the caller's own rights. environment: the
    caller's variables, for ``uv`` and ``git``, which know indexes, proxies and logins by them.
    """

    interpreters: Mapping[str, Interpreter] = field(default_factory=dict)
    platform: Platform | None = None
    sandbox: Sandbox | None = None
    unconfined: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def runs(self, platform: Platform) -> bool:
        """Whether programs for a platform run here."""
        return self.platform == platform
