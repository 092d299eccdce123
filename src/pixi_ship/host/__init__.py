"""A machine that is reached over SSH: the system's own ``ssh`` and ``rsync`` do it all."""
