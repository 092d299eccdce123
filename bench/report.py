"""The table that people read and the JSON that the next run is compared with."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from bench.measure import Summary, Surroundings
from bench.workspaces import BASE


@dataclass(frozen=True, slots=True)
class Row:
    """One case of one workspace. Bytes; ``floor_wall`` in seconds, None without a floor."""

    workspace: str
    case: str
    summary: Summary
    baseline_rss: int
    packed: int
    result: int
    floor_wall: float | None

    @property
    def rss_above(self) -> int:
        """Peak memory above that of an interpreter which does nothing."""
        return max(0, self.summary.rss - self.baseline_rss)

    @property
    def ratio(self) -> float | None:
        """Wall time as a multiple of the floor's."""
        return self.summary.wall / self.floor_wall if self.floor_wall else None

    def to_json(self) -> dict[str, object]:
        """For the report on disk."""
        return {**asdict(self), "rss_above": self.rss_above, "ratio": self.ratio}


def show(rows: Sequence[Row], facts: Sequence[str]) -> None:
    """Print everything."""
    console = Console(width=150)
    for name in dict.fromkeys(row.workspace for row in rows):
        table = Table(box=box.SIMPLE_HEAD, title=f"workspace {name}", title_justify="left")
        table.add_column("case", no_wrap=True)
        for title in (
            *("wall s", "min-max", "cpu s", "tar MB", "MB/s", "result MB"),
            *("memory MB", "workers MB", "disk MB", "x floor"),
        ):
            table.add_column(title, justify="right")
        for row in rows:
            if row.workspace == name:
                table.add_row(*_cells(row))
        console.print(table)
    for fact in facts:
        console.print(fact, highlight=False)


def _cells(row: Row) -> tuple[str, ...]:
    made = row.summary
    ours = made.disk > 0
    return (
        row.case,
        f"{made.wall:.2f}",
        f"{made.wall_min:.1f}-{made.wall_max:.1f}",
        f"{made.cpu:.2f}",
        megabytes(row.packed),
        f"{row.packed / made.wall / 1e6:.0f}" if row.packed else "",
        megabytes(row.result),
        megabytes(row.rss_above) if ours else "",
        megabytes(made.worker_rss) if ours else "",
        megabytes(made.disk),
        f"{row.ratio:.2f}" if row.ratio is not None else "",
    )


def save(
    output: Path,
    rows: Sequence[Mapping[str, object]],
    cores: int,
    surroundings: Surroundings,
    more: Mapping[str, object] | None = None,
) -> None:
    """Write rows and what they were measured on as JSON, and say where."""
    document = {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "python": platform.python_version(),
        "cores": cores,
        "base": BASE,
        **surroundings.to_json(),
        **(more or {}),
        "rows": rows,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(document, indent=2) + "\n")
    print(f"written to {output}")


def megabytes(size: int) -> str:
    """For a cell of a table; nothing for nothing."""
    return f"{size / 1e6:.0f}" if size >= 10_000_000 else f"{size / 1e6:.1f}" if size else ""
