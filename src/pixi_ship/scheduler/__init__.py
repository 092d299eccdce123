"""Thin drivers over the schedulers' own commands; all that is known of a job lies in its files."""
