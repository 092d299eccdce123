"""The table that people read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from bench.jobs.changed import PACKAGE
from bench.jobs.result import CHANGED, STEPS, Measured
from bench.report import megabytes

_NUMBERS = (
    *("received a node\nMB", "least-most\nMB", "x changed\npackage"),
    *("kept a node\nMB", "disk at peak,\nall nodes MB", "first result\ns", "last result\ns"),
)


def show(rows: Sequence[Measured], changed: int, facts: Sequence[str]) -> None:
    """Print everything; changed: bytes of the layer of the package that changed."""
    console = Console(width=150)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("how the environment gets to jobs", no_wrap=True)
    for title in _NUMBERS:
        table.add_column(title, justify="right")
    for step in STEPS:
        table.add_section()
        table.add_row(f"[bold]{step}[/bold]")
        for row in rows:
            if row.step == step:
                table.add_row(row.way, *_cells(row, changed))
    console.print(table)
    for fact in facts:
        console.print(fact, highlight=False)


def _cells(row: Measured, changed: int) -> Iterator[str]:
    received, kept = list(row.received.values()), list(row.kept.values())
    mean = sum(received) / len(received)
    yield f"{mean / 1e6:.1f}"
    yield f"{min(received) / 1e6:.1f}-{max(received) / 1e6:.1f}"
    yield f"{mean / changed:.2f}" if row.step == CHANGED else ""
    yield megabytes(sum(kept) // len(kept))
    yield megabytes(max(row.peak, 0))
    yield f"{row.first:.1f}"
    yield f"{row.last:.1f}"


def facts(nodes: int, tasks: int, environment: int, changed: int) -> Iterator[str]:
    """What the table does not say by itself."""
    yield (
        f"{tasks} tasks at once on {nodes} nodes of the lab, each importing pandas and scipy, in "
        f"an environment of {environment / 1e6:.0f} MB of files. The package that changed is "
        f"{PACKAGE}; what only the new image has are {changed / 1e6:.2f} MB of blobs, compressed."
    )
    yield (
        "Bytes are all that a node's link carried to it, the scheduler's own among them. Nodes are "
        "namespaces on one machine with one disk and few cores, so times are those of all nodes' "
        "work together, and that of Apptainer (unpacking, mksquashfs) weighs more than on nodes of "
        "their own."
    )
    yield (
        "All ways but the first use the job script that `pixi-ship submit` writes, with one "
        "transfer for all tasks of a node; without it each task of the single layer would fetch "
        "and convert it for itself. The first installs with rattler from archives in the lab, "
        "each job for itself, as jobs without a shared filesystem do."
    )
