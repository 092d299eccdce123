"""Take a locked Pixi environment to batch jobs on machines you do not own.

:func:`plan` and :func:`build` are the verbs of the command line as functions.
"""

__version__ = "0.1.0"

from pixi_ship.ship import Build, Plan, build, plan

__all__ = ["Build", "Plan", "__version__", "build", "plan"]
