"""`python -m bench registry [--quick] [--runs N] [--output FILE]`: measure pushes and pulls.

Each client gets an empty docker-registry of its own on this machine, with the base in it. It
pushes an environment, the same again, the environment with one package changed, and that into a
second repository; then the changed one is pulled by clients that have the first. A round before
the timed ones counts bytes. Nothing is asserted.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from bench.measure import Surroundings, use_two_cores
from bench.options import parser
from bench.registry.clients import CLIENTS, found
from bench.registry.course import WORKSPACES, Course
from bench.registry.result import Case, Result
from bench.registry.table import facts, show
from bench.report import save
from bench.workspaces import ensure_data

_NEEDED = ("docker-registry", "skopeo")
_OTHERS = ("podman", "crane", "oras")


def main(words: Sequence[str]) -> None:
    """Measure, print, save."""
    options = parser("python -m bench registry", __doc__, WORKSPACES, "registry")
    options.add_argument("--client", choices=CLIENTS, help="one of them instead of all")
    arguments = options.parse_args(words)
    if missing := [name for name in _NEEDED if not found(name)]:
        sys.exit(f"not on this machine: {', '.join(missing)}; next: make setup")
    chosen = [arguments.workspace] if arguments.workspace else list(WORKSPACES)
    rounds = 1 if arguments.quick else arguments.runs

    # Ended by a signal too, it stops its registry and gives podman's stores back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    ensure_data(large="large" in chosen)
    cores = use_two_cores()
    shutil.rmtree(arguments.scratch, ignore_errors=True)
    surroundings = Surroundings()
    with ExitStack() as stack:
        courses = []
        for name in chosen:
            _say(f"{name}: making the images")
            courses.append(Course(name, arguments.scratch / name, arguments.client))
            stack.callback(courses[-1].end)
        results = _measured(courses, rounds, surroundings)
    left_out = _left_out(podman=all(course.podman for course in courses))
    show(results, [*facts(results), f"{cores} cores. {surroundings}", *left_out])
    rows = [{**case.to_json(), **result.to_json()} for case, result in results.items()]
    save(arguments.output, rows, cores, surroundings, {"clients": _versions()})
    shutil.rmtree(arguments.scratch, ignore_errors=True)


def _measured(
    courses: Sequence[Course], rounds: int, surroundings: Surroundings
) -> dict[Case, Result]:
    """A round that counts, and those that are timed."""
    results: dict[Case, Result] = {}
    for number in range(rounds + 1):
        counting = number == 0
        for course in courses:
            for each in course.round(counting=counting):
                results.setdefault(each.case, Result()).add(each, counting=counting)
                _say(f"round {number}/{rounds}  {each.case}  {each.sample.wall:.2f} s")
        surroundings.look()
    return results


def _left_out(*, podman: bool) -> list[str]:
    missing = [name for name in _OTHERS if not found(name)]
    said = [f"Not on this machine: {', '.join(missing)}."] if missing else []
    if found("podman") and not podman:
        said.append("Podman is left out: it takes no image in on this machine.")
    return said


def _versions() -> dict[str, str]:
    """What each client says of its version, in its first line."""
    said = {}
    for name in (*_NEEDED, *_OTHERS):
        if program := found(name):
            words = [program, "version" if name in ("crane", "oras") else "--version"]
            lines = subprocess.run(words, capture_output=True, text=True).stdout.splitlines()
            said[name] = lines[0] if lines else ""
    return said


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
