"""HTCondor by its own commands, and by the event log that it writes beside a job's files.

Source: HTCondor manual, "Job event log codes". The log tells all of a job's story, also to a
process that was not there, and after the queue has forgotten the job.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pixi_ship.errors import SchedulerError
from pixi_ship.job.spec import JobFiles
from pixi_ship.scheduler.command import Commands
from pixi_ship.scheduler.record import JobRecord
from pixi_ship.scheduler.state import State, Task, ended

_TERSE = re.compile(r"(\d+)\.\d+(?:\s*-\s*\d+\.\d+)?\s*\Z")  # the first job, and the last
_EVENT = re.compile(r"(\d{3}) \((\d+)\.(-?\d+)\.-?\d+\) ")  # -01 where it is of all the jobs
_RETURNED = re.compile(r"Normal termination \(return value (\d+)\)")
_KILLED = re.compile(r"Abnormal termination \(signal (\d+)\)")
_MOST_LOG = 1 << 30  # bytes
# Numbers of events (condor_event.h).
_SUBMITTED, _EXECUTING, _EVICTED, _TERMINATED, _ABORTED, _HELD, _RELEASED = (
    *("000", "001", "004", "005", "009", "012", "013"),
)
_RECONNECT_FAILED, _CLUSTER_REMOVED = "024", "036"
# Of an analysis: its summary, what the job asks for, conditions that no slot meets.
_NO_SLOT = "No machines matched the job's constraints"
_ASKED = re.compile(r"^ +(Request\w+) = (\S+)", re.MULTILINE)
_LACKING = re.compile(r"^\[\d+\] +0  (\S.*?) *$", re.MULTILINE)


class HTCondor:
    """The pool that this machine submits to."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def submit(self, directory: Path, files: JobFiles) -> str:
        """Submit; returns the cluster's number. Raises SchedulerError."""
        said = self._commands.output(files.submit, directory)
        found = _TERSE.search(said.strip())
        if found is None:
            raise SchedulerError(f"condor_submit said {said.strip()!r}, want the numbers of jobs")
        return found[1]

    def cancel(self, record: JobRecord) -> None:
        """Remove every task that has not ended; raises SchedulerError."""
        self._commands.output(("condor_rm", record.identifier))

    def fetch(self, record: JobRecord) -> list[int | None]:
        """Nothing: the pool itself brings back what a task leaves."""
        return []

    def tail(self, record: JobRecord, task: Task, name: str, start: int) -> Iterator[bytes]:
        """What a task has written to stdout.txt or stderr.txt by now, from a byte on."""
        return self._commands.tail(record.task_directory(task.index) / name, start)

    def explained(self, record: JobRecord, tasks: list[Task]) -> list[Task]:
        """The tasks, those that wait in vain with what no slot of the pool has."""
        waiting = [at for at, task in enumerate(tasks) if task.state is State.PENDING]
        if not waiting:
            return tasks
        # They all ask for the same.
        words = ("condor_q", "-better-analyze", f"{record.identifier}.{waiting[0]}")
        reason = _in_vain(self._commands.attempt(words) or "")
        return [
            replace(task, reason=reason) if reason and task.state is State.PENDING else task
            for task in tasks
        ]

    def tasks(self, record: JobRecord) -> list[Task]:
        """Every task, in the order of the array; raises SchedulerError."""
        indices = record.indices
        known: dict[int, Task] = {}
        others = State.PENDING
        for event, process, text in _events(record):
            if event == _CLUSTER_REMOVED:
                # Those that max_materialize has kept back are told of by no event of their own.
                others = State.CANCELLED
            elif 0 <= process < len(indices):
                task = known.get(process) or Task(indices[process], State.PENDING)
                known[process] = _after(task, event, text)
        return [known.get(at) or Task(index, others) for at, index in enumerate(indices)]


def _events(record: JobRecord) -> Iterator[tuple[str, int, str]]:
    """Number, process and text of each event of the job's cluster."""
    path = record.directory / f"{record.name}.log"
    try:
        if path.stat().st_size > _MOST_LOG:
            raise SchedulerError(f"{path} has more than {_MOST_LOG} bytes")
        text = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise SchedulerError(f"reading {path}: {error.strerror or error}") from error
    for event in text.split("\n...\n")[:-1]:  # what is being written has no end yet
        found = _EVENT.match(event)
        # The log pads the number with zeros.
        if found and int(found[2]) == int(record.identifier):
            yield found[1], int(found[3]), event


def _after(task: Task, event: str, text: str) -> Task:
    index = task.index
    if event in (_SUBMITTED, _EVICTED, _RELEASED, _RECONNECT_FAILED):
        return Task(index, State.PENDING)
    if event == _EXECUTING:
        return Task(index, State.RUNNING)
    if event == _HELD:
        return Task(index, State.HELD, reason=_second_line(text))
    if event == _ABORTED:
        return Task(index, State.CANCELLED, reason=_second_line(text))
    if event == _TERMINATED:
        if found := _RETURNED.search(text):
            return ended(index, int(found[1]))
        if found := _KILLED.search(text):
            return ended(index, 128 + int(found[1]))
    return task


def _in_vain(said: str) -> str:
    """Why no slot takes a job, of what ``condor_q -better-analyze`` says; empty where one may."""
    if _NO_SLOT not in said:
        return ""
    values = dict(_ASKED.findall(said))
    lacking = []
    for condition in _LACKING.findall(said):
        words = [values.get(word, word) for word in condition.replace("TARGET.", "").split()]
        lacking.append(" ".join(words))
    return f"no slot has {' and '.join(lacking)}" if lacking else "no slot matches"


def _second_line(text: str) -> str:
    lines = text.splitlines()
    return lines[1].strip() if len(lines) > 1 else ""
