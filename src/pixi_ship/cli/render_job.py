"""``pixi ship render TARGET`` for jobs: schedulers, workflow engines, Kubernetes, Dask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

import click

from pixi_ship.cache import replacing, replacing_directory
from pixi_ship.cli.display import print_json, print_warnings
from pixi_ship.cli.image_options import image_options
from pixi_ship.cli.job_options import DescribedOptions, described_job, job_options
from pixi_ship.errors import UsageError
from pixi_ship.job.site import Site
from pixi_ship.job.spec import JobFiles, JobSpec
from pixi_ship.scheduler.record import SchedulerName
from pixi_ship.submit import render
from pixi_ship.targets.known import TARGETS

_SCHEDULERS = tuple(each.value for each in (SchedulerName.SLURM, SchedulerName.HTCONDOR))


_KNOWN = {
    "kubernetes": "a Job of Kubernetes",
    "snakemake": "a rule of Snakemake",
    "nextflow": "a process of Nextflow",
    "dask-jobqueue": "a module that starts Dask workers",
    "slurm": "the script that 'submit slurm' would give to sbatch",
    "htcondor": "the files that 'submit htcondor' would give to condor_submit",
}


def job_commands() -> Iterator[click.Command]:
    """A command for each target, all with the same options."""
    for target in (*TARGETS, *_SCHEDULERS):
        yield _job_command(target)


def _job_command(target: str) -> click.Command:
    @click.argument("reference", metavar="REF")
    @click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND")
    @job_options
    @click.option(
        "--to",
        "path",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="File to write, or directory to write into; a new directory for a scheduler.  "
        "[default: stdout]",
    )
    @image_options
    def command_of_target(
        reference: str,
        command: tuple[str, ...],
        path: Path | None,
        as_json: bool,
        **given: Unpack[DescribedOptions],
    ) -> None:
        _render(target, reference, command, path, as_json, given)

    words = f"Write {_KNOWN[target]}, to be started by hand.\n\nREF and COMMAND as of submit."
    if (known := TARGETS.get(target)) is not None and known.command:
        words += f" COMMAND is {' '.join(known.command)} where none is given."
    return click.command(target, help=words)(command_of_target)


def _render(
    target: str,
    reference: str,
    command: tuple[str, ...],
    path: Path | None,
    as_json: bool,
    given: DescribedOptions,
) -> None:
    known = TARGETS.get(target)
    job, site = described_job(reference, command or (known.command if known else ()), given)
    if known is None:
        files = _for_scheduler(SchedulerName(target), job, site, path)
    else:
        where = Path() if path is None else path if path.is_dir() else path.parent
        files = known.render(job, site, str(where.absolute()))
        if path is not None:
            _write_file(files, path)
    if as_json:
        print_json(
            {
                "target": target,
                "image": job.image.url,
                "files": [{"name": name, "text": text} for name, text in files.files.items()],
                "command": list(files.submit),
                "warnings": list(files.notes),
            }
        )
        return
    print_warnings(files.notes)
    if path is None:
        _show(files)


def _show(files: JobFiles) -> None:
    """One file as it is, so that it can go on through a pipe; several with their names."""
    if len(files.files) == 1:
        click.echo(next(iter(files.files.values())), nl=False)
        return
    for name, text in files.files.items():
        click.echo(f"==> {name} <==\n{text}")


def _write_file(files: JobFiles, path: Path) -> None:
    ((name, text),) = files.files.items()
    with replacing(path / name if path.is_dir() else path) as file:
        file.write(text.encode())


def _for_scheduler(name: SchedulerName, job: JobSpec, site: Site, path: Path | None) -> JobFiles:
    """The files of a job in a directory, which holds one for each task of an array too."""
    if path is None:
        return render(name, job, site, Path("jobs", f"{job.name}-1").absolute())
    if path.exists():
        raise UsageError(f"{path} exists already", hint="name a new directory with --to")
    files = render(name, job, site, path.absolute())
    with replacing_directory(path) as fresh:
        for file, text in files.files.items():
            written = fresh / file
            written.write_text(text, "utf-8")
            written.chmod(0o755 if file.endswith(".sh") else 0o644)
        tasks = job.tasks
        for index in range(tasks.first, tasks.last + 1, tasks.step) if tasks is not None else ():
            (fresh / f"task-{index}").mkdir()
        fresh.chmod(0o755)
        fresh.rename(path)
    return files
