"""How the tasks of a job are started here: the line that a runtime wants, for their script."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, replace

from pixi_ship.job.local import TASK, LocalStart, task_place
from pixi_ship.job.quote import shell_word
from pixi_ship.job.spec import INDEX, ImageKind, JobImage, JobSpec
from pixi_ship.oci.reference import Transport
from pixi_ship.run import Opened, Workbench, prepare
from pixi_ship.run.process import load_image
from pixi_ship.runtime.find import Form, FoundRuntime
from pixi_ship.runtime.spec import Bind, Caller, RunSpec, Variable


@dataclass(frozen=True, slots=True)
class TaskStart:
    """Starts jobs in one image, by one runtime.

    caller: who runs them; none of the variables reach a task. options: words for the runtime.
    loads: whether an image that an engine's store lacks is brought there.
    """

    opened: Opened
    found: FoundRuntime
    at: Workbench
    caller: Caller
    options: tuple[str, ...] = ()
    loads: bool = True

    @property
    def image(self) -> JobImage:
        """The image as a job names it."""
        reference, digest = self.opened.reference, self.opened.image.digest
        if reference is not None and reference.transport is Transport.DOCKER and digest is not None:
            return JobImage(ImageKind.LAYERS, f"{reference.path}@{digest}", digest.hex)
        return JobImage(ImageKind.HERE, self.opened.image.reference)

    def __call__(self, job: JobSpec, directory: str) -> LocalStart:
        """The line of a job whose files are in a directory; raises PixiShipError."""
        form, place = self.found.runtime.form, task_place(job, directory)
        options, kill, name = self.options, tuple[str, ...](), ""
        if form is Form.NAME:
            # Killing the engine's client would leave the container; by a name it can be found.
            key = hashlib.sha256(directory.encode("utf-8", "surrogateescape")).hexdigest()[:16]
            kill = (self.found.program, "kill", f"pixi-ship-{key}")
            name = kill[-1] if job.tasks is None else f"{kill[-1]}-{INDEX}"
            options = ("--name", name, *options)
        elif form is Form.ROOT:
            options = ("--die-with-parent", *options)
        prepared = prepare(self.opened, self.found, self._spec(job, place, options), self.at)
        if prepared.loading is not None and self.loads:
            load_image(prepared.loading.load, prepared.loading.archive, self.caller.environment)
        own = {place: TASK, name: shell_word(name, (INDEX,))}
        words = [_word(each, own) for each in prepared.start.words[: -len(job.command)]]
        variables = str(replace(prepared.start, words=()))
        line = " ".join([*([variables] if variables else []), *words])
        return LocalStart(line, form is Form.ROOT, kill)

    def _spec(self, job: JobSpec, place: str, options: tuple[str, ...]) -> RunSpec:
        return RunSpec(
            command=job.command,
            caller=replace(self.caller, directory=place, environment={}, terminal=False),
            binds=(Bind(place, job.workdir),) if job.workdir else (),
            variables=tuple(Variable(*each) for each in job.env.items()),
            gpus=str(job.resources.gpus) if job.resources.gpus else None,
            starts_in=job.workdir,
            options=options,
        )


def _word(word: str, own: dict[str, str]) -> str:
    """A word for ``sh``; what is the task's own in it becomes a variable of the script."""
    for text, shown in own.items():
        if text and text in word:
            before, _, after = word.partition(text)
            parts = (
                _word(before, own) if before else "",
                shown,
                _word(after, own) if after else "",
            )
            return "".join(parts)
    return shlex.quote(word)
