"""How an environment gets to jobs: each way as a job that the lab's Slurm takes.

All but the first use the job script that `pixi-ship submit` writes, also for the single layer:
so what differs is the image, and what the node fetches it with.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.cluster import Lab
from lab.machine import HOME
from lab.tool import TOOL_ON_NODES

from bench.jobs.result import Task
from bench.jobs.versions import CHANNEL_PORT, Published

# Clocks of nodes are this machine's.
CODE = (
    "import json, time, pandas, scipy.linalg; "
    "print(json.dumps([scipy.linalg.norm([3, 4]), time.time()]))"
)
SCRATCH = "/scratch"
_PATIENCE = 1800  # seconds
_PROFILE = f"""\
[slurm]
shared = false
scratch = "{SCRATCH}"
images = "{SCRATCH}/images"
"""
_WITH_TOOL = f"""\
lines = ['PATH="{TOOL_ON_NODES}:$PATH"']
"""
_INSTALL = """\
#!/bin/bash
#SBATCH --chdir=/
#SBATCH --output={scratch}/install-%A-%a.txt
set -eu
here=$(mktemp -d {scratch}/install.XXXXXX)
trap 'rm -rf "$here"' EXIT
sed '1,/^#INSTALL$/d; /^#LOCK$/,$d' "$0" >"$here/install.py"
sed '1,/^#LOCK$/d' "$0" >"$here/pixi.lock"
PYTHONPATH=/opt/pixi-ship/lib python3 "$here/install.py" "$here/pixi.lock" "$here/prefix"
"$here/prefix/bin/python" -c {code}
exit
#INSTALL
{install}
#LOCK
{lock}"""


@dataclass(frozen=True, slots=True)
class Way:
    """A row of the table. run: run so many tasks of a version, and tell of each."""

    name: str
    run: Callable[[Lab, Published, int], list[Task]]


def ways() -> tuple[Way, ...]:
    """All of them, in the table's order."""
    return (
        Way("environment installed by each job", _install),
        Way("single layer, by Apptainer", lambda *args: _submit("single", False, *args)),
        Way("our layers, by Apptainer", lambda *args: _submit("layers", False, *args)),
        Way("our layers, by pixi-ship", lambda *args: _submit("layers", True, *args)),
        Way("our SIF, by Apptainer", lambda *args: _submit("sif", False, *args)),
        Way("our SIF, by pixi-ship", lambda *args: _submit("sif", True, *args)),
    )


def clean(lab: Lab) -> None:
    """Leave nodes without images and packages."""
    for node in lab.slurm_nodes:
        node.output("sh", "-c", f"rm -rf {SCRATCH}/*", user="root")


def _submit(kind: str, tool: bool, lab: Lab, version: Published, tasks: int) -> list[Task]:
    lab.submit.write(f"{HOME}/site.toml", _PROFILE + (_WITH_TOOL if tool else ""))
    options = ("--site", "site.toml", "--plain-http", "--memory", "1G")
    words = ("submit", "slurm", version.references[kind], *options, "--array", f"0-{tasks - 1}")
    job = _said(lab, *words, "--", "python", "-c", CODE).strip()
    waited = lab.submit.run("pixi-ship", "wait", job, timeout=_PATIENCE)
    _said(lab, "fetch", job)
    if waited.returncode:
        why = _said(lab, "logs", "--stderr", "--task", "0", job)
        raise RuntimeError(f"{waited.stdout}{why[-2000:]}")
    return [_task(_said(lab, "logs", "--task", str(number), job)) for number in range(tasks)]


def _said(lab: Lab, *words: str) -> str:
    return lab.submit.output("pixi-ship", *words, timeout=_PATIENCE)


def _install(lab: Lab, version: Published, tasks: int) -> list[Task]:
    host = lab.registry.partition(":")[0]
    script = _INSTALL.format(
        scratch=SCRATCH,
        code=shlex.quote(CODE),
        install=Path(__file__).with_name("install.py").read_text(),
        lock=version.lock_at(f"http://{host}:{CHANNEL_PORT}"),
    )
    lab.submit.write(f"{HOME}/install.sbatch", script)
    options = (f"--array=0-{tasks - 1}", "--mem=1G", "--wait", "--parsable")
    done = lab.submit.run("sbatch", *options, "install.sbatch", timeout=_PATIENCE)
    number = done.stdout.strip()
    said = []
    for node in lab.slurm_nodes:
        script = f"cat {SCRATCH}/install-{number}-*.txt 2>/dev/null || true"
        said += node.output("sh", "-c", script).splitlines()
    found = [_task(line) for line in said if line.startswith("[")]
    if len(found) != tasks:
        raise RuntimeError(
            f"{tasks - len(found)} of {tasks} jobs failed: {' '.join(said)[-1000:]} {done.stderr}"
        )
    return found


def _task(said: str) -> Task:
    value, moment = json.loads(said)
    if value != 5:
        raise RuntimeError(f"a task computed {value}, want 5")
    return Task(moment)
