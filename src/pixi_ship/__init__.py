"""Take a locked Pixi environment to batch jobs on machines you do not own.

:func:`plan`, :func:`build` and :func:`verify` are the verbs of the command line as functions.
:class:`Executor` submits functions as jobs, and a :class:`Job` has what came of one.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pixi_ship.ship import Build, Plan, build, plan
from pixi_ship.verify import Verification, verify
from pixi_ship.version import __version__

if TYPE_CHECKING:
    from pixi_ship.executor import Executor, FunctionFailed, Job, JobFailed

__all__ = [
    "Build",
    "Executor",
    "FunctionFailed",
    "Job",
    "JobFailed",
    "Plan",
    "Verification",
    "__version__",
    "build",
    "plan",
    "verify",
]


def __getattr__(name: str) -> object:
    """Schedulers and runtimes are imported when somebody submits, not with all else."""
    if name in __all__:
        return getattr(import_module("pixi_ship.executor"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
