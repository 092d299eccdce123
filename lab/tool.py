"""`pixi-ship` itself on machines of the lab, from this checkout and for the Python there.

    python -m lab.tool .test-data

fetches what it depends on. The lab has another Debian and another Python than this machine, so
pip is asked for wheels of that one. On the submit host it is a command; nodes have it in
`TOOL_ON_NODES`, out of the way of jobs, for sites that put it into their PATH.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from lab.machine import Machine

_REPOSITORY = Path(__file__).parents[1]
_PLACE = "/opt/pixi-ship"
TOOL_ON_NODES = f"{_PLACE}/bin"
"""The directory of the command on nodes."""

_PROGRAM = """\
#!/bin/sh
exec python3 -m pixi_ship "$@"
"""


def bind_tool(machine: Machine, data: Path) -> None:
    """Show a machine what `main` has fetched, and the sources of this checkout."""
    machine.shows = {f"{_PLACE}/src": _REPOSITORY / "src"}
    if (data / "lab-tool").is_dir():
        machine.shows = {**machine.shows, f"{_PLACE}/lib": data / "lab-tool"}


def put_tool(machine: Machine) -> None:
    """Make `pixi-ship` a command of a machine; no variable of it reaches its jobs."""
    folder = f"/usr/local/lib/python{_version(machine.root)}/dist-packages"
    machine.put(f"{folder}/pixi-ship.pth", f"{_PLACE}/src\n{_PLACE}/lib\n")
    machine.put("/usr/local/bin/pixi-ship", _PROGRAM, mode=0o755)


def put_tool_aside(machine: Machine) -> None:
    """Have `pixi-ship` in a directory of a node, which no PATH names."""
    path = f"PYTHONPATH={_PLACE}/src:{_PLACE}/lib"
    text = _PROGRAM.replace("exec python3", f"exec env {path} python3")
    machine.put(f"{TOOL_ON_NODES}/pixi-ship", text, mode=0o755)


def main() -> None:
    """Fetch the wheels, unless those that are there are the right ones."""
    data = Path(sys.argv[1]).resolve()
    place = data / "lab-tool"
    project = tomllib.loads((_REPOSITORY / "pyproject.toml").read_text())["project"]
    version = _version(data / "lab-root")
    wanted = [version, *project["dependencies"]]
    stamp = place / "made-for"
    if stamp.exists() and stamp.read_text().splitlines() == wanted:
        return
    new = place.with_name("lab-tool.new")
    shutil.rmtree(new, ignore_errors=True)
    machine = platform.machine()
    platforms = (
        f"manylinux2014_{machine}",
        f"manylinux_2_17_{machine}",
        f"manylinux_2_28_{machine}",
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--target", str(new), "--only-binary=:all:", "--no-compile"),
            *("--implementation", "cp", "--python-version", version),
            *(word for each in platforms for word in ("--platform", each)),
            *project["dependencies"],
        ],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        shutil.rmtree(new, ignore_errors=True)
        reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        sys.stderr.write(f"not made: {place} ({reason}); the submit host has no pixi-ship\n")
        return
    (new / "made-for").write_text("\n".join(wanted))
    shutil.rmtree(place, ignore_errors=True)
    new.rename(place)


def _version(root: Path) -> str:
    """3.N, the Python of a root filesystem."""
    return (root / "usr" / "bin" / "python3").readlink().name.removeprefix("python")


if __name__ == "__main__":
    main()
