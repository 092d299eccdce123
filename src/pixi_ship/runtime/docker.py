"""``docker run``."""

from __future__ import annotations

from pixi_ship.runtime.engine import own_ids, run_words
from pixi_ship.runtime.image import RunnableImage
from pixi_ship.runtime.invocation import Invocation
from pixi_ship.runtime.spec import Like, RunSpec


def command_line(program: str, image: RunnableImage, spec: RunSpec) -> Invocation:
    """The words that start a job. Raises UsageError for a path that cannot be bound."""
    own = []
    if spec.like is not Like.HTCONDOR:
        # The first process of a container ignores signals that it has no handler for.
        own.append("--init")
    if spec.like or spec.caller.uid:
        # Docker's root is the machine's: without this, files in the directory would be root's.
        own += own_ids(spec)
    return run_words(program, image, spec, own, ["--gpus", str(spec.gpus)])
