"""An executor: submits functions as jobs that run in an image.

Names are those of submitit and concurrent.futures, for who knows them.
"""

from __future__ import annotations

import shutil
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar, Unpack

from pixi_ship.errors import UsageError
from pixi_ship.executor.function import name_of, running_script
from pixi_ship.executor.job import Job, Submission
from pixi_ship.executor.parameters import Parameters, check, check_row, resources
from pixi_ship.executor.runner import RESULT
from pixi_ship.executor.sent import Call, Sent, call_of, sent
from pixi_ship.executor.surroundings import surroundings
from pixi_ship.host.address import checked_host, checked_jobs
from pixi_ship.job.site import Site, read_site
from pixi_ship.job.spec import JobImage, JobSpec, Tasks, job_name
from pixi_ship.oci.reference import Transport, parse_reference
from pixi_ship.over_ssh import REMOTE_JOBS, submit_over_ssh
from pixi_ship.platform import platform_of
from pixi_ship.registry.registries import Registries
from pixi_ship.run import Workbench, is_sif, open_image
from pixi_ship.run.process import succeeds
from pixi_ship.run.task import TaskStart
from pixi_ship.runtime.find import RUNTIMES, find_runtime
from pixi_ship.runtime.spec import runtime_options
from pixi_ship.scheduler.command import LocalCommands
from pixi_ship.scheduler.record import SchedulerName
from pixi_ship.submit import job_image, submit

P = ParamSpec("P")
R = TypeVar("R")

_PROTOCOL = 4  # of pickle; every Python 3.4 and newer reads it


@dataclass(slots=True)
class _Batch:
    """Calls that are collected, and the jobs that they become."""

    calls: list[Call] = field(default_factory=list)
    submission: Submission = field(default_factory=Submission)


