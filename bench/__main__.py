"""`python -m bench [--quick] [--runs N] [--output FILE]`: measure builds on two cores.

The test channel and the base image are built when they are missing. Nothing is asserted:
times are to be read as multiples of the floor, which is measured in the same rounds.
`python -m bench registry` measures pushes and pulls instead, `python -m bench sif` how SIF files
are made and start, `python -m bench jobs` what jobs cost the nodes of a cluster; each has its own
--help.
"""

from __future__ import annotations

import platform
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.cases import FLOORS, Builds, Case, floors, image_bytes, packed_bytes
from bench.measure import Sample, Summary, Surroundings, run, use_two_cores
from bench.options import parser
from bench.workspaces import LARGE, SMALL, ensure_data

WORKSPACES = {"large": LARGE, "many": SMALL / "many"}


def main() -> None:
    """Measure, print, save."""
    if sys.argv[1:2] == ["registry"]:
        from bench.registry.run import main as registry  # it alone needs what tests need

        registry(sys.argv[2:])
        return
    if sys.argv[1:2] == ["sif"]:
        from bench.sif.run import main as sif

        sif(sys.argv[2:])
        return
    if sys.argv[1:2] == ["race"]:
        from bench.race.run import main as race  # it needs what tests need, and buildah

        race(sys.argv[2:])
        return
    if sys.argv[1:2] == ["jobs"]:
        from bench.jobs.run import main as jobs  # it alone needs the lab

        jobs(sys.argv[2:])
        return
    options = parser("python -m bench", __doc__, WORKSPACES, "layers")
    options.add_argument("--case", default="", metavar="TEXT", help="only cases with TEXT in them")
    arguments = options.parse_args()
    chosen = [arguments.workspace] if arguments.workspace else list(WORKSPACES)
    rounds = 1 if arguments.quick else arguments.runs

    ensure_data(large="large" in chosen)
    cores = use_two_cores()
    baseline = statistics.median(run([sys.executable, "-c", "pass"]).rss for _ in range(3))
    builds = {name: Builds(name, WORKSPACES[name], arguments.scratch) for name in chosen}
    cases: list[Case] = []
    for name, each in builds.items():
        _say(f"{name}: unpacking what the plain tools will pack")
        each.prepare()
        cases += [case for case in each.cases() if arguments.case in case.name]
    surroundings = Surroundings()
    surroundings.look()
    samples: dict[tuple[str, str], list[Sample]] = {}
    for number in range(1, rounds + 1):
        for case in cases:
            sample = case.go()
            samples.setdefault((case.workspace, case.name), []).append(sample)
            _say(f"round {number}/{rounds}  {case.workspace}: {case.name}  {sample.wall:.2f} s")
        surroundings.look()
    _report(cases, samples, builds, int(baseline), cores, surroundings, arguments.output)
    shutil.rmtree(arguments.scratch, ignore_errors=True)


def _report(
    cases: Sequence[Case],
    samples: Mapping[tuple[str, str], Sequence[Sample]],
    builds: Mapping[str, Builds],
    baseline: int,
    cores: int,
    surroundings: Surroundings,
    output: Path,
) -> None:
    from bench.report import Row, save, show  # rich would count as ours where a child is small

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
        str(surroundings),
        f"Memory is above the {baseline / 1e6:.0f} MB of an interpreter that does nothing; "
        "workers are the processes that compile bytecode; disk is cache and output.",
        "The floor is the fastest of tar with "
        + " or ".join(tool for tools in FLOORS.values() for tool in tools)
        + ", for bytecode after the faster compileall. It starts from files already unpacked.",
    ]
    show(rows, facts)
    save(output, [row.to_json() for row in rows], cores, surroundings)


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
