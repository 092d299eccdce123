"""Some five hundred packages with a hundred thousand files, as large environments have them.

Their files are pieces of Python's own library, so they compile, compress and compare as sources
do. Two in five packages are noarch Python; the others have headers, and a file for pkg-config in
which the prefix is to be replaced. The same interpreter gives the same packages.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from .conda_package import PLACEHOLDER, CondaPackage, Entry, text_file
from .recipes.python import STDLIB

NAMES = tuple(f"crowd-{number:03}" for number in range(496))
"""With python, greet, native and activ: five hundred."""

_FILES = 94_000  # beside the 6,000 that Python brings
_PIECES = (1, 6)  # per file: three kilobytes on average


def write_packages(channel: Path) -> None:
    sizes = _sizes()
    for number, name in enumerate(NAMES):
        _package(name, number, sizes[number]).write(channel)


def _sizes() -> list[int]:
    """How many files each package has: many have few, few have thousands."""
    dice = random.Random("files of packages")
    weights = [dice.lognormvariate(0, 1.5) for _ in NAMES]
    return [max(4, round(_FILES * weight / sum(weights))) for weight in weights]


def _package(name: str, number: int, files: int) -> CondaPackage:
    dice = random.Random(name)
    module = name.replace("-", "_")
    if number % 5 < 2:
        return CondaPackage(
            name,
            "1.0",
            [*_modules(f"site-packages/{module}", files, dice)],
            build="pyh0000000_0",
            subdir="noarch",
            noarch="python",
            depends=["python"],
            summary=f"{files} modules",
        )
    return CondaPackage(
        name, "1.0", [*_headers(name, files, dice)], summary=f"{files} files of a library"
    )


def _modules(root: str, files: int, dice: random.Random) -> Iterator[Entry]:
    yield text_file(f"{root}/__init__.py", "")
    for number in range(files - 1):
        folder = f"{root}/part_{number // 40:03}" if files > 40 else root
        yield text_file(f"{folder}/m{number:04}.py", _text(dice))


def _headers(name: str, files: int, dice: random.Random) -> Iterator[Entry]:
    described = f"prefix={PLACEHOLDER}\nName: {name}\nVersion: 1.0\nCflags: -I${{prefix}}/include\n"
    yield text_file(f"lib/pkgconfig/{name}.pc", described)
    for number in range(files - 1):
        folder = f"include/{name}/{number // 60:03}"
        yield text_file(f"{folder}/h{number:04}.h", _text(dice))


def _text(dice: random.Random) -> str:
    chosen = dice.choices(_pieces(), k=dice.randint(*_PIECES))
    return f"# {dice.getrandbits(64):x}\n" + "\n\n\n".join(chosen) + "\n"


@cache
def _pieces() -> list[str]:
    """Functions and classes of Python's library, each of which compiles by itself."""
    found = []
    for source in sorted(STDLIB.rglob("*.py")):
        if "site-packages" in source.parts or "test" in source.parts or "tests" in source.parts:
            continue
        text = source.read_text(errors="replace")
        try:
            tree = ast.parse(text)
        except SyntaxError:
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.decorator_list:
                found.append(ast.get_source_segment(text, node) or "")
    return [piece for piece in found if 100 < len(piece) < 4000]
