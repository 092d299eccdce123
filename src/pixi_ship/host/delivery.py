"""What of a job goes to a host, and what the job is there: text and paths, nothing is copied.

On the host lie, in the directory of jobs: ``NAME-1`` for each job, with its inputs in
``.inputs``, and ``images/sha256-….sif`` for files that were images here.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pixi_ship.digest import Digest
from pixi_ship.errors import UsageError
from pixi_ship.host.host import Copy
from pixi_ship.host.rules import INPUTS, literal
from pixi_ship.job.spec import ImageKind, JobSpec

_IMAGES = "images"
# Times and modes, so that what is there already is not sent again.
_FILES = ("-rpt",)
# As what they point to: what a link here names is not there.
_INPUTS = ("-rptL",)
_IMAGE = ("-t", "--partial")


@dataclass(frozen=True, slots=True)
class SentImage:
    """A SIF that goes to a host; what has come of it lies in ``part`` until it is whole."""

    source: str
    digest: Digest
    place: str

    @property
    def part(self) -> str:
        """Where it is while it comes."""
        directory, _, name = self.place.rpartition("/")
        return f"{directory}/.{name}.part"

    @property
    def copy(self) -> Copy:
        """The copy, which goes on where one was cut off."""
        return Copy(_IMAGE, (self.source,), self.part)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A job as it is on a host, and what is to be copied for it.

    directory: the job's there. inputs: the copy of them, if there are any.
    """

    job: JobSpec
    directory: str
    inputs: Copy | None = None
    image: SentImage | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs that are copied."""
        return tuple(Path(path).name for path in self.inputs.sources) if self.inputs else ()

    def files(self, directory: Path) -> Copy:
        """The copy of the job's own files, which lie in a directory here."""
        inputs = [Path(path) for path in self.inputs.sources] if self.inputs else []
        twice = [path.relative_to(directory) for path in inputs if directory in path.parents]
        excluded = tuple(f"--exclude=/{literal(str(path))}" for path in twice)
        return Copy((*_FILES, *excluded), (f"{directory}/",), f"{self.directory}/")

    def lines(self, host: str, directory: Path, submit: tuple[str, ...]) -> Iterator[str]:
        """All of it as a person would do it, one line of shell each."""
        folder = shlex.quote(self.directory)
        yield _line("ssh", host, f"mkdir -p {folder}")
        if self.image:
            part, place = shlex.quote(self.image.part), shlex.quote(self.image.place)
            above = shlex.quote(self.image.place.rpartition("/")[0])
            yield _line("ssh", host, f"mkdir -p {above}")
            yield _line(*self.image.copy.words(host))
            yield _line("ssh", host, f"mv {part} {place}")
        for copy in (self.inputs, self.files(directory)):
            if copy:
                yield _line(*copy.words(host))
        yield _line("ssh", host, f"cd {folder} && {shlex.join(submit)}")


def delivery(
    job: JobSpec, directory: str, digest: Digest | None, *, copies_inputs: bool
) -> Delivery:
    """What goes to the directory of a job on a host; raises UsageError for what cannot be there.

    digest: of the SIF that is the job's image, if it is one. copies_inputs: whether they are
    copied, and do not travel in the job's own files.
    """
    found = Delivery(job, directory)
    if job.inputs and copies_inputs:
        places = tuple(f"{directory}/{INPUTS}/{name}" for name in _names(job.inputs))
        copy = Copy(_INPUTS, job.inputs, f"{directory}/{INPUTS}/")
        found = replace(found, job=replace(job, inputs=places), inputs=copy)
    if job.image.kind is ImageKind.SIF_FILE and digest is not None:
        jobs = directory.rpartition("/")[0]
        image = SentImage(job.image.place, digest, f"{jobs}/{_IMAGES}/sha256-{digest.hex}.sif")
        there = replace(job.image, place=image.place)
        found = replace(found, job=replace(found.job, image=there), image=image)
    return found


def _names(inputs: tuple[str, ...]) -> list[str]:
    names = [Path(path).name for path in inputs]
    for name, count in Counter(names).items():
        if count > 1 or not name or "\n" in name:
            raise UsageError(
                f"{count} inputs are named {name!r}"
                if count > 1
                else f"no input is named {name!r}",
                hint="give each --input a name of its own",
            )
    return names


def _line(*words: str) -> str:
    return shlex.join(words)
