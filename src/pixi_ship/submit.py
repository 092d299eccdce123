"""Jobs in an image: rendered, submitted, and looked after from what lies in their directory."""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pixi_ship.errors import ImageError, PixiShipError, SchedulerError, UsageError
from pixi_ship.job.htcondor import render_htcondor
from pixi_ship.job.local import Start, render_local
from pixi_ship.job.site import Site
from pixi_ship.job.slurm import render_slurm
from pixi_ship.job.spec import ImageKind, JobFiles, JobImage, JobSpec
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.oci.stored import parsed
from pixi_ship.platform import Platform
from pixi_ship.registry.registries import Registries
from pixi_ship.scheduler import supervisor
from pixi_ship.scheduler.command import Commands
from pixi_ship.scheduler.htcondor import HTCondor
from pixi_ship.scheduler.local import Local
from pixi_ship.scheduler.record import JobRecord, SchedulerName, There
from pixi_ship.scheduler.slurm import Slurm
from pixi_ship.scheduler.state import Task
from pixi_ship.sif.file import SifFile, read_sif, read_sif_from
from pixi_ship.sif.format import OCI_CONFIG

_MOST_DIRECTORIES = 100_000
_CUDA = "pixi-ship.cuda"


class Scheduler(Protocol):
    """What a scheduler's driver does."""

    def submit(self, directory: Path, files: JobFiles) -> str:
        """Submit what lies in a directory; returns the scheduler's identifier."""

    def cancel(self, record: JobRecord) -> None:
        """Cancel every task that has not ended."""

    def fetch(self, record: JobRecord) -> list[int | None]:
        """Bring what ended tasks left on nodes; returns the tasks it was done for."""

    def tasks(self, record: JobRecord) -> list[Task]:
        """Every task, in the order of the array."""

    def tail(self, record: JobRecord, task: Task, name: str, start: int) -> Iterator[bytes]:
        """What a task has written to stdout.txt or stderr.txt by now, from a byte on."""

    def explained(self, record: JobRecord, tasks: list[Task]) -> list[Task]:
        """The tasks, those that wait in vain with the reason; may take its time."""


def scheduler(name: SchedulerName, commands: Commands) -> Scheduler:
    """The driver of a scheduler."""
    drivers: dict[SchedulerName, Callable[[Commands], Scheduler]] = {
        SchedulerName.SLURM: Slurm,
        SchedulerName.HTCONDOR: HTCondor,
        SchedulerName.LOCAL: Local,
    }
    return drivers[name](commands)


def job_image(reference: Reference, platform: Platform, registries: Registries) -> JobImage:
    """The image that a job is to name: by its digest, since a tag may be moved meanwhile.

    Raises UsageError for what no node could reach, NotInRegistry, RegistryError, ImageError.
    """
    with registries.cache.in_use(make=reference.in_registry):
        if reference.transport is Transport.DOCKER:
            image = registries.read(reference, platform, keep=False)
            if image.digest is None:
                raise AssertionError("an image in a registry has a manifest")
            place = f"{reference.path}@{image.digest}"
            return JobImage(ImageKind.LAYERS, place, image.digest.hex, image.labels.get(_CUDA))
        if reference.transport is Transport.ORAS:
            digest, blob = registries.sif(reference)
            cuda = _cuda(read_sif_from(blob.source, blob.descriptor.size))
            place = f"{reference.path}@{digest}"
            return JobImage(ImageKind.SIF_IN_REGISTRY, place, digest.hex, cuda)
    if reference.transport is Transport.SIF:
        path = Path(reference.path).absolute()
        return JobImage(ImageKind.SIF_FILE, str(path), cuda=_cuda(read_sif(path)))
    raise UsageError(
        f"{reference} is in no place that nodes could fetch it from",
        hint="push it to docker:// or oras://, or name a sif: file",
    )


def _cuda(sif: SifFile) -> str | None:
    """What a SIF of ours says of the driver that it needs."""
    data = sif.named(OCI_CONFIG)
    if data is None:
        return None
    try:
        found = parsed(data, OCI_CONFIG)["config"]["Labels"][_CUDA]  # type: ignore[index]
    except (KeyError, TypeError, ImageError):
        return None
    return str(found)


def render(
    name: SchedulerName, job: JobSpec, site: Site, directory: Path, start: Start | None = None
) -> JobFiles:
    """The files of a job; raises UsageError for what the scheduler, or the site, cannot do.

    start: for a job on this machine, how it is started, which raises PixiShipError.
    """
    if name is SchedulerName.LOCAL:
        if start is None:
            raise UsageError("local jobs are for this machine alone")
        words = (sys.executable, "-I", str(Path(supervisor.__file__)))
        return render_local(job, str(directory), start(job, str(directory)), words)
    if name is SchedulerName.HTCONDOR:
        return render_htcondor(job, site, str(directory))
    packed = b"" if site.shared else packed_inputs(job.inputs)
    return render_slurm(job, site, str(directory), packed)


def packed_inputs(paths: Sequence[str]) -> bytes:
    """Files and directories as a gzipped tar, each by its last part; raises UsageError."""
    buffer = io.BytesIO()
    try:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for path in paths:
                tar.add(path, arcname=Path(path).name)
    except OSError as error:
        raise UsageError(f"reading input {error.filename}: {error.strerror or error}") from error
    return buffer.getvalue()


Fill = Callable[[JobSpec, Path], JobSpec]
"""Puts what else a job needs into its directory, and says what the job is then."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that the scheduler took, and its files."""

    record: JobRecord
    files: JobFiles


def submit(
    name: SchedulerName,
    job: JobSpec,
    site: Site,
    above: Path,
    commands: Commands,
    *,
    start: Start | None = None,
    fill: Fill | None = None,
) -> Submitted:
    """Write a job's files into a new directory in ``above``, and submit them.

    start: as for :func:`render`. Where the scheduler refuses, the files stay for who wants to
    see why. Raises PixiShipError.
    """
    directory = new_directory(above, job.name)
    try:
        job = fill(job, directory) if fill else job
        files = render(name, job, site, directory, start)
    except PixiShipError:
        shutil.rmtree(directory)  # nobody asked for it
        raise
    record = written(name, job, files, directory)
    record = replace(record, identifier=scheduler(name, commands).submit(directory, files))
    record.save()
    return Submitted(record, files)


def written(
    name: SchedulerName, job: JobSpec, files: JobFiles, directory: Path, there: There | None = None
) -> JobRecord:
    """Write a job's files and make its tasks' directories; the record of it, not saved yet."""
    for file, text in files.files.items():
        path = directory / file
        path.write_text(text, "utf-8")
        path.chmod(0o755 if file.endswith(".sh") else 0o644)
    image, outputs = job.image.url, job.outputs
    record = JobRecord(directory, name, "", job.name, image, job.tasks, outputs, files.fetch, there)
    for index in record.indices:
        record.task_directory(index).mkdir(exist_ok=True)
    return record


def new_directory(above: Path, name: str) -> Path:
    """Make a directory for a job; raises SchedulerError."""
    for number in range(1, _MOST_DIRECTORIES):
        path = (above / f"{name}-{number}").absolute()
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise SchedulerError(
                f"making the job's directory {path}: {error.strerror or error}",
                hint="choose another place with --jobs",
            ) from error
        return path
    raise SchedulerError(f"{above} is full of jobs named {name}", hint="choose another --name")
