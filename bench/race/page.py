"""The page of the documentation, from its template and what is saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench.race.contender import CHANGED, COLD, UPDATE
from bench.race.environments import ENVIRONMENTS
from bench.race.plot import picture
from bench.race.result import Case, Results
from bench.race.table import BUILDS, NODES, arrivals, builds

DOCKERFILE, DEFINITION = "Dockerfile, buildah", "definition, apptainer build"
ARCHIVE = "prefix, conda-pack"
LAYERS, SIF = "pixi-ship build, registry", "pixi-ship build, SIF"
PLAIN = "pixi-ship build --no-compile, registry"
PODMAN = "podman pull and run"
_PAIRS = ((DOCKERFILE, LAYERS), (DOCKERFILE, PLAIN), (DEFINITION, SIF), (ARCHIVE, LAYERS))
# Everything that can be lost: its name, its unit, and what it is called.
_VALUES: tuple[tuple[str, str, str], ...] = (
    ("wall", "s", "time"),
    ("cpu", "s", "processor time"),
    ("memory", "MB", "memory"),
    ("disk", "MB", "disk"),
    ("moved", "MB", "bytes moved"),
    ("size", "MB", "size"),
)

_TEMPLATE = Path(__file__).with_name("performance.md")


def write_page(results: Results, page: Path) -> None:
    """The page, the picture and the numbers, beside one another; environments from few on."""
    results = _in_order(results)
    text = _TEMPLATE.read_text().format(
        dockerfile=DOCKERFILE,
        definition=DEFINITION,
        archive=ARCHIVE,
        layers=LAYERS,
        sif=SIF,
        ratios="\n".join(_ratios(results)),
        losses="\n".join(_losses(results) or ["- nowhere"]),
        facts="\n".join(_facts(results)),
        tables="\n".join(_tables(results)),
    )
    page.write_text(text)
    page.with_suffix(".svg").write_text(picture(results))
    results.write(page.with_suffix(".json"))


def _in_order(results: Results) -> Results:
    """One environment after the other, whichever was measured first."""
    order = list(ENVIRONMENTS)
    runs = sorted(results.runs.items(), key=lambda each: order.index(each[0].environment))
    return replace(results, runs=dict(runs))


def _facts(results: Results) -> Iterator[str]:
    yield from (f"- {name}: {value}" for name, value in results.facts.items())
    yield f"- {_load(results)}"


def _tables(results: Results) -> Iterator[str]:
    for environment in _environments(results):
        yield from (f"## {environment}: {ENVIRONMENTS[environment].contents}", "")
        yield from _markdown(BUILDS, builds(results, environment))
        yield ""
        yield from _markdown(NODES, arrivals(results, environment))
        yield ""


def _environments(results: Results) -> Iterable[str]:
    return dict.fromkeys(case.environment for case in results.runs)


def _ratios(results: Results) -> Iterator[str]:
    titles = ("environment", "against", "cold", "one package changed", "bytes pushed then")
    rows = []
    for environment in _environments(results):
        for theirs, ours in _PAIRS:
            cells = [
                _ratio(results, [Case(environment, step, each) for each in (theirs, ours)], name)
                for step, name in ((COLD, "wall"), (CHANGED, "wall"), (CHANGED, "moved"))
            ]
            if (theirs, ours) == (DOCKERFILE, LAYERS):
                both = [Case(environment, UPDATE, each, PODMAN) for each in (theirs, ours)]
                cells.append(_ratio(results, both, "moved"))
            rows.append((environment, f"{theirs} → {ours}", *cells, *[""] * (4 - len(cells))))
    yield from _markdown((*titles, "bytes pulled then"), rows)


def _ratio(results: Results, both: Sequence[Case], name: str) -> str:
    """How many times as much the first is."""
    theirs, ours = (results.median(case, name) for case in both)
    if theirs is None or not ours:
        return ""
    ratio = theirs / ours
    return f"{ratio:,.0f}x" if ratio >= 20 else f"{ratio:.1f}x"


def _losses(results: Results) -> list[str]:
    """Every case in which another contender of the same step was better, and in what."""
    found: list[str] = []
    for case in results.runs:
        for other in results.runs:
            if _comparable(case, other) and (lost := "; ".join(_lost(results, case, other))):
                node = f" ({case.node})" if case.node else ""
                found.append(
                    f"- {case.environment}, {case.step}: {case.contender}{node} "
                    f"against {other.contender}: {lost}"
                )
    return found


def _comparable(case: Case, other: Case) -> bool:
    """Whether both did the same; of nodes, whether both had an image or both a file."""
    same = (case.environment, case.step) == (other.environment, other.step)
    return same and (other.contender, case.contender) in _PAIRS


def _lost(results: Results, case: Case, other: Case) -> Iterator[str]:
    """Where the second is better than the first, by more than a fiftieth."""
    for name, unit, word in _VALUES:
        if name == "size" and case.step != COLD:
            continue  # as large as that of the cold build
        scale = 1e6 if unit == "MB" else 1
        ours, theirs = ((results.median(each, name) or 0) / scale for each in (case, other))
        if ours > theirs * 1.02 and f"{ours:.1f}" != f"{theirs:.1f}":
            yield f"{word} {ours:.1f}, not {theirs:.1f} {unit}"


def _load(results: Results) -> str:
    free = [core for each in results.surroundings for core in _numbers(each["free_cores"])]
    least = f"{min(free):.1f}" if free else "?"
    middle = f"{sorted(free)[len(free) // 2]:.1f}" if free else "?"
    return f"free cores between the runs: {middle} of 2 (median), {least} at the least"


def _numbers(found: object) -> list[float]:
    return [float(each) for each in found] if isinstance(found, list) else []


def _markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
