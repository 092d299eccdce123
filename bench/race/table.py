"""Medians as rows of text: printed as tables, and written into the page."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from bench.race.contender import ARRIVALS, STEPS
from bench.race.result import Case, Results, Seen

BUILDS: tuple[str, ...] = ("step", "contender", "wall s", "from-to", "cpu s", "memory MB")
BUILDS += ("disk MB", "image MB", "pushed MB", "runs")
NODES: tuple[str, ...] = ("node", "contender", "how", "first import s", "from-to", "cpu s")
NODES += ("disk MB", "pulled MB", "runs")


def builds(results: Results, environment: str) -> Iterator[tuple[str, ...]]:
    """A row of BUILDS for every contender at every step."""
    for case, runs in _of(results, environment, STEPS):
        yield (
            *(case.step, case.contender, *_times(runs)),
            *(f"{_middle(results, case, each):.0f}" for each in ("memory", "disk")),
            *(_megabytes(_middle(results, case, each)) for each in ("size", "moved")),
            str(len(runs)),
        )


def arrivals(results: Results, environment: str) -> Iterator[tuple[str, ...]]:
    """A row of NODES for every way to a node."""
    for case, runs in _of(results, environment, ARRIVALS):
        yield (
            *(case.step, case.contender, case.node, *_times(runs)),
            f"{_middle(results, case, 'disk'):.0f}",
            _megabytes(_middle(results, case, "moved")),
            str(len(runs)),
        )


def show(results: Results) -> None:
    """Print everything."""
    console = Console(width=170)
    for environment in dict.fromkeys(case.environment for case in results.runs):
        for titles, rows in (
            (BUILDS, builds(results, environment)),
            (NODES, arrivals(results, environment)),
        ):
            table = Table(*titles, box=box.SIMPLE_HEAD, title=environment, title_justify="left")
            for row in rows:
                table.add_row(*row)
            console.print(table)


def _of(
    results: Results, environment: str, steps: Sequence[str]
) -> Iterator[tuple[Case, list[Seen]]]:
    for step in steps:
        for case, runs in results.runs.items():
            if (case.environment, case.step) == (environment, step):
                yield case, runs


def _times(runs: Sequence[Seen]) -> Iterator[str]:
    walls = sorted(each.wall for each in runs)
    yield f"{statistics.median(walls):.1f}"
    yield f"{walls[0]:.1f}-{walls[-1]:.1f}"
    yield f"{statistics.median(each.cpu for each in runs):.1f}"


def _middle(results: Results, case: Case, name: str) -> float:
    """Of a number of bytes, in megabytes."""
    return (results.median(case, name) or 0) / 1e6


def _megabytes(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 1 else f"{number:.3f}"
