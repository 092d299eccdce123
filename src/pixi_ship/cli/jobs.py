"""``pixi ship status``, ``wait``, ``logs`` and ``cancel``: of a job, by its directory."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from pixi_ship.cli.foreign_text import echo, print_foreign_json, printable_errors
from pixi_ship.cli.host_options import reached
from pixi_ship.errors import SchedulerError, UsageError
from pixi_ship.over_ssh import SchedulerOverSSH
from pixi_ship.scheduler.command import LocalCommands
from pixi_ship.scheduler.record import JobRecord, read_record
from pixi_ship.scheduler.state import State, Task, exit_code_of
from pixi_ship.submit import Scheduler, scheduler

_MOST_SHOWN = 20  # tasks
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0  # seconds between two questions
# Seconds that a host or scheduler may be out of reach: laptops sleep, controllers are restarted.
_PATIENCE = 300.0

_directory = click.argument("directory", metavar="JOB", type=click.Path(path_type=Path))
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.command("status")
@_directory
@_as_json
def status_command(directory: Path, as_json: bool) -> None:
    """Show what the tasks of a job are doing; JOB is the directory that submit printed."""
    with _opened(directory) as (record, driver):
        tasks = driver.explained(record, driver.tasks(record))
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
    with _opened(directory) as (record, driver):
        tasks: list[Task] = []
        for tasks in _polled(lambda: driver.tasks(record), timeout):
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
    with _opened(directory) as (record, driver):
        _check_index(record, index)
        log = _Log(record, driver, "stderr.txt" if stderr else "stdout.txt")
        place = record.indices.index(index)
        if follow:
            _follow(log, place)
        elif record.fetch is None:
            log.print(Task(index, State.PENDING))  # whatever it does, its log is in one place
        else:
            log.print(driver.tasks(record)[place])


@click.command("cancel")
@_directory
def cancel_command(directory: Path) -> None:
    """Cancel the tasks of a job that have not ended."""
    with _opened(directory) as (record, driver):
        driver.cancel(record)


@click.command("fetch")
@_directory
def fetch_command(directory: Path) -> None:
    """Bring the output of a job's ended tasks here, from nodes that keep it, or from its host."""
    with _opened(directory) as (record, driver):
        for index in driver.fetch(record):
            click.echo(str(record.task_directory(index)))


@contextmanager
def _opened(directory: Path) -> Iterator[tuple[JobRecord, Scheduler]]:
    """A job and its scheduler; errors in the block come out fit to print."""
    record = read_record(directory.absolute())
    with printable_errors():
        if record.there is None:
            yield record, scheduler(record.scheduler, LocalCommands(os.environ))
        else:
            driver = SchedulerOverSSH(record.scheduler, reached(record.there.host))
            yield driver.resumed(record), driver


def _polled(ask: Callable[[], list[Task]], timeout: float | None) -> Iterator[list[Task]]:
    """The tasks again and again, less often the longer it takes.

    A host or scheduler that answered once may be out of reach for some minutes.
    """
    pause, started, answered = _FIRST_PAUSE, time.monotonic(), None
    while True:
        try:
            tasks = ask()
        except SchedulerError as error:
            if answered is None or time.monotonic() - answered > _PATIENCE:
                raise
            echo(f"{error}; asking again", err=True)
        else:
            answered = time.monotonic()
            yield tasks
        left = None if timeout is None else timeout - (time.monotonic() - started)
        if left is not None and left <= 0:
            return
        time.sleep(pause if left is None else min(pause, left))
        pause = min(pause * 1.3, _LONGEST_PAUSE)


def _check_index(record: JobRecord, index: int | None) -> None:
    if index not in record.indices:
        numbers = f"{record.indices[0]} to {record.indices[-1]}"
        hint = f"give --task, {numbers}" if record.tasks else "the job is no array"
        raise UsageError(f"{record.name} has no task {index}", hint=hint)


@dataclass(slots=True)
class _Log:
    """What a task writes to a file, printed as far as it has come."""

    record: JobRecord
    driver: Scheduler
    name: str
    at: int = 0

    def print(self, task: Task) -> None:
        """Print what was written since."""
        for block in self.driver.tail(self.record, task, self.name, self.at):
            sys.stdout.buffer.write(block)
            self.at += len(block)
        sys.stdout.flush()


def _follow(log: _Log, place: int) -> None:
    """Print a log until the task at this place of the array has ended."""

    def ask() -> list[Task]:
        tasks = log.driver.tasks(log.record)
        log.print(tasks[place])  # after that look: what an ended task wrote is all there
        return tasks

    for tasks in _polled(ask, None):
        if tasks[place].state.is_final:
            return


def _json(record: JobRecord, tasks: list[Task]) -> dict[str, object]:
    return {
        "scheduler": record.scheduler.value,
        "id": record.identifier,
        "name": record.name,
        "image": record.image,
        "directory": str(record.directory),
        "host": record.there and record.there.host,
        "remote_directory": record.there and record.there.directory,
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
