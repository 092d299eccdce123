"""Jobs whose command lines are written down in `command_lines.txt`.

`python -m tests.runtime.specs` writes them anew; read what changed before it is kept.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from pixi_ship.runtime.find import RUNTIMES, Form
from pixi_ship.runtime.image import RunnableImage
from pixi_ship.runtime.spec import Bind, Caller, Like, RunSpec, Variable

GOLDEN = Path(__file__).with_name("command_lines.txt")
CALLER = Caller(
    "/home/me/my work", "/home/me", 1000, 100, {"LANG": "C", "PATH": "/bin", "MODE": "mine"}
)
PLAIN = RunSpec(command=("python", "fit.py", "two words", "$X", ""), caller=CALLER)
SPECS = {
    "plain": PLAIN,
    "no command": replace(PLAIN, command=()),
    "terminal": replace(PLAIN, caller=replace(CALLER, terminal=True)),
    "as root": replace(PLAIN, caller=replace(CALLER, uid=0, gid=0, home="/root")),
    "one GPU": replace(PLAIN, gpus="1"),
    "two GPUs": replace(PLAIN, gpus="2"),
    "all GPUs": replace(PLAIN, gpus="all"),
    "binds": replace(
        PLAIN, binds=(Bind("/data/in", "/in", True), Bind("/data/out", "/opt/new/out"))
    ),
    "variables": replace(
        PLAIN, variables=(Variable("A", "x, 'y'"), Variable("TOKEN", "secret", True))
    ),
    "elsewhere": replace(PLAIN, starts_in="/app", binds=(Bind("/data", "/data"),)),
    "options": replace(PLAIN, options=("--memory=1g", "--quiet")),
    "like htcondor": replace(PLAIN, like=Like.HTCONDOR),
    "like slurm": replace(PLAIN, like=Like.SLURM),
}
PLACES = {Form.NAME: "localhost/image:1", Form.SIF: "/cache/image.sif"}


def image(form: Form, root: Path) -> RunnableImage:
    """An image as the runtimes of a form take it."""
    variables = {"PATH": "/app/bin:/bin", "MODE": "batch"}
    place = PLACES.get(form, str(root))
    return RunnableImage(place, variables, ("/app/entrypoint.sh",), ("/bin/bash",))


def make_root(root: Path) -> None:
    """A root filesystem with a link, a file at the top, and what runtimes mount something over."""
    for name in ("app", "dev", "etc", "home", "opt/old", "proc", "run", "sys", "tmp", "usr/bin"):
        (root / name).mkdir(parents=True)
    (root / "var" / "tmp").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "notes").touch()


def command_lines(root: Path) -> str:
    """Every job on every runtime that can run it."""
    sections = []
    for runtime in RUNTIMES.values():
        for name, spec in SPECS.items():
            if spec.gpus and not runtime.gpus:
                continue
            program = f"/usr/bin/{runtime.programs[0]}"
            line = runtime.command_line(program, image(runtime.form, root), spec)
            sections.append(f"# {runtime.name}: {name}\n{line}\n".replace(str(root), "/ROOT"))
    return "\n".join(sections)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        make_root(Path(folder, "root"))
        GOLDEN.write_text(command_lines(Path(folder, "root")))
