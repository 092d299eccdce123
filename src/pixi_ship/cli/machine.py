"""What this machine offers to those who build on it: interpreters, a sandbox, its platform."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping

from pixi_ship.machine import Machine
from pixi_ship.platform import platform_of, platform_of_machine
from pixi_ship.prefix.bytecode import Interpreter, probe_interpreter
from pixi_ship.sandbox.sandbox import Sandbox


def machine_here(*, confined: bool = True) -> Machine:
    """Look at the machine. confined: False where --no-sandbox was given."""
    runs_linux = sys.platform == "linux"
    program = shutil.which("bwrap") if runs_linux and confined else None
    here = platform_of(platform_of_machine(os.uname().machine)) if runs_linux else None
    return Machine(
        interpreters=_Interpreters(),
        platform=here,
        sandbox=Sandbox(program=program, uid=os.getuid(), gid=os.getgid()) if program else None,
        unconfined=not confined,
        environment=dict(os.environ),
    )


class _Interpreters(Mapping[str, Interpreter]):
    """Minor version → a Python on this machine; each is asked when it is wanted."""

    def __getitem__(self, short_version: str) -> Interpreter:
        mine = f"{sys.version_info[0]}.{sys.version_info[1]}"
        candidates = [sys.executable] if short_version == mine else []
        if on_path := shutil.which(f"python{short_version}"):
            candidates.append(on_path)
        for candidate in candidates:
            found = probe_interpreter(candidate)
            if found is not None and found.short_version == short_version:
                return found
        raise KeyError(short_version)

    def __iter__(self) -> Iterator[str]:
        yield f"{sys.version_info[0]}.{sys.version_info[1]}"

    def __len__(self) -> int:
        return 1
