"""Functions as jobs, from Python: :class:`Executor` submits them, :class:`Job` has the result."""

from pixi_ship.executor.executor import Executor
from pixi_ship.executor.failure import FunctionFailed, JobFailed, RemoteTraceback
from pixi_ship.executor.job import Job, JobPaths

__all__ = ["Executor", "FunctionFailed", "Job", "JobFailed", "JobPaths", "RemoteTraceback"]
