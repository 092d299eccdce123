"""What is known of a submitted job, in a file beside its others: any process can go on with it."""

from __future__ import annotations

import json
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
        rows = found["tasks"]
        tasks = Tasks(int(rows["first"]), int(rows["last"]), int(rows["step"])) if rows else None
        scheduler = SchedulerName(found["scheduler"])
        identifier, name, image = (str(found[key]) for key in ("id", "name", "image"))
        outputs = tuple(str(row) for row in found["outputs"])
        nodes = found["fetch"]
        fetch = (tuple(map(str, nodes["words"])), str(nodes["directory"])) if nodes else None
        there = _there(found.get("there"))
    except OSError as error:
        raise SchedulerError(
            f"{directory} is no job's directory: {error.strerror or error}",
            hint="name the directory that 'submit' printed",
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SchedulerError(f"reading {path}: {error}") from error
    return JobRecord(directory, scheduler, identifier, name, image, tasks, outputs, fetch, there)


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
    return {task.index: task for task in tasks}
