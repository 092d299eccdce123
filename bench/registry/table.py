"""The table that people read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from bench.measure import Summary
from bench.registry.images import LAYERED, PACKER, SINGLE
from bench.registry.result import CHANGED, PULL, STEPS, Case, Result
from bench.registry.traffic import METHODS
from bench.report import megabytes

_NUMBERS = (
    *("wall\ns", "min-max\ns", "cpu\ns", "memory\nMB", "workers\nMB"),
    *("blobs\nin MB", "manifests\nin kB", "out\nMB", "mounts", *METHODS),
)


def show(results: Mapping[Case, Result], facts: Iterable[str]) -> None:
    """Print everything."""
    console = Console(width=170)
    for name in dict.fromkeys(case.workspace for case in results):
        table = Table(box=box.SIMPLE_HEAD, title=f"workspace {name}", title_justify="left")
        table.add_column("client", no_wrap=True)
        table.add_column("image", no_wrap=True)
        for title in _NUMBERS:
            table.add_column(title, justify="right")
        for step in STEPS:
            rows = [case for case in results if (case.workspace, case.step) == (name, step)]
            if rows:
                table.add_section()
                table.add_row(f"[bold]{step}[/bold]")
            for case in rows:
                table.add_row(case.client, case.image, *_cells(results[case]))
        console.print(table)
    for fact in facts:
        console.print(fact, highlight=False)


def _cells(result: Result) -> Iterator[str]:
    made = Summary.of(result.samples)
    yield f"{made.wall:.2f}"
    yield f"{made.wall_min:.1f}-{made.wall_max:.1f}"
    yield f"{made.cpu:.2f}"
    yield megabytes(made.rss)
    yield megabytes(made.worker_rss)
    traffic = result.traffic
    if traffic is None:
        return
    yield _bytes(traffic.blob_bytes_in, 1e6)
    yield _bytes(traffic.manifest_bytes_in, 1e3)
    yield _bytes(traffic.blob_bytes_out + traffic.other_bytes_out, 1e6)
    yield str(traffic.mounts or "")
    for method in METHODS:
        yield str(traffic.requests.get(method) or "")


def _bytes(size: int, unit: float) -> str:
    """With three decimals where a layer may be small; nothing only for nothing."""
    decimals = 0 if size >= 100 * unit else 1 if size >= unit else 3
    return f"{size / unit:.{decimals}f}" if size else ""


def facts(results: Mapping[Case, Result]) -> Iterator[str]:
    """What the table does not say by itself."""
    rounds = max(len(each.samples) for each in results.values())
    yield (
        f"Medians of {rounds}, each client alone with a new docker-registry. Bytes are those of "
        "request bodies (in) and of answers (out), counted by a proxy in a round of its own; in "
        "the timed rounds there is none."
    )
    yield (
        "Memory is the peak of the client's largest process; workers are the processes that it "
        "starts, together."
    )
    yield (
        f"The single layer has the same files, made beforehand with tar and {PACKER}: for skopeo, "
        "crane and oras the row in parentheses comes on top. Podman keeps it unpacked and "
        "compresses while it pushes. What installs the environment first is not counted; "
        "pixi-ship's rows go from lock to registry. The package that changes is a small one."
    )
    if unsteady := [case for case, each in results.items() if not each.steady]:
        names = "; ".join(map(str, unsteady))
        yield f"Requests were not the same in every round of {names}."
    for name in dict.fromkeys(case.workspace for case in results):
        yield from _compared(name, results)


def _compared(workspace: str, results: Mapping[Case, Result]) -> Iterator[str]:
    """Bytes that one changed package moves, by image; of several clients the fewest."""
    for step, way in ((CHANGED, "in"), (PULL, "out")):
        least = {}
        for image in (LAYERED, SINGLE):
            sizes = [
                getattr(each.traffic, f"blob_bytes_{way}")
                for case, each in results.items()
                if (case.workspace, case.step, case.image) == (workspace, step, image)
                and each.traffic
            ]
            if sizes:
                least[image] = min(sizes)
        if len(least) == 2:
            yield (
                f"{workspace}, {step}: {least[LAYERED] / 1e6:.3f} MB of blobs when layered, "
                f"{least[SINGLE] / 1e6:.1f} MB in a single layer."
            )
