"""The tables that people read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from bench.report import megabytes
from bench.sif import tools
from bench.sif.result import CHANGED, COLD, FLOOR, STEPS, Case, Result, Start, Starts, times
from bench.sif.starts import LAYERED, OURS

Started = Mapping[tuple[Start, str], Starts]

_NUMBERS = (
    *("wall\ns", "min-max\ns", "cpu\ns", "memory\nMB", "disk\nMB", "file\nMB"),
    *("as fast as\napptainer", "by cpu", "x floor"),
)


def show_builds(results: Mapping[Case, Result]) -> None:
    """Who made SIF files, and how long it took."""
    console = Console(width=150)
    for name in dict.fromkeys(case.workspace for case in results):
        table = _table(f"workspace {name}: making SIF files", ("tool", "codec"), _NUMBERS)
        for step in STEPS:
            rows = [case for case in results if (case.workspace, case.step) == (name, step)]
            if rows:
                table.add_section()
                table.add_row(f"[bold]{step}[/bold]")
            for case in rows:
                table.add_row(case.tool, case.compression, *_cells(case, results))
        console.print(table)


def show_starts(starts: Started) -> None:
    """How long jobs took to start."""
    console = Console(width=150)
    users = list(dict.fromkeys(user for _, user in starts))
    numbers = [f"{user}\n{what}" for user in users for what in ("s", "min-max", "cpu s", "x ours")]
    for image, job in dict.fromkeys((each.image, each.job) for each, _ in starts):
        titles = ("form", "codec")
        table = _table(f"image {image}: {job}", titles, ("parts", "file\nMB", *numbers))
        for each in dict.fromkeys(each for each, _ in starts):
            if (each.image, each.job) == (image, job):
                cells = [cell for user in users for cell in _start_cells(each, user, starts)]
                row = (each.form, each.compression, str(each.partitions), megabytes(each.size))
                table.add_row(*row, *cells)
        console.print(table)


def show_facts(facts: Iterable[str]) -> None:
    """What the tables do not say by themselves."""
    console = Console(width=150)
    for fact in facts:
        console.print(fact, highlight=False)


def _table(title: str, names: Iterable[str], numbers: Iterable[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for each in names:
        table.add_column(each, no_wrap=True)
    for each in numbers:
        table.add_column(each, justify="right")
    return table


def _cells(case: Case, results: Mapping[Case, Result]) -> Iterator[str]:
    result = results[case]
    made = result.summary
    yield f"{made.wall:.2f}"
    yield f"{made.wall_min:.1f}-{made.wall_max:.1f}"
    yield f"{made.cpu:.2f}"
    yield megabytes(made.rss)
    yield megabytes(made.disk)
    yield megabytes(result.size)
    yield _ratio(times(results, apptainers(case), case), 1)
    yield _ratio(times(results, apptainers(case), case, lambda sample: sample.cpu), 1)
    yield _ratio(times(results, case, floor(case)) if case.step == COLD else None, 2)


def apptainers(case: Case) -> Case:
    """What Apptainer does to come to the same: everything again, where anything changed or not."""
    step = COLD if case.step in (COLD, FLOOR) else CHANGED
    return Case(case.workspace, step, tools.APPTAINER, case.compression)


def floor(case: Case) -> Case:
    """The fastest mksquashfs of the same codec."""
    return Case(case.workspace, FLOOR, tools.FASTEST[case.compression], case.compression)


def _start_cells(start: Start, user: str, starts: Started) -> Iterator[str]:
    found = starts.get((start, user))
    if found is None:
        yield from ("", "", "", "")
        return
    yield f"{found.wall:.2f}"
    yield f"{min(found.walls):.2f}-{max(found.walls):.2f}"
    yield f"{found.cpu:.2f}"
    ours = [
        each
        for (other, other_user), each in starts.items()
        if (other.image, other.job, other.form) == (start.image, start.job, OURS)
        and (other.compression, other_user) == (start.compression, user)
    ]
    yield _ratio(found.wall / ours[0].wall if ours else None, 2)


def _ratio(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def facts(results: Mapping[Case, Result], starts: Started) -> Iterator[str]:
    """What the tables do not say by themselves."""
    rounds = max(len(each.samples) for each in results.values())
    yield (
        f'Medians of {rounds}; ratios are medians of those of each round. "As fast as apptainer" '
        "is how many times as long `apptainer build` from the OCI layout took, with the same codec "
        'and for the same step; "by cpu" is the same of processor time, which other work on the '
        "machine changes less. It keeps blobs only: for the later steps it unpacks and "
        "compresses everything again. Its gzip is its default (level 9), its zstd is of level 1; "
        "ours are isal's level 2 and zstd's level 3."
    )
    yield (
        '"x floor" is against mksquashfs of level 1, which starts from files already unpacked. '
        "The lock's archives are local; `pixi-ship build` also reads them, compiles bytecode and "
        "makes the layers, which the image that Apptainer is given has already."
    )
    yield (
        "Memory is that of all processes of a tool together, disk by how much scratch and output "
        "grew; both are looked at again and again, so that short peaks may be missed."
    )
    for workspace in dict.fromkeys(case.workspace for case in results):
        yield from _compared(workspace, results)
    if starts:
        yield _about_starts(starts)


def _about_starts(starts: Started) -> str:
    least = min(len(each.walls) for each in starts.values())
    partitions = max(each.partitions for each, _ in starts)
    return (
        f"Starts are medians of {least} or more, of files that the kernel has in memory: "
        "`apptainer exec` from begin to end, the forms in turn. As root the kernel mounts them, "
        "for the ordinary user FUSE does, and its processor time counts. "
        f'"{LAYERED}" is the same image with the base as root filesystem and each further layer '
        f"as an overlay partition of the same SIF, up to {partitions} in all."
    )


def _compared(workspace: str, results: Mapping[Case, Result]) -> Iterator[str]:
    """How many times as fast as Apptainer's default, whatever the codec of ours."""
    for tool in (tools.OURS, tools.CONVERT):
        said = []
        for compression in ("gzip", "zstd"):
            for step, aim in ((COLD, 3), (CHANGED, 20)):
                case = Case(workspace, step, tool, compression)
                default = Case(workspace, step, tools.APPTAINER, "gzip")
                found = times(results, default, case)
                if found is not None:
                    cpu = times(results, default, case, lambda sample: sample.cpu)
                    said.append(f"{compression}, {step}: {found:.1f} (by cpu {cpu:.1f}, aim {aim})")
        if said:
            yield (
                f"{workspace}: times as fast as `apptainer build` as it is by default, "
                f"{tool}: {'; '.join(said)}."
            )
