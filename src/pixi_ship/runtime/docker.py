"""``docker run``."""

from __future__ import annotations

from pixi_ship.runtime.engine import own_ids, run_words
from pixi_ship.runtime.image import RunnableImage
from pixi_ship.runtime.invocation import Invocation
from pixi_ship.runtime.job import Job, Like


def command_line(program: str, image: RunnableImage, job: Job) -> Invocation:
    """The words that start a job. Raises UsageError for a path that cannot be bound."""
    own = []
    if job.like is not Like.HTCONDOR:
        # The first process of a container ignores signals that it has no handler for.
        own.append("--init")
    if job.like or job.caller.uid:
        # Docker's root is the machine's: without this, files in the directory would be root's.
        own += own_ids(job)
    return run_words(program, image, job, own, ["--gpus", str(job.gpus)])
