"""What a job is, whichever scheduler runs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from pixi_ship.errors import ImageError, UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# What sbatch and condor_submit take without quotes; a name without @ is one of the site's.
_ADDRESS = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._%+=/-]{0,254}(?:@[A-Za-z0-9][A-Za-z0-9.-]{0,254})?\Z"
)
_CAPABILITY = re.compile(r"\d{1,3}(?:\.\d{1,3})?\Z")
_CUDA = re.compile(r"\d{1,4}(?:\.\d{1,4}){0,3}\Z")
_SIF_URL = re.compile(r"(?:osdf|pelican|https?)://[A-Za-z0-9._~:/%+-]+\.sif\Z")
_ARRAY = re.compile(r"(\d{1,9})-(\d{1,9})(?::(\d{1,9}))?(?:%(\d{1,9}))?\Z")
_MOST_TASKS = 1_000_000
INDEX, ITEM = "{index}", "{item}"


class ImageKind(StrEnum):
    """What a job's image is: layers or a SIF in a registry, a SIF here or at a URL, or for here."""

    LAYERS = "docker"
    SIF_IN_REGISTRY = "oras"
    SIF_FILE = "sif"
    SIF_AT_URL = "url"
    HERE = "here"


@dataclass(frozen=True, slots=True)
class JobImage:
    """The image that a job runs in.

    place: ``HOST/NAME@sha256:…`` in a registry, else the path or URL of a SIF. digest: the 64 hex
    digits of what the place names; empty for a file. cuda: the CUDA version that the driver
    must offer, where the environment wants one. plain_http: the registry speaks HTTP without TLS.
    """

    kind: ImageKind
    place: str
    digest: str = ""
    cuda: str | None = None
    plain_http: bool = False

    def __post_init__(self) -> None:
        if self.cuda is not None and not _CUDA.match(self.cuda):
            raise ImageError(f"{self.place} says that it needs CUDA {self.cuda!r}: no version")

    @property
    def url(self) -> str:
        """As Apptainer and HTCondor name it."""
        in_registry = self.kind in (ImageKind.LAYERS, ImageKind.SIF_IN_REGISTRY)
        return f"{self.kind}://{self.place}" if in_registry else self.place


def job_name(text: str) -> str:
    """A name for a job, made of whatever it is to remind of."""
    return _NOT_IN_NAME.sub("-", text)[:64].strip(".-_") or "job"


def image_at_url(text: str) -> JobImage | None:
    """A SIF that a scheduler's own transfer fetches, without login; None for what is no such URL.

    What is there is nobody's promise: a URL names no digest.
    """
    return JobImage(ImageKind.SIF_AT_URL, text) if _SIF_URL.match(text) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What each task may use; memory, disk and gpu_memory in bytes, time in seconds.

    gpu_capability: the least compute capability, such as ``8.0``. None is the site's default.
    """

    cpus: int = 1
    memory: int | None = None
    disk: int | None = None
    time: int | None = None
    gpus: int = 0
    gpu_memory: int | None = None
    gpu_capability: str | None = None

    def __post_init__(self) -> None:
        if self.gpu_capability is not None and not _CAPABILITY.match(self.gpu_capability):
            raise UsageError(
                f"--gpu-capability {self.gpu_capability!r} is no compute capability",
                hint="want two numbers, such as 8.0",
            )


@dataclass(frozen=True, slots=True)
class Tasks:
    """The numbers of an array's tasks, and how many may run at once."""

    first: int
    last: int
    step: int = 1
    at_once: int | None = None

    def __len__(self) -> int:
        return (self.last - self.first) // self.step + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A command in an image, once or as an array.

    command: words; with ``tasks`` ``{index}`` in them stands for the task's number, with
    ``items`` ``{item}`` for the item of that number. inputs: paths on the machine that
    submits, each brought into the job's directory by its last part. outputs: paths in the
    job's directory, which are brought back. env: variables besides the image's. after:
    identifiers of jobs that must have ended well. mail: who is told of the end.
    """

    name: str
    command: tuple[str, ...]
    image: JobImage
    resources: Resources = field(default_factory=Resources)
    tasks: Tasks | None = None
    items: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    after: tuple[str, ...] = ()
    mail: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise UsageError(
                f"{self.name!r} cannot be a job's name",
                hint="want letters, digits, dots and dashes, 64 at most",
            )
        if not self.command:
            raise UsageError("there is no command to run", hint="give it after --")
        for name in self.env:
            if not _VARIABLE.match(name):
                raise UsageError(f"{name!r} cannot be a variable's name")
        texts = (*self.command, *self.env.values(), *self.inputs, *self.outputs)
        if any("\0" in text for text in texts):
            raise UsageError("a word of the command, or a path or variable, has a NUL byte")
        # Python gives bytes of the command line that are no UTF-8 as halves of surrogate pairs.
        if any("\ud800" <= each <= "\udfff" for text in texts for each in text):
            raise UsageError("a word of the command, or a path or variable, is not in UTF-8")
        if self.mail is not None and not _ADDRESS.match(self.mail):
            raise UsageError(
                f"--mail {self.mail!r} cannot be an address",
                hint="want one, such as me@example.org",
            )
        if self.workdir is not None and not _is_directory(self.workdir):
            raise UsageError(
                f"--workdir {self.workdir!r} cannot be a directory in the image",
                hint="want an absolute path",
            )
        if any("\n" in item or "\0" in item for item in self.items):
            raise UsageError("an item cannot hold a line break")
        self._check_paths()

    @property
    def places(self) -> tuple[str, ...]:
        """What stands for something else in the command of this job."""
        return (*((INDEX,) if self.tasks else ()), *((ITEM,) if self.items else ()))

    def _check_paths(self) -> None:
        for path in self.inputs:
            if PurePosixPath(path).name in ("", ".."):
                raise UsageError(
                    f"input {path!r} has no name of its own", hint="name the directory itself"
                )
        for path in self.outputs:
            if (
                path.startswith("/")
                or ".." in path.split("/")
                or "\n" in path
                or not PurePosixPath(path).name
            ):
                raise UsageError(
                    f"output {path!r} is not in the job's directory",
                    hint="name a path relative to where the job starts",
                )


def _is_directory(path: str) -> bool:
    return path.startswith("/") and path.isprintable() and ":" not in path


def parse_tasks(text: str) -> Tasks:
    """Read ``FIRST-LAST[:STEP][%AT-ONCE]``, as sbatch has it; raises UsageError."""
    found = _ARRAY.match(text)
    if found:
        first, last, step = int(found[1]), int(found[2]), int(found[3] or 1)
        at_once = int(found[4]) if found[4] else None
        if first <= last and step and at_once != 0:
            tasks = Tasks(first, last, step, at_once)
            if len(tasks) <= _MOST_TASKS:
                return tasks
    raise UsageError(
        f"--array {text!r} is no array", hint="want FIRST-LAST[:STEP][%AT-ONCE], such as 0-29%5"
    )


@dataclass(frozen=True, slots=True)
class JobFiles:
    """Files to be written for a job, and the command that submits them.

    files: text by name, beside each other. submit: words, to be run where the files are.
    notes: what the scheduler could not be told. fetch: words before a command that is to run
    on a node, where output must be fetched from; and the directory with it, for ``sh``.
    """

    files: Mapping[str, str]
    submit: tuple[str, ...]
    notes: tuple[str, ...] = ()
    fetch: tuple[tuple[str, ...], str] | None = None
