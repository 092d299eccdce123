"""Run what a package brings along without giving it this machine: scripts, build backends."""
