"""`python -m bench sif [--quick] [--runs N] [--output FILE]`: measure how SIF files are made.

Two versions of an environment, of which one package differs, become SIF files: by us from the
lock, by Apptainer from the image that we made of it, by mksquashfs from its unpacked files. Then
jobs start in them, as root and as an ordinary user. Nothing is asserted. --quick is one round of
the smaller workspace. What is missing on this machine is named and left out.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.inside import USERS, Inside
from bench.measure import Surroundings, use_two_cores
from bench.options import parser
from bench.report import save
from bench.sif import tools
from bench.sif.course import WORKSPACES, Course
from bench.sif.result import Case, Result, Start, Starts
from bench.sif.starts import image_of_course, image_of_small_files, starts_of, users
from bench.sif.table import facts, show_builds, show_facts, show_starts
from bench.workspaces import ensure_data


def main(words: Sequence[str]) -> None:
    """Measure, print, save."""
    arguments = parser("python -m bench sif", __doc__, WORKSPACES, "sif").parse_args(words)
    chosen = list(WORKSPACES[:1] if arguments.quick else WORKSPACES)
    if arguments.workspace:
        chosen = [arguments.workspace]
    rounds = 1 if arguments.quick else arguments.runs

    # Ended by a signal too, it stops what it runs and removes its files.
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda number, _: sys.exit(128 + number))
    ensure_data(large="large" in chosen)
    cores = use_two_cores()
    surroundings = Surroundings()
    with _scratch(arguments.scratch) as scratch:
        found = users(scratch / "users")
        inside = found.get("root")
        missing = list(dict.fromkeys(filter(None, _left_out(scratch, inside))))
        courses = _courses(chosen, scratch, inside)
        results = _built(courses, rounds, surroundings)
        starts = _started(courses, found, scratch, rounds) if inside else {}
        versions = tools.versions(inside)
    show_builds(results)
    show_starts(starts)
    said = "; ".join(f"{name} {version}" for name, version in versions.items())
    show_facts([*facts(results, starts), f"{cores} cores; {said}. {surroundings}", *missing])
    more = {
        "versions": versions,
        "left_out": missing,
        "starts": [
            {**start.to_json(), "user": user, **each.to_json()}
            for (start, user), each in starts.items()
        ],
    }
    rows = [{**case.to_json(), **result.to_json()} for case, result in results.items()]
    save(arguments.output, rows, cores, surroundings, more)


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A new directory, removed whatever ends this."""
    parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=parent.resolve()))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):  # there was something else in it
            parent.rmdir()


def _left_out(scratch: Path, inside: Inside | None) -> Iterator[str | None]:
    """Why a part of this cannot be measured here."""
    yield tools.no_convert()
    yield tools.no_mksquashfs(inside)
    for user in USERS:
        if reason := Inside(user, scratch / "probe").apptainer.available():
            yield f"Left out: {reason}"


def _courses(chosen: Sequence[str], scratch: Path, inside: Inside | None) -> list[Course]:
    courses, convert = [], tools.no_convert() is None
    for name in chosen:
        _say(f"{name}: making the images")
        (scratch / name).mkdir()
        courses.append(Course(name, scratch / name, inside, convert=convert))
    return courses


def _built(
    courses: Sequence[Course], rounds: int, surroundings: Surroundings
) -> dict[Case, Result]:
    """All rounds of making SIF files."""
    results: dict[Case, Result] = {}
    surroundings.look()
    for number in range(1, rounds + 1):
        for course in courses:
            for case, sample, size in course.round():
                result = results.setdefault(case, Result())
                result.samples.append(sample)
                result.size = size
                _say(f"round {number}/{rounds}  {case}  {sample.wall:.2f} s")
        surroundings.look()
    return results


def _started(
    courses: Sequence[Course], found: Mapping[str, Inside], scratch: Path, rounds: int
) -> dict[tuple[Start, str], Starts]:
    """All rounds of starting jobs in them."""
    images = [image_of_course(course, course.scratch) for course in courses]
    if "numpy" in {course.name for course in courses}:
        _say("making an image with many small files")
        (scratch / "small-files").mkdir()
        images.append(image_of_small_files(found["root"], scratch / "small-files"))
    starts: dict[tuple[Start, str], Starts] = {}
    for number in range(1, rounds + 1):
        for image in images:
            for start, user, wall, cpu in starts_of(image, found):
                starts.setdefault((start, user), Starts()).add(wall, cpu)
                _say(f"round {number}/{rounds}  {start}, {user}  {wall:.2f} s")
    return starts


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
