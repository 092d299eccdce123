"""How long jobs take to start in SIF files of three forms, by the same Apptainer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.inside import USERS, Inside
from bench.process import Command, run
from bench.sif import small_files, tools
from bench.sif.course import Course
from bench.sif.images import COMPRESSIONS, Version, make_version, remove
from bench.sif.result import Start
from bench.workspaces import SMALL

OURS, LAYERED, APPTAINER = "ours, one partition", "layers as overlays", "Apptainer's own"
IMPORT, READ = 'python -c "import numpy"', f"stat and read {small_files.FILES:,} small files"
_JOBS = {IMPORT: "import numpy; print(numpy.ones(3).sum())", READ: small_files.JOB}
_STARTS = {IMPORT: 5, READ: 3}  # of each form in a round, after one that does not count

# Prints what the job said, and then the microseconds from start to end; $1: the SIF.
_TIMED = """
set -eu
from=$EPOCHREALTIME
apptainer exec "$@"
to=$EPOCHREALTIME
echo "$(( ${to/./} - ${from/./} ))"
"""


@dataclass(frozen=True, slots=True)
class Image:
    """An image in all its forms: by form and compression a SIF, and how many partitions."""

    name: str
    job: str
    sifs: Mapping[tuple[str, str], tuple[Path, int]]


def image_of_course(course: Course, scratch: Path) -> Image:
    """What a course has made, and the layers of the same image as overlays."""
    own, theirs = (
        {each: course.sif(tool, each) for each in COMPRESSIONS}
        for tool in (tools.OURS, tools.APPTAINER)
    )
    return Image(course.name, IMPORT, _forms(course.old.layout, own, theirs, scratch))


def image_of_small_files(inside: Inside, scratch: Path) -> Image:
    """The numpy workspace on a base with many small files."""
    base = small_files.write_base(scratch / "base")
    version = make_version(SMALL / "numpy", "1", scratch, base)
    own = _make(tools.ours(scratch), version, scratch)
    theirs = _make(tools.apptainer(inside, archive=False), version, scratch)
    return Image("numpy on small files", READ, _forms(version.layout, own, theirs, scratch))


def starts_of(
    image: Image, users: Mapping[str, Inside]
) -> Iterator[tuple[Start, str, float, float]]:
    """Starts in turn, of every form by every user: wall and processor time in seconds."""
    # What entering takes is not the job's; what FUSE does for it is, and ends after it.
    empty = {user: run(each.command(("true",), ())).cpu for user, each in users.items()}
    said = set()
    for number in range(_STARTS[image.job] + 1):
        for (form, compression), (sif, partitions) in image.sifs.items():
            size = sif.stat().st_size
            start = Start(image.name, image.job, form, compression, size, partitions)
            for user, inside in users.items():
                words = ("bash", "-c", _TIMED, "-", sif, "python", "-c", _JOBS[image.job])
                sample = run(inside.command(words, (sif,)))
                answer, wall = sample.output.splitlines()
                said.add(answer)
                if number > 0:  # before that the kernel may have to read the file
                    yield start, user, int(wall) / 1e6, sample.cpu - empty[user]
    if len(said) != 1:
        raise RuntimeError(f"{image.name}: the same job said different things: {said}")


def _make(tool: tools.Tool, version: Version, scratch: Path) -> dict[str, Path]:
    """Make SIF files that nobody measures."""
    sifs = {each: scratch / f"{tool.name.split()[0]}-{each}.sif" for each in COMPRESSIONS}
    for compression, sif in sifs.items():
        run(tool.command(version, compression, sif))
    remove(tool.kept)
    return sifs


def _forms(
    layout: Path, own: Mapping[str, Path], theirs: Mapping[str, Path], scratch: Path
) -> dict[tuple[str, str], tuple[Path, int]]:
    """Our SIF, the same image's layers as overlays, Apptainer's SIF: of each compression."""
    forms = {}
    for each in COMPRESSIONS:
        forms[OURS, each] = own[each], 1
        sif = scratch / f"layered-{each}.sif"
        forms[LAYERED, each] = sif, _write_layered(layout, each, scratch / "packs", sif)
        forms[APPTAINER, each] = theirs[each], 1
    return forms


def _write_layered(layout: Path, compression: str, cache: Path, sif: Path) -> int:
    program: Sequence[str | Path] = (sys.executable, "-m", "bench.sif.layered")
    sample = run(Command((*program, layout, cache, compression, sif)))
    remove(cache)
    return int(sample.output)


def users(scratch: Path) -> dict[str, Inside]:
    """Those as whom Apptainer runs here."""
    found = {user: Inside(user, scratch / user) for user in USERS}
    return {user: each for user, each in found.items() if each.apptainer.available() is None}
