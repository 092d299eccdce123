"""``pixi ship submit``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Unpack

import click

from pixi_ship.cli.display import print_json, print_warnings
from pixi_ship.cli.foreign_text import printable_errors
from pixi_ship.cli.host_options import HostOptions, host_options, reached
from pixi_ship.cli.image_options import image_options
from pixi_ship.cli.job_options import DescribedOptions, described_job, job_options
from pixi_ship.cli.local_job import start_here
from pixi_ship.host.address import checked_host, checked_jobs
from pixi_ship.job.site import Site
from pixi_ship.job.spec import JobFiles, JobSpec
from pixi_ship.over_ssh import check_scheduler, dry_run_over_ssh, submit_over_ssh
from pixi_ship.runtime.find import RUNTIMES
from pixi_ship.scheduler.command import LocalCommands
from pixi_ship.scheduler.record import SchedulerName
from pixi_ship.submit import Submitted, render, submit


class SubmitOptions(DescribedOptions, HostOptions):
    """What is to run, and from where it is submitted."""


@click.command("submit")
@click.argument("scheduler", type=click.Choice([each.value for each in SchedulerName]))
@click.argument("reference", metavar="REF")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND")
@job_options
@click.option(
    "--jobs",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path("jobs"),
    show_default=True,
    help="Where the job gets its directory.",
)
@click.option(
    "--runtime",
    type=click.Choice(list(RUNTIMES)),
    help="What starts a local job.  [default: the first of these that is here]",
)
@host_options
@click.option("--dry-run", is_flag=True, help="Print the files and the command; submit nothing.")
@image_options
def submit_command(
    scheduler: str,
    reference: str,
    command: tuple[str, ...],
    jobs: Path,
    runtime: str | None,
    dry_run: bool,
    as_json: bool,
    **given: Unpack[SubmitOptions],
) -> None:
    """Run COMMAND, given after --, in the image REF as a job of Slurm or HTCondor, or here.

    REF: docker://HOST/NAME[:TAG], oras://HOST/NAME[:TAG] for a SIF in a registry, or sif:FILE;
    for HTCondor also the URL of a SIF (https, osdf, pelican), for a job here (local) all that
    "run" takes. The job names the image's digest. Its files
    lie in a directory of their own and can be submitted by hand; status, logs, wait and cancel
    take that directory.
    """
    name = SchedulerName(scheduler)
    if given["host"] is not None:
        checked_host(given["host"])
        check_scheduler(name)
    local = name is SchedulerName.LOCAL
    here = start_here(reference, runtime, given, gpus=given["gpus"] > 0, dry_run=dry_run)
    with here if local else nullcontext() as start:
        job, site = described_job(reference, command, given, start.image if start else None)
        if given["host"] is not None:
            _submit_over_ssh(name, job, site, jobs, given, dry_run=dry_run, as_json=as_json)
            return
        if dry_run:
            files = render(name, job, site, jobs.absolute() / f"{job.name}-1", start)
            _show_files(files, as_json)
            return
        done = submit(name, job, site, jobs, LocalCommands(os.environ), start=start)
    _show_submitted(done, as_json)


def _submit_over_ssh(
    name: SchedulerName,
    job: JobSpec,
    site: Site,
    jobs: Path,
    given: HostOptions,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    host, there = given["host"] or "", checked_jobs(given["remote_jobs"])
    if dry_run:
        files, lines = dry_run_over_ssh(name, job, site, jobs, host, there)
        _show_files(files, as_json, lines)
        return
    with printable_errors():
        done = submit_over_ssh(name, job, site, jobs, reached(host), there)
    _show_submitted(done, as_json)


def _show_submitted(done: Submitted, as_json: bool) -> None:
    record = done.record
    if as_json:
        print_json(
            {
                "scheduler": record.scheduler.value,
                "id": record.identifier,
                "directory": str(record.directory),
                "host": record.there and record.there.host,
                "remote_directory": record.there and record.there.directory,
                "image": record.image,
                "tasks": len(record.indices),
                "warnings": list(done.files.notes),
            }
        )
        return
    print_warnings(done.files.notes)
    click.echo(f"{record.directory}")
    on_host = f" on {record.there.host}" if record.there else ""
    click.echo(f"{record.scheduler} job {record.identifier}{on_host}", err=True)


def _show_files(files: JobFiles, as_json: bool, lines: Sequence[str] = ()) -> None:
    """Print the files, and the lines of shell that submit them."""
    lines = lines or [shlex.join(files.submit)]
    if as_json:
        print_json(
            {
                "files": [{"name": name, "text": text} for name, text in files.files.items()],
                "command": list(files.submit),
                "lines": list(lines),
                "warnings": list(files.notes),
            }
        )
        return
    print_warnings(files.notes)
    for name, text in files.files.items():
        click.echo(f"==> {name} <==\n{text}")
    for line in lines:
        click.echo(f"$ {line}")
