"""Real schedulers on one machine, for tests: `python -m lab --help`."""
