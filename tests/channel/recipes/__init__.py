"""The packages of the test channel: each module has `packages()`."""

from __future__ import annotations

from collections.abc import Iterator

from ..conda_package import CondaPackage
from . import activ, clobber, edge, greet, native, python, small


def all_packages() -> Iterator[CondaPackage]:
    for recipe in (python, greet, native, activ, clobber, edge, small):
        yield from recipe.packages()
