"""What a package may count on: itself and all that it depends on, by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pixi_ship.lock.model import CondaPackage

# The name ends a matchspec's first word, which may have the version right behind it.
_NAME = re.compile(r"[^\s=<>!~\[]+")


def closure(packages: Sequence[CondaPackage], start: Iterable[int]) -> tuple[int, ...]:
    """The indices of ``start`` and of all they depend on, in the packages' order.

    Virtual packages (``__glibc``) are of the node and in no prefix.
    """
    places = {package.name: index for index, package in enumerate(packages)}
    found: set[int] = set()
    waiting = list(start)
    while waiting:
        index = waiting.pop()
        if index in found:
            continue
        found.add(index)
        for spec in packages[index].depends:
            name = _NAME.match(spec)
            if name is not None and (place := places.get(name[0])) is not None:
                waiting.append(place)
    return tuple(sorted(found))
