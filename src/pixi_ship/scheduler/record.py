"""What is known of a submitted job, in a file beside its others: any process can go on with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from pixi_ship.cache import write_atomically
from pixi_ship.errors import SchedulerError
from pixi_ship.job.spec import Tasks
from pixi_ship.scheduler.state import State, Task

_NAME = "job.json"
_ENDED = "ended.json"
_FORMAT = 1
_MOST_TASKS = 1_000_000
_IDENTIFIER = re.compile(r"[0-9]{0,20}\Z")  # what a scheduler's command gets to see as a word


class SchedulerName(StrEnum):
    """The schedulers there are."""

    SLURM = "slurm"
    HTCONDOR = "htcondor"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class There:
    """Where a job is that was submitted over SSH.

    host: as ``ssh`` takes it. directory: the job's, absolute. inputs: the names of what was
    copied there for it.
    """

    host: str
    directory: str
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job that was submitted.

    directory: where its files are. identifier: the scheduler's; empty while a host has not
    told it. outputs: what the job was to leave. fetch: how to reach what is on the nodes
    (:class:`~pixi_ship.job.spec.JobFiles`). there: None for a scheduler of this machine.
    """

    directory: Path
    scheduler: SchedulerName
    identifier: str
    name: str
    image: str
    tasks: Tasks | None
    outputs: tuple[str, ...] = ()
    fetch: tuple[tuple[str, ...], str] | None = None
    there: There | None = None

    @property
    def indices(self) -> list[int | None]:
        """The numbers of its tasks; one None where it is no array."""
        if self.tasks is None:
            return [None]
        return list(range(self.tasks.first, self.tasks.last + 1, self.tasks.step))

    def task_directory(self, index: int | None) -> Path:
        """Where a task's output is."""
        return self.directory if index is None else self.directory / f"task-{index}"

    def save(self) -> None:
        """Write the record into the job's directory."""
        tasks = self.tasks
        document = {
            "format": _FORMAT,
            "scheduler": self.scheduler.value,
            "id": self.identifier,
            "name": self.name,
            "image": self.image,
            "tasks": tasks and {"first": tasks.first, "last": tasks.last, "step": tasks.step},
            "outputs": list(self.outputs),
            "fetch": self.fetch and {"words": list(self.fetch[0]), "directory": self.fetch[1]},
            "there": self.there and asdict(self.there),
        }
        data = json.dumps(document, indent=2) + "\n"
        write_atomically(self.directory / _NAME, data.encode())


def read_record(directory: Path) -> JobRecord:
    """The record in a job's directory; raises SchedulerError where there is none."""
    path = directory / _NAME
    try:
        found = json.loads(path.read_bytes())
        if found["format"] != _FORMAT:
            raise SchedulerError(f"{path} is of format {found['format']}, want {_FORMAT}")
        tasks = _tasks(found["tasks"])
        scheduler = SchedulerName(found["scheduler"])
        identifier, name, image = (str(found[key]) for key in ("id", "name", "image"))
        if not _IDENTIFIER.match(identifier):
            raise ValueError(f"the identifier {identifier!r} is no number")
        outputs = tuple(str(row) for row in found["outputs"])
        nodes = found["fetch"]
        fetch = (tuple(map(str, nodes["words"])), str(nodes["directory"])) if nodes else None
        there = _there(found.get("there"))
    except OSError as error:
        raise SchedulerError(
            f"{directory} is no job's directory: {error.strerror or error}",
            hint="name the directory that 'submit' printed",
        ) from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise SchedulerError(f"reading {path}: {error}") from error
    return JobRecord(directory, scheduler, identifier, name, image, tasks, outputs, fetch, there)


def _tasks(found: Mapping[str, int] | None) -> Tasks | None:
    """Raises KeyError, TypeError and ValueError, as any document that is not as it should be."""
    if not found:
        return None
    tasks = Tasks(int(found["first"]), int(found["last"]), int(found["step"]))
    if tasks.step < 1 or not 0 <= tasks.last - tasks.first < _MOST_TASKS * tasks.step:
        raise ValueError("the tasks are no array")
    return tasks


def _there(found: Mapping[str, object] | None) -> There | None:
    """Raises KeyError and TypeError, as any document that is not as it should be."""
    if found is None:
        return None
    inputs = found["inputs"]
    if not isinstance(inputs, list):
        raise TypeError("the inputs are no list")
    return There(str(found["host"]), str(found["directory"]), tuple(map(str, inputs)))


def remember_ended(record: JobRecord, tasks: Iterable[Task]) -> None:
    """Keep how tasks ended: the scheduler forgets it."""
    known = recall_ended(record) | {each.index: each for each in tasks if each.state.is_final}
    rows = [
        {**asdict(each), "state": each.state.value}
        for each in known.values()
        if each.state is not State.LOST
    ]
    data = json.dumps({"format": _FORMAT, "tasks": rows}, separators=(",", ":"))
    path = record.directory / _ENDED
    with suppress(OSError):
        if path.read_text() == data:
            return
    write_atomically(path, data.encode())


def recall_ended(record: JobRecord) -> dict[int | None, Task]:
    """How tasks ended, as far as somebody asked while the scheduler knew."""
    try:
        rows = json.loads((record.directory / _ENDED).read_bytes())["tasks"]
        tasks = [Task(**{**row, "state": State(row["state"])}) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {task.index: task for task in tasks if _is_sound(task)}


def _is_sound(task: Task) -> bool:
    """Whether a task that was read is what one that was written would be."""
    numbers, words = (task.index, task.exit_code), (task.reason, task.node)
    return all(isinstance(each, int | None) for each in numbers) and all(
        isinstance(each, str) for each in words
    )
