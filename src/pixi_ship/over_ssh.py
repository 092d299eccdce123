"""Jobs on a scheduler that another machine asks, reached over SSH.

A job has a directory on both machines. What is known of it lies here, what it reads and leaves
there; files come here as they are asked for.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pixi_ship.digest import Digest, digest_file
from pixi_ship.errors import SchedulerError, UsageError
from pixi_ship.host import script
from pixi_ship.host.address import can_be_directory
from pixi_ship.host.commands import HostCommands
from pixi_ship.host.connection import HostError
from pixi_ship.host.delivery import Delivery, SentImage, delivery
from pixi_ship.host.host import Host, no_rsync
from pixi_ship.host.rules import left_by, small_files
from pixi_ship.job.site import Site
from pixi_ship.job.spec import ImageKind, JobFiles, JobSpec
from pixi_ship.scheduler.command import LocalCommands
from pixi_ship.scheduler.record import JobRecord, SchedulerName, There
from pixi_ship.scheduler.state import Task
from pixi_ship.submit import Fill, Submitted, new_directory, render, scheduler, written

REMOTE_JOBS = "pixi-ship-jobs"
"""Where jobs are on a host, below the home directory."""
_CHECKED = 3600.0  # seconds that the digest of an image may take there


class SchedulerOverSSH:
    """A scheduler's driver (:class:`~pixi_ship.submit.Scheduler`) whose commands a host runs.

    The driver finds the files that it reads here: they are brought before it looks.
    """

    def __init__(self, name: SchedulerName, host: Host) -> None:
        check_scheduler(name)
        self.commands = HostCommands(host)
        self._driver = scheduler(name, self.commands)
        self._submitting = scheduler(name, HostCommands(host, keeps=True))
        self._host = host

    def submit(self, directory: Path, files: JobFiles) -> str:
        """Submit what lies in a directory there; returns the scheduler's identifier."""
        return self._submitting.submit(directory, files)

    def cancel(self, record: JobRecord) -> None:
        """Cancel every task that has not ended; raises SchedulerError."""
        self._driver.cancel(record)

    def tail(self, record: JobRecord, task: Task, name: str, start: int) -> Iterator[bytes]:
        """What a task has written to stdout.txt or stderr.txt by now, from a byte on."""
        here = record.task_directory(task.index) / name
        if record.fetch is not None:
            # Nodes keep it until fetch brings it here.
            if here.exists():
                return LocalCommands({}).tail(here, start)
            return self._driver.tail(record, task, name, start)
        there = Path(_there(record).directory) / here.relative_to(record.directory)
        return self.commands.tail(there, start)

    def explained(self, record: JobRecord, tasks: list[Task]) -> list[Task]:
        """The tasks, those that wait in vain with the reason."""
        return self._driver.explained(record, tasks)

    def tasks(self, record: JobRecord) -> list[Task]:
        """Every task, in the order of the array; raises SchedulerError."""
        if record.fetch is None:
            self._bring(record, small_files(record.name))
        return self._driver.tasks(record)

    def fetch(self, record: JobRecord) -> list[int | None]:
        """Bring what ended tasks left there, or on their nodes; returns for which it was done."""
        if record.fetch is not None:
            return self._driver.fetch(record)
        tasks = self.tasks(record)
        ended = [task.index for task in tasks if task.state.is_final]
        others = [
            task.index for task in tasks if not task.state.is_final and task.index is not None
        ]
        if ended:
            unfinished = others if record.tasks else None
            self._bring(record, left_by(record.outputs, _there(record).inputs, unfinished))
        return ended

    def resumed(self, record: JobRecord) -> JobRecord:
        """The record with its identifier, which the host may not have been able to tell.

        Raises SchedulerError where the job was never submitted, or the answer is not there yet.
        """
        if record.identifier:
            return record
        kept, there = JobFiles({}, ("cat", script.ANSWER)), Path(_there(record).directory)
        try:
            said = self.commands.output(kept.submit, there)
        except HostError:
            raise
        except SchedulerError as error:
            raise SchedulerError(
                f"the job in {record.directory} was not submitted", hint="submit it again"
            ) from error
        if not said.strip():
            raise SchedulerError(
                f"the scheduler has not yet said whether it takes the job in {record.directory}",
                hint=f"ask again; if it never says, look on {self._host.name} whether it has it",
            )
        identifier = self._driver.submit(there, kept)
        record = replace(record, identifier=identifier)
        record.save()
        return record

    def _bring(self, record: JobRecord, rules: str) -> None:
        self._host.bring(_there(record).directory, record.directory, rules)


