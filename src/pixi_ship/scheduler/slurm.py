"""Slurm by its own commands: sbatch, squeue, scontrol, sacct, scancel.

How a task ended is told by the file that the job script leaves; the scheduler is asked for the
others, since it forgets jobs after minutes and many sites keep no accounts.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from pixi_ship.errors import SchedulerError
from pixi_ship.job.spec import JobFiles
from pixi_ship.scheduler.command import Commands
from pixi_ship.scheduler.record import JobRecord, recall_ended, remember_ended
from pixi_ship.scheduler.state import State, Task, ended

_IDENTIFIER = re.compile(r"(\d+)(?:;\S+)?\s*\Z")  # sbatch --parsable: the job, and the cluster
_WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "RESIZING", "REQUEUE_HOLD"})
_UNKNOWN = "invalid job id"  # squeue's word for a job that it has forgotten
_LEFT = ("stdout.txt", "stderr.txt", "exit-code")
_CODE = re.compile(r"[0-9]{1,3}")
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?(?::([1-9]\d{0,8}))?")
_FIELDS = re.compile(r"(\w+)=(\S*)")


class Slurm:
    """The Slurm that this machine submits to."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def submit(self, directory: Path, files: JobFiles) -> str:
        """Submit; returns the job's number. Raises SchedulerError."""
        said = self._commands.output(files.submit, directory)
        found = _IDENTIFIER.search(said.strip())
        if found is None:
            raise SchedulerError(f"sbatch said {said.strip()!r}, want a job's number")
        return found[1]

    def cancel(self, record: JobRecord) -> None:
        """Cancel every task that has not ended; raises SchedulerError."""
        self._commands.output(("scancel", record.identifier))

    def tail(self, record: JobRecord, task: Task, name: str, start: int) -> Iterator[bytes]:
        """What a task has written to stdout.txt or stderr.txt by now, from a byte on.

        Where its node keeps that, a step beside the task reads it. Raises SchedulerError.
        """
        here = record.task_directory(task.index) / name
        if record.fetch is None or here.exists():
            yield from self._commands.tail(here, start)
            return
        there = _place_on_node(record, task.index)
        # In base64, since what a command says is taken for text.
        script = f'test ! -e "{there}/{name}" || tail -c +{start + 1} "{there}/{name}" | base64'
        if task.state is State.RUNNING:
            number = "" if task.index is None else f"_{task.index}"
            step = ("srun", "--quiet", f"--jobid={record.identifier}{number}", "--overlap")
            # It may end just now; then the next look finds it on its node.
            said = self._commands.attempt((*step, "--chdir=/", "sh", "-c", script)) or ""
        elif task.node:
            said = self._commands.output((*record.fetch[0], "-w", task.node, "sh", "-c", script))
        else:
            return
        yield base64.b64decode(said)

    def explained(self, record: JobRecord, tasks: list[Task]) -> list[Task]:
        """The tasks as they are: what is known of them is in them."""
        return tasks

    def tasks(self, record: JobRecord) -> list[Task]:
        """Every task, in the order of the array; raises SchedulerError."""
        alive, silent = self._alive(record)
        tasks = recall_ended(record) | alive
        for index in record.indices:
            if index not in tasks and (left := self._left(record, index)):
                tasks[index] = left
        if any(index not in tasks for index in record.indices):
            tasks = self._remembered(record) | tasks
        remember_ended(record, tasks.values())
        if silent and any(index not in tasks for index in record.indices):
            raise silent  # a task is lost where Slurm says so, not where it says nothing
        return [tasks.get(index) or Task(index, State.LOST) for index in record.indices]

    def fetch(self, record: JobRecord) -> list[int | None]:
        """Bring what ended tasks left on their nodes; returns the tasks it was done for.

        Only what a job is to leave is taken, and none of it above the task's directory. What
        was brought is removed from the node. Raises SchedulerError.
        """
        if record.fetch is None:
            return []
        words = record.fetch[0]
        fetched: list[int | None] = []
        for task in self.tasks(record):
            here = record.task_directory(task.index)
            if not task.state.is_final or not task.node or (here / _LEFT[0]).exists():
                continue
            there = _place_on_node(record, task.index)
            names = " ".join(map(shlex.quote, (*_LEFT, *record.outputs)))
            pack = (
                f'cd "{there}" && '
                f'for each in {names}; do test ! -e "$each" || printf \'%s\\n\' "$each"; done'
            )
            on_node = (*words, "-w", task.node, "sh", "-c")
            send = (*on_node, f"{pack} | tar -c --verbatim-files-from -T -")
            self._commands.unpack(send, here, _LEFT[0])
            self._commands.attempt((*on_node, f'rm -rf "{there}"'))
            fetched.append(task.index)
        return fetched

    def _alive(self, record: JobRecord) -> tuple[dict[int | None, Task], SchedulerError | None]:
        """The tasks that wait or run; and the error where the controller did not answer."""
        words = ("squeue", "--noheader", "--array", "--jobs", record.identifier)
        try:
            said = self._commands.output((*words, "--format", "%K|%T|%r"))
        except SchedulerError as error:
            return {}, None if _UNKNOWN in str(error).lower() else error
        tasks = {}
        for line in said.splitlines():
            number, state, reason = (*line.strip().split("|"), "", "")[:3]
            index = int(number) if record.tasks and number.isdigit() else None
            tasks[index] = Task(index, _live(state, reason), reason=_reason(reason))
        return {index: task for index, task in tasks.items() if not task.state.is_final}, None

    def _left(self, record: JobRecord, index: int | None) -> Task | None:
        try:
            text = (record.task_directory(index) / "exit-code").read_text("utf-8", "replace")
        except OSError:
            return None
        # Whatever runs in the job's directory may write there.
        found = _CODE.fullmatch(text.strip())
        return ended(index, int(text)) if found else None

    def _remembered(self, record: JobRecord) -> dict[int | None, Task]:
        """What the controller, or the accounts, know of tasks that left no exit code."""
        said = self._commands.attempt(("scontrol", "--oneliner", "show", "job", record.identifier))
        tasks = {}
        for line in (said or "").splitlines():
            fields = dict(_FIELDS.findall(line))
            state, code = fields.get("JobState", ""), fields.get("ExitCode", "")
            node = fields.get("BatchHost", "")
            for index in _indices(record, fields.get("ArrayTaskId", "")):
                tasks[index] = _final(index, state, code, node)
        if not tasks:
            tasks = self._accounted(record)
        return {index: task for index, task in tasks.items() if task.state.is_final}

    def _accounted(self, record: JobRecord) -> dict[int | None, Task]:
        words = ("sacct", "--noheader", "--parsable2", "--allocations", "--jobs")
        said = self._commands.attempt(
            (*words, record.identifier, "--format", "JobID,State,ExitCode,NodeList")
        )
        tasks = {}
        for line in (said or "").splitlines():
            identifier, state, code, node = (*line.split("|"), "", "", "")[:4]
            node = "" if " " in node else node  # "None assigned"
            for index in _indices(record, identifier.partition("_")[2]):
                tasks[index] = _final(index, state, code, node)
        return tasks


