"""``pixi ship status``, ``wait``, ``logs`` and ``cancel``: of a job, by its directory."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from pixi_ship.cli.foreign_text import echo, print_foreign_json
from pixi_ship.errors import SchedulerError, UsageError
from pixi_ship.scheduler.command import Commands
from pixi_ship.scheduler.record import JobRecord, read_record
from pixi_ship.scheduler.state import State, Task, exit_code_of
from pixi_ship.submit import Scheduler, scheduler

_MOST_SHOWN = 20  # tasks
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0  # seconds between two questions

_directory = click.argument("directory", metavar="JOB", type=click.Path(path_type=Path))
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.command("status")
@_directory
@_as_json
def status_command(directory: Path, as_json: bool) -> None:
    """Show what the tasks of a job are doing; JOB is the directory that submit printed."""
    record, driver = _opened(directory)
    tasks = driver.tasks(record)
    if as_json:
        print_foreign_json(_json(record, tasks))
        return
    _show(record, tasks)


@click.command("wait")
@_directory
@_as_json
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Wait no longer.")
def wait_command(directory: Path, as_json: bool, timeout: float | None) -> None:
    """Wait until a job has ended; the exit code is the job's.

    Of an array it is that of the first task that failed. A task that is held is waited for no
    longer, and counts as failed.
    """
    record, driver = _opened(directory)
    tasks: list[Task] = []
    for tasks in _polled(record, driver, timeout):
        if all(task.state.is_final or task.state is State.HELD for task in tasks):
            break
    else:
        raise SchedulerError(f"{record.name} has not ended in {timeout:g} s")
    if as_json:
        print_foreign_json(_json(record, tasks))
    else:
        _show(record, tasks)
    sys.exit(exit_code_of(tasks))


@click.command("logs")
@_directory
@click.option("-f", "--follow", is_flag=True, help="Go on until the task has ended.")
@click.option("--task", "index", type=int, metavar="INDEX", help="Task of an array.")
@click.option("--stderr", is_flag=True, help="Standard error instead of standard output.")
def logs_command(directory: Path, follow: bool, index: int | None, stderr: bool) -> None:
    """Print what a task wrote."""
    record, driver = _opened(directory)
    if index not in record.indices:
        numbers = f"{record.indices[0]} to {record.indices[-1]}"
        hint = f"give --task, {numbers}" if record.tasks else "the job is no array"
        raise UsageError(f"{record.name} has no task {index}", hint=hint)
    path = record.task_directory(index) / ("stderr.txt" if stderr else "stdout.txt")
    if not follow:
        _copy(path, 0)
        return
    at, place = 0, record.indices.index(index)
    for tasks in _polled(record, driver, None):
        at = _copy(path, at)
        if tasks[place].state.is_final:
            _copy(path, at)
            return


@click.command("cancel")
@_directory
def cancel_command(directory: Path) -> None:
    """Cancel the tasks of a job that have not ended."""
    record, driver = _opened(directory)
    driver.cancel(record)


@click.command("fetch")
@_directory
def fetch_command(directory: Path) -> None:
    """Bring the output of a job's ended tasks here, where the nodes keep it to themselves."""
    record, driver = _opened(directory)
    for index in driver.fetch(record):
        click.echo(str(record.task_directory(index)))


def _opened(directory: Path) -> tuple[JobRecord, Scheduler]:
    record = read_record(directory.absolute())
    return record, scheduler(record.scheduler, Commands(os.environ))


def _polled(record: JobRecord, driver: Scheduler, timeout: float | None) -> Iterator[list[Task]]:
    """The tasks again and again, less often the longer it takes."""
    pause, started = _FIRST_PAUSE, time.monotonic()
    while True:
        yield driver.tasks(record)
        left = None if timeout is None else timeout - (time.monotonic() - started)
        if left is not None and left <= 0:
            return
        time.sleep(pause if left is None else min(pause, left))
        pause = min(pause * 1.3, _LONGEST_PAUSE)


def _copy(path: Path, at: int) -> int:
    """Print a file from a place on; returns where it ends now."""
    try:
        with path.open("rb") as file:
            file.seek(at)
            while block := file.read(1 << 16):
                sys.stdout.buffer.write(block)
                at += len(block)
    except FileNotFoundError:
        return at  # nothing was written yet
    sys.stdout.flush()
    return at


def _json(record: JobRecord, tasks: list[Task]) -> dict[str, object]:
    return {
        "scheduler": record.scheduler.value,
        "id": record.identifier,
        "name": record.name,
        "image": record.image,
        "directory": str(record.directory),
        "tasks": [
            {
                "index": task.index,
                "state": task.state.value,
                "exit_code": task.exit_code,
                "reason": task.reason,
            }
            for task in tasks
        ],
    }


def _show(record: JobRecord, tasks: list[Task]) -> None:
    counts = Counter(task.state for task in tasks)
    words = ", ".join(f"{count} {state}" for state, count in counts.items())
    echo(f"{record.name}  {record.scheduler} job {record.identifier}  {words}")
    telling = [task for task in tasks if task.reason or task.exit_code]
    for task in telling[:_MOST_SHOWN]:
        number = "" if task.index is None else f"task {task.index}  "
        code = "" if task.exit_code is None else f"exit code {task.exit_code}  "
        echo(f"  {number}{task.state}  {code}{task.reason}".rstrip())
    if len(telling) > _MOST_SHOWN:
        echo(f"  and {len(telling) - _MOST_SHOWN} more")
