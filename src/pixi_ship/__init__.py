"""Take a locked Pixi environment to batch jobs on machines you do not own."""

__version__ = "0.1.0"