def _place_on_node(record: JobRecord, index: int | None) -> str:
    """A task's directory on its node, for ``sh``."""
    if record.fetch is None:
        raise AssertionError("its nodes keep nothing to themselves")
    below = "" if index is None else f"/task-{index}"
    return f"{record.fetch[1]}/{record.identifier}{below}"


def _indices(record: JobRecord, text: str) -> list[int | None]:
    """The tasks that a line is about: ``4``, or ``[1-9:4,12%2]`` of those that never began."""
    if record.tasks is None:
        return [None]
    found: list[int | None] = []
    for first, last, step in _RANGE.findall(text.partition("%")[0]):
        found += range(int(first), min(int(last or first), record.tasks.last) + 1, int(step or 1))
    return found


def _live(state: str, reason: str) -> State:
    if state in _WAITING:
        return State.HELD if "held" in reason.lower() else State.PENDING
    if state in ("RUNNING", "COMPLETING", "SUSPENDED", "STAGE_OUT", "SIGNALING"):
        return State.RUNNING
    return State.LOST  # it has ended; others know how


def _reason(reason: str) -> str:
    return "" if reason in ("None", "") else reason


def _final(index: int | None, state: str, code: str, node: str) -> Task:
    word = state.partition(" ")[0]  # "CANCELLED by 1000"
    status, _, signal = code.partition(":")
    number = int(status or 0) if status.isdigit() else 0
    if signal.isdigit() and int(signal):
        number = 128 + int(signal)
    if word == "COMPLETED":
        return ended(index, 0, node)
    if word.startswith("CANCELLED"):
        return Task(index, State.CANCELLED, number or None, node=node)
    if not word or _live(word, "") is not State.LOST:
        return Task(index, State.PENDING)
    return Task(index, State.FAILED, number or None, word.lower().replace("_", " "), node)
