"""`python -m bench jobs [--quick] [--tasks M] [--output FILE]`: what jobs cost the nodes.

In the lab (`make lab-up` makes it), on three nodes without a shared filesystem: jobs that install
their environment, that run in a single-layer image, in ours, and in our SIF; on nodes that have
nothing, and then with one package changed. Nothing is asserted.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.cluster import DATA, Lab

from bench.jobs.course import measured
from bench.jobs.result import Measured
from bench.jobs.table import facts, show
from bench.jobs.versions import publish
from bench.jobs.ways import ways
from bench.measure import Surroundings, use_two_cores
from bench.options import parser
from bench.report import save
from bench.workspaces import ensure_data


def main(words: Sequence[str]) -> None:
    """Measure, print, save."""
    options = parser("python -m bench jobs", __doc__, ("large",), "jobs")
    options.add_argument("--tasks", type=int, default=12, metavar="M", help="at once (default: 12)")
    options.add_argument("--way", default="", metavar="TEXT", help="only ways with TEXT in them")
    arguments = options.parse_args(words)
    lab = Lab(Path(os.environ.get("PIXI_SHIP_LAB", DATA)))
    if reason := lab.missing():
        sys.exit(reason)
    ensure_data(large=True)
    cores = use_two_cores()
    shutil.rmtree(arguments.scratch, ignore_errors=True)
    arguments.scratch.mkdir(parents=True)
    surroundings = Surroundings()
    surroundings.look()
    rows: list[Measured] = []
    with lab.reserved():
        lab.up()
        try:
            _say("making and pushing the images")
            old, new, changed = publish(lab, arguments.scratch)
            for way in ways():
                if arguments.way not in way.name:
                    continue
                for row in measured(lab, way, (old, new), arguments.tasks):
                    rows.append(row)
                    received = sum(row.received.values()) / 1e6
                    _say(f"{row.way}, {row.step}: {received:.1f} MB, {row.last:.0f} s")
                surroundings.look()
        finally:
            lab.down()
    said = facts(len(lab.slurm_nodes), arguments.tasks, old.environment, changed)
    show(rows, changed, [*said, f"{cores} cores. {surroundings}"])
    extra = {"changed_bytes": changed, "environment_bytes": old.environment}
    save(arguments.output, [row.to_json() for row in rows], cores, surroundings, extra)
    shutil.rmtree(arguments.scratch, ignore_errors=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