def submit_over_ssh(
    name: SchedulerName,
    job: JobSpec,
    site: Site,
    above: Path,
    host: Host,
    jobs: str,
    *,
    fill: Fill | None = None,
) -> Submitted:
    """Write a job's files into a new directory here, copy all it needs, and submit it there.

    above: where the job gets its directory here; jobs: there, absolute or below the home
    directory. fill: as for :func:`~pixi_ship.submit.submit`. Raises PixiShipError; of what did
    not come to be submitted nothing stays here.
    """
    driver = SchedulerOverSSH(name, host)
    digest = _digest(job)
    # What cannot be is told before anybody is asked for a password.
    _rendered(name, job, site, f"/{jobs.lstrip('/')}/{job.name}-1", digest)
    directory = new_directory(above, job.name)
    try:
        job = fill(job, directory) if fill else job
        there = _new_directory(host, jobs, job.name)
        sent, files = _rendered(name, job, site, there, digest)
        place = There(host.name, there, sent.names)
        record = written(name, sent.job, files, directory, place)
        _deliver(host, sent, directory)
    except BaseException:
        shutil.rmtree(directory)
        raise
    record.save()  # the connection may break before the scheduler's answer is here
    record = replace(record, identifier=driver.submit(Path(there), files))
    record.save()
    return Submitted(record, files)


def dry_run_over_ssh(
    name: SchedulerName, job: JobSpec, site: Site, above: Path, host: str, jobs: str
) -> tuple[JobFiles, list[str]]:
    """The files of a job, and lines of shell that would bring it to a host; asks nobody.

    Where ``jobs`` is not absolute, ``~`` stands in the files for the home directory there.
    """
    check_scheduler(name)
    digest = _digest(job)
    home = "" if jobs.startswith("/") else "~/"
    directory = f"{jobs}/{job.name}-1"
    _, files = _rendered(name, job, site, f"{home}{directory}", digest)
    sent, _ = _rendered(name, job, site, directory, digest)
    here = above.absolute() / f"{job.name}-1"
    return files, list(sent.lines(host, here, files.submit))


def _there(record: JobRecord) -> There:
    if record.there is None:
        raise AssertionError("a job over SSH is on a host")
    return record.there


def check_scheduler(name: SchedulerName) -> None:
    """Raise UsageError for a scheduler that no host can be asked for."""
    if name not in (SchedulerName.SLURM, SchedulerName.HTCONDOR):
        raise UsageError(
            f"{name} is for this machine alone", hint="leave out --host, or name slurm or htcondor"
        )


def _digest(job: JobSpec) -> Digest | None:
    if job.image.kind is not ImageKind.SIF_FILE:
        return None
    try:
        return digest_file(Path(job.image.place))
    except OSError as error:
        raise UsageError(f"reading {job.image.place}: {error.strerror or error}") from error


def _rendered(
    name: SchedulerName, job: JobSpec, site: Site, directory: str, digest: Digest | None
) -> tuple[Delivery, JobFiles]:
    """What goes to a job's directory there, and the job's files."""
    travels = name is SchedulerName.SLURM and not site.shared
    sent = delivery(job, directory, digest, copies_inputs=not travels)
    return sent, render(name, sent.job, site, Path(directory))


def _new_directory(host: Host, jobs: str, name: str) -> str:
    status, said, complaints = host.run(script.new_directory(jobs, name))
    if status == script.NO_RSYNC:
        raise no_rsync(host.name)
    path = said.strip("\n").rpartition("\n")[2]
    if status or not path.startswith("/") or not can_be_directory(path):
        raise SchedulerError(
            f"making the job's directory in {jobs} on {host.name}: {(complaints or said).strip()}",
            hint="choose another place there with --remote-jobs",
        )
    return path


def _deliver(host: Host, sent: Delivery, directory: Path) -> None:
    if sent.image:
        _deliver_image(host, sent.image)
    for copy in (sent.inputs, sent.files(directory)):
        if copy:
            host.send(copy)


def _deliver_image(host: Host, image: SentImage) -> None:
    """Copy a SIF unless it is there; it appears when it is whole."""
    status, _, complaints = host.run(script.has_file(image.place))
    if status == 0:
        return
    if status != 1:
        raise SchedulerError(f"making a directory for images on {host.name}: {complaints.strip()}")
    host.send(image.copy)
    body = script.settle_file(image.part, image.place, image.digest.hex)
    status, _, complaints = host.run(body, _CHECKED)
    if status == script.CHANGED:
        raise SchedulerError(
            f"copying {image.source} to {host.name}: another process copies it too",
            hint="submit again: what is there already is not copied again",
        )
    if status == script.DAMAGED:
        raise SchedulerError(
            f"copying {image.source} to {host.name}: it is not {image.digest} there",
            hint="it was changed meanwhile, or damaged on its way: submit again",
        )
    if status:
        raise SchedulerError(
            f"copying {image.source} to {host.name}: {complaints.strip()}",
            hint="look whether there is space",
        )
