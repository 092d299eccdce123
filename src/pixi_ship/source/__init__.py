"""Wheels from the sources that a lock names.

    source distribution ─ unpack ─┐
    git dependency ────── commit ─┼→ a fresh directory → backend, confined → wheel → the cache
    path dependency ───── files ──┘

Nothing of a source is run, nor followed as a link, outside of the sandbox.
"""
