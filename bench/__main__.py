"""`python -m bench [--quick] [--runs N] [--output FILE]`: measure builds on two cores.

The test channel and the base image are built when they are missing. Nothing is asserted:
times are to be read as multiples of the floor, which is measured in the same rounds.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.cases import BASE, DATA, FLOORS, ROOT, Builds, Case, floors, image_bytes, packed_bytes
from bench.measure import Sample, Summary, free_cores, run, use_two_cores

WORKSPACES = {
    "large": DATA / "channel-large/workspaces/large",
    "many": DATA / "channel/workspaces/many",
}


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="rounds (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--workspace", choices=WORKSPACES, help="one of them instead of all")
    parser.add_argument("--case", default="", metavar="TEXT", help="only cases with TEXT in them")
    parser.add_argument("--scratch", type=Path, default=DATA / "bench/scratch", metavar="DIR")
    parser.add_argument("--output", type=Path, default=DATA / "bench/layers.json", metavar="FILE")
    arguments = parser.parse_args()
    chosen = [arguments.workspace] if arguments.workspace else list(WORKSPACES)
    rounds = 1 if arguments.quick else arguments.runs

    _ensure_data(large="large" in chosen)
    cores = use_two_cores()
    baseline = statistics.median(run([sys.executable, "-c", "pass"]).rss for _ in range(3))
    builds = {name: Builds(name, WORKSPACES[name], arguments.scratch) for name in chosen}
    cases: list[Case] = []
    for name, each in builds.items():
        _say(f"{name}: unpacking what the plain tools will pack")
        each.prepare()
        cases += [case for case in each.cases() if arguments.case in case.name]
    loads = [os.getloadavg()[0]]
    free = [free_cores()]
    samples: dict[tuple[str, str], list[Sample]] = {}
    for number in range(1, rounds + 1):
        for case in cases:
            sample = case.go()
            samples.setdefault((case.workspace, case.name), []).append(sample)
            _say(f"round {number}/{rounds}  {case.workspace}: {case.name}  {sample.wall:.2f} s")
        free.append(free_cores())
        loads.append(os.getloadavg()[0])
    _report(cases, samples, builds, int(baseline), cores, loads, free, arguments.output)
    shutil.rmtree(arguments.scratch, ignore_errors=True)


def _ensure_data(*, large: bool) -> None:
    words = ["--large"] if large else []
    channel = [sys.executable, "-m", "tests.channel", str(DATA / "channel"), *words]
    for command in (channel, [sys.executable, "setup/base_image.py", str(DATA)]):
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _report(
    cases: Sequence[Case],
    samples: Mapping[tuple[str, str], Sequence[Sample]],
    builds: Mapping[str, Builds],
    baseline: int,
    cores: int,
    loads: Sequence[float],
    free: Sequence[float],
    output: Path,
) -> None:
    from bench.report import Row, show  # rich would count as ours where a child is small

    summaries = {key: Summary.of(found) for key, found in samples.items()}
    rows = []
    for case in cases:
        document = builds[case.workspace].documents.get(case.name)
        key = (case.workspace, case.name)
        rows.append(
            Row(
                workspace=case.workspace,
                case=case.name,
                summary=summaries[key],
                baseline_rss=baseline,
                packed=packed_bytes(document) if document else 0,
                result=image_bytes(document) if document else _floor_bytes(samples[key][-1]),
                floor_wall=_floor_wall(case, summaries),
            )
        )
    facts = [
        f"Medians of {rounds_of(samples)}; {cores} cores of {platform.machine()}, "
        f"Python {platform.python_version()}.",
        f"Load {min(loads):.1f}-{max(loads):.1f} (our own included); between rounds, two busy "
        f"processes got {', '.join(f'{each:.1f}' for each in free)} cores.",
        f"Memory is above the {baseline / 1e6:.0f} MB of an interpreter that does nothing; "
        "workers are the processes that compile bytecode; disk is cache and output.",
        "The floor is the fastest of tar with "
        + " or ".join(tool for tools in FLOORS.values() for tool in tools)
        + ", for bytecode after the faster compileall. It starts from files already unpacked.",
    ]
    show(rows, facts)
    output.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "python": platform.python_version(),
        "cores": cores,
        "base": BASE,
        "load": list(loads),
        "free_cores": list(free),
        "rows": [row.to_json() for row in rows],
    }
    output.write_text(json.dumps(document, indent=2) + "\n")
    print(f"written to {output}")


def rounds_of(samples: Mapping[tuple[str, str], Sequence[Sample]]) -> int:
    """How often each case ran."""
    return max(len(found) for found in samples.values())


def _floor_wall(case: Case, summaries: Mapping[tuple[str, str], Summary]) -> float | None:
    """Seconds that plain tools take for what a cold build does; None for other cases."""
    if case.tree is None or case.compression is None:
        return None
    total = 0.0
    for step in floors(case.compression, case.tree):
        found = [summaries.get((case.workspace, name)) for name in step]
        walls = [each.wall for each in found if each is not None]
        if not walls:
            return None
        total += min(walls)
    return total


def _floor_bytes(sample: Sample) -> int:
    """The size that a floor's pipeline printed in its last line."""
    last = sample.output.split()[-1:] or ["0"]
    return int(last[0]) if last[0].isdigit() else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


main()
