"""Which package needs which: the dependencies of the lock, between packages that are there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from pixi_ship.attest.component import Component, Kind
from pixi_ship.platform import Platform, marker_variables

# The name at the start of a match spec, behind the channel that it may insist on.
_SPEC_NAME = re.compile(r"\s*(?:\S+::)?([A-Za-z0-9_][A-Za-z0-9_.-]*)")
_PYPI = "pkg:pypi/"
# What ``uname -m`` says; only where it differs from conda's word.

Dependencies = Mapping[str, tuple[str, ...]]


def depends_on(
    components: Sequence[Component], platform: Platform, python: str | None
) -> Dependencies:
    """``ref`` of each component → those of the components it needs, sorted.

    A requirement counts where something in the environment answers to its name. Of a wheel's,
    those count whose marker holds on the platform, with the extras that other wheels ask for.
    python: version of the environment's interpreter.
    """
    edges: dict[str, set[str]] = {each.ref: set() for each in components}
    conda = {each.name: each.ref for each in components if each.kind is Kind.CONDA}
    for each in components:
        if each.kind is Kind.CONDA:
            edges[each.ref] |= _answers(map(_spec_name, each.requires), conda)
    if python is not None:
        _follow_wheels(components, marker_variables(platform, python), edges)
    return {ref: tuple(sorted(needed - {ref})) for ref, needed in edges.items()}


def top_level(edges: Dependencies) -> tuple[str, ...]:
    """The components from which all others can be reached: those that nothing needs.

    Where components need each other in a ring, the first of them by ``ref`` stands for it.
    """
    needed = {ref for each in edges.values() for ref in each}
    roots = sorted(edges.keys() - needed)
    reached: set[str] = set()
    for root in roots:
        _reach(root, edges, reached)
    for ref in sorted(edges):
        if ref not in reached:
            roots.append(ref)
            _reach(ref, edges, reached)
    return tuple(sorted(roots))


def _reach(start: str, edges: Dependencies, reached: set[str]) -> None:
    waiting = [start]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting.extend(edges[ref])


def _answers(names: Iterable[str], index: Mapping[str, str]) -> set[str]:
    return {index[name] for name in names if name in index}


def _spec_name(spec: str) -> str:
    found = _SPEC_NAME.match(spec)
    return found[1].lower() if found else ""


def _follow_wheels(
    components: Sequence[Component], environment: Mapping[str, str], edges: dict[str, set[str]]
) -> None:
    index = _distributions(components)
    wheels = {each.ref: each for each in components if each.kind is Kind.PYPI}
    requirements = {ref: _requirements(each) for ref, each in wheels.items()}
    extras: dict[str, set[str]] = {ref: set() for ref in wheels}
    waiting = sorted(wheels)
    while waiting:
        ref = waiting.pop()
        for each in requirements[ref]:
            needed = index.get(canonicalize_name(each.name))
            if needed is None or not _holds(each.marker, environment, extras[ref]):
                continue
            edges[ref].add(needed)
            # An extra that is newly asked for brings in more of what that wheel requires.
            if needed in wheels and not each.extras <= extras[needed]:
                extras[needed] |= each.extras
                waiting.append(needed)


def _distributions(components: Sequence[Component]) -> dict[str, str]:
    """Normalized name of a distribution → who provides it; a wheel wins over a conda package."""
    index: dict[str, str] = {}
    for each in components:  # conda sorts before pypi
        names = [each.name] if each.kind is Kind.PYPI else _conda_distributions(each)
        index.update({canonicalize_name(name): each.ref for name in names})
    return index


def _conda_distributions(component: Component) -> list[str]:
    # Where the lock does not say, Pixi takes the names for the same, as conda-forge has it
    # (pixi, PypiPackageIdentifier::from_record_into).
    if component.also_known_as is None:
        return [component.name]
    return [_purl_name(each) for each in component.also_known_as if each.startswith(_PYPI)]


def _purl_name(purl: str) -> str:
    return re.split(r"[@?#]", purl.removeprefix(_PYPI), maxsplit=1)[0]


def _requirements(component: Component) -> list[Requirement]:
    found = []
    for line in component.requires:
        try:
            found.append(Requirement(line))
        except InvalidRequirement:  # pip does not follow it either
            continue
    return found


def _holds(marker: Marker | None, environment: Mapping[str, str], extras: set[str]) -> bool:
    if marker is None:
        return True
    try:
        return any(marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras))
    except (UndefinedComparison, UndefinedEnvironmentName, InvalidVersion):
        return True
