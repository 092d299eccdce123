"""The options that every benchmark has."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from bench.workspaces import DATA


def parser(
    program: str, description: str | None, workspaces: Iterable[str], name: str
) -> argparse.ArgumentParser:
    """A parser of ``--runs``, ``--quick``, ``--workspace``, ``--scratch`` and ``--output``.

    name: what the files of this benchmark are called.
    """
    scratch, output = DATA / "bench/scratch" / name, DATA / f"bench/{name}.json"
    made = argparse.ArgumentParser(prog=program, description=description)
    made.add_argument("--runs", type=int, default=3, metavar="N", help="rounds (default: 3)")
    made.add_argument("--quick", action="store_true", help="one round")
    made.add_argument("--workspace", choices=workspaces, help="one of them instead of all")
    made.add_argument("--scratch", type=Path, default=scratch, metavar="DIR")
    made.add_argument("--output", type=Path, default=output, metavar="FILE")
    return made
