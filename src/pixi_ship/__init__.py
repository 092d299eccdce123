"""Take a locked Pixi environment to batch jobs on machines you do not own.

:func:`plan`, :func:`build` and :func:`verify` are the verbs of the command line as functions.
"""

from pixi_ship.ship import Build, Plan, build, plan
from pixi_ship.verify import Verification, verify
from pixi_ship.version import __version__

__all__ = ["Build", "Plan", "Verification", "__version__", "build", "plan", "verify"]