class Executor:
    """Submits functions as jobs of a scheduler: ``local``, ``slurm`` or ``htcondor``.

    image: as the command line has it, such as ``docker://ghcr.io/me/fit:1``. folder: where jobs
    get their directories. host: whose scheduler is asked, over SSH; remote_jobs: where jobs get
    their directories there. code: files and directories that functions are in and the image
    lacks, each found by its last part. python: the program in the image. protocol: of pickle,
    for both directions. runtime: what starts local jobs. site: profiles, over those that are
    here. Variables and the current directory are looked at once, now. What follows are
    :class:`~pixi_ship.executor.parameters.Parameters`. Raises UsageError.
    """

    def __init__(
        self,
        scheduler: str = "local",
        *,
        image: str,
        folder: str | Path = "jobs",
        host: str | None = None,
        remote_jobs: str = REMOTE_JOBS,
        code: Sequence[str | Path] = (),
        python: str = "python",
        protocol: int = _PROTOCOL,
        runtime: str | None = None,
        site: Sequence[str | Path] = (),
        platform: str = "linux-64",
        cache_dir: str | Path | None = None,
        authfile: str | Path | None = None,
        plain_http: bool | None = None,
        ca_file: str | Path | None = None,
        **parameters: Unpack[Parameters],
    ) -> None:
        self._around = surroundings()
        self._scheduler = _scheduler(scheduler)
        self._host = checked_host(host) if host is not None else None
        self._remote_jobs = checked_jobs(remote_jobs)
        if self._host is not None and self._scheduler is SchedulerName.LOCAL:
            raise UsageError("local jobs are for this machine alone", hint="leave out host")
        here = self._around.directory
        self._reference = parse_reference(image).anchored(here)
        self._folder = here / folder
        for name, paths in (("code", code), ("site", site)):
            check_row(name, paths)
        self._code = tuple(here / path for path in code)
        self._python, self._protocol, self._runtime = python, protocol, _runtime(runtime)
        profiles = [*self._around.profiles(), *(here / path for path in site)]
        self._site: Site = read_site(profiles)
        self._platform = platform_of(platform)
        self._cache = here / cache_dir if cache_dir is not None else None
        self._authfile = here / authfile if authfile is not None else None
        self._ca_file = here / ca_file if ca_file is not None else None
        self._plain_http = plain_http
        self._image: JobImage | None = None
        self._batch: _Batch | None = None
        self._lock = threading.Lock()
        self._parameters: Parameters = {}
        self.update_parameters(**parameters)

    def __repr__(self) -> str:
        return f"<Executor {self._scheduler} of {self._reference}>"

    def update_parameters(self, **parameters: Unpack[Parameters]) -> None:
        """Ask for something else from the next job on; raises UsageError for what is nothing."""
        check(parameters)
        merged: Parameters = {**self._parameters, **parameters}
        resources(merged)
        self._parameters = merged

    def submit(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Submit a call as a job; raises PixiShipError.

        In a batch it is submitted at the end of that.
        """
        call = call_of(name_of(function), args, dict(kwargs), self._protocol)
        with self._lock:
            if (batch := self._batch) is not None:
                batch.calls.append(call)
                return Job(batch.submission, len(batch.calls) - 1)
            submission = Submission()
            self._submit([call], submission, array=False)
        return Job(submission)

    def map_array(
        self, function: Callable[..., R], /, *iterables: Iterable[object]
    ) -> list[Job[R]]:
        """Submit a call for each row of the iterables, as one array; raises PixiShipError.

        As with ``map``, the shortest iterable says how many there are.
        """
        name = name_of(function)
        calls = [call_of(name, row, {}, self._protocol) for row in zip(*iterables, strict=False)]
        if not calls:
            return []
        submission = Submission()
        with self._lock:
            self._submit(calls, submission, array=True)
        return [Job(submission, index) for index in range(len(calls))]

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Collect what is submitted in the block, and submit it as one array at its end.

        Until then nothing can be asked of the jobs. A block that raises submits nothing.
        """
        collected = _Batch()
        with self._lock:
            if self._batch is not None:
                raise UsageError("a batch cannot be begun within a batch")
            self._batch = collected
        try:
            yield
        finally:
            with self._lock:
                self._batch = None
        if collected.calls:
            with self._lock:
                self._submit(collected.calls, collected.submission, array=True)

    def _submit(self, calls: Sequence[Call], submission: Submission, *, array: bool) -> None:
        travels = sent(
            *(calls, self._code, lambda: running_script(self._around.directory)),
            *(self._protocol, self._python),
        )
        commands = LocalCommands(self._around.environment)
        with self._registries() as registries:
            start = self._start(registries) if self._scheduler is SchedulerName.LOCAL else None
            image = start.image if start else self._job_image(registries)
            spec = self._spec(travels, image, array)
            words = (self._scheduler, spec, self._site, self._folder)
            if self._host is None:
                done = submit(*words, commands, start=start, fill=travels.fill)
            else:
                there = self._around.host(self._host)
                done = submit_over_ssh(*words, there, self._remote_jobs, fill=travels.fill)
        for note in done.files.notes:
            warnings.warn(note, stacklevel=3)
        submission.submitted(done.record, self._around.scheduler(self._scheduler, self._host))

    def _spec(self, travels: Sent, image: JobImage, array: bool) -> JobSpec:
        asked = self._parameters
        count = len(travels.calls)
        return JobSpec(
            name=asked.get("name") or job_name(travels.calls[0].function.name),
            command=travels.command(array=array),
            image=image,
            resources=resources(asked),
            tasks=Tasks(0, count - 1, 1, asked.get("at_once")) if array else None,
            inputs=tuple(self._input(path) for path in asked.get("inputs", ())),
            outputs=(*asked.get("outputs", ()), RESULT),
            env=dict(asked.get("env", {})),
            workdir=asked.get("workdir"),
            after=tuple(asked.get("after", ())),
        )

    def _input(self, given: str | Path) -> str:
        path = self._around.directory / given
        if not path.exists():
            raise UsageError(f"there is no input {str(given)!r}")
        return str(path)

    def _registries(self) -> Registries:
        return self._around.registries(
            self._cache,
            authfile=self._authfile,
            plain_http=self._plain_http,
            ca_file=self._ca_file,
        )

    def _job_image(self, registries: Registries) -> JobImage:
        """Looked up once: all jobs of an executor run in the same image."""
        if self._image is None:
            self._image = job_image(self._reference, self._platform, registries)
        return self._image

    def _start(self, registries: Registries) -> TaskStart:
        gpus = self._parameters.get("gpus", 0) > 0
        environment = self._around.environment
        path = environment.get("PATH")
        found = find_runtime(
            lambda program: shutil.which(program, path=path),
            name=self._runtime,
            sif=is_sif(self._reference),
            gpus=gpus,
        )
        at = Workbench(
            cache=registries.cache,
            registries=registries,
            platform=platform_of(self._around.platform()),
            workers=self._around.cores,
            succeeds=lambda question: succeeds(question, environment),
            authfile=str(self._authfile) if self._authfile else None,
        )
        opened = open_image(self._reference, at)
        if self._reference.transport is Transport.DOCKER and opened.image.root is not None:
            self._reference = self._reference.at(opened.image.root)
        options = runtime_options(found.runtime.name, environment)
        return TaskStart(opened, found, at, self._around.caller(), options)


def _scheduler(name: str) -> SchedulerName:
    try:
        return SchedulerName(name)
    except ValueError:
        raise UsageError(
            f"{name!r} is no scheduler", hint=f"want one of {', '.join(SchedulerName)}"
        ) from None


def _runtime(name: str | None) -> str | None:
    if name is not None and name not in RUNTIMES:
        raise UsageError(f"{name!r} is no runtime", hint=f"want one of {', '.join(RUNTIMES)}")
    return name
