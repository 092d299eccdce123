"""What all trees of a prefix share: where it is, its Python, and who wins which path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pixi_ship.prefix.bytecode import Compiler
from pixi_ship.prefix.python import PythonInfo


@dataclass(frozen=True, slots=True)
class Placement:
    """Paths of one package that do not go where it says: lost to another package.

    moved: path in the prefix → where the file is kept instead. dropped: paths that a wheel
    replaces.
    """

    moved: Mapping[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PrefixLayout:
    """The prefix as an absolute path in the image, and how Python code is laid out in it."""

    prefix: str
    python: PythonInfo | None
    compiler: Compiler | None = field(default=None, compare=False)

    def in_image(self, path: str) -> str:
        """A path of the prefix as a path of the tree (relative to the image's root)."""
        return f"{self.prefix[1:]}/{path}"

    def is_python_code(self, path: str) -> bool:
        """Whether the interpreter imports ``path`` as a source file."""
        if self.python is None or not path.endswith(".py"):
            return False
        library = f"lib/python{self.python.short_version}"
        return path.startswith((f"{library}/", f"{library}t/", f"{self.python.site_packages}/"))
