"""``pixi ship submit``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Unpack

import click

from pixi_ship.cli.display import print_json, print_warnings
from pixi_ship.cli.image_options import image_options
from pixi_ship.cli.job_options import DescribedOptions, described_job, job_options
from pixi_ship.job.spec import JobFiles
from pixi_ship.scheduler.command import Commands
from pixi_ship.scheduler.record import SchedulerName
from pixi_ship.submit import render, submit


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
@click.option("--dry-run", is_flag=True, help="Print the files and the command; submit nothing.")
@image_options
def submit_command(
    scheduler: str,
    reference: str,
    command: tuple[str, ...],
    jobs: Path,
    dry_run: bool,
    as_json: bool,
    **given: Unpack[DescribedOptions],
) -> None:
    """Run COMMAND, given after --, in the image REF as a job of Slurm or HTCondor.

    REF: docker://HOST/NAME[:TAG], oras://HOST/NAME[:TAG] for a SIF in a registry, or sif:FILE.
    The job names the image's digest. Its files lie in a directory of their own and can be
    submitted by hand; status, logs, wait and cancel take that directory.
    """
    name = SchedulerName(scheduler)
    job, site = described_job(reference, command, given)
    if dry_run:
        files = render(name, job, site, jobs.absolute() / f"{job.name}-1")
        _show_files(files, as_json)
        return
    done = submit(name, job, site, jobs, Commands(os.environ))
    if as_json:
        record = done.record
        print_json(
            {
                "scheduler": name.value,
                "id": record.identifier,
                "directory": str(record.directory),
                "image": record.image,
                "tasks": len(record.indices),
                "warnings": list(done.files.notes),
            }
        )
        return
    print_warnings(done.files.notes)
    click.echo(f"{done.record.directory}")
    click.echo(f"{name} job {done.record.identifier}", err=True)


def _show_files(files: JobFiles, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "files": [{"name": name, "text": text} for name, text in files.files.items()],
                "command": list(files.submit),
                "warnings": list(files.notes),
            }
        )
        return
    print_warnings(files.notes)
    for name, text in files.files.items():
        click.echo(f"==> {name} <==\n{text}")
    click.echo(f"$ {' '.join(files.submit)}")
