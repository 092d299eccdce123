"""Where Python code goes in a prefix, and the scripts that start it.

Source: rattler ``install/python.rs`` and ``install/entry_point.rs``; CEP 17 for
``python_site_packages_path``.
"""

from __future__ import annotations

from dataclasses import dataclass

from pixi_ship.errors import LockError
from pixi_ship.lock.model import CondaPackage
from pixi_ship.package.metadata import EntryPoint
from pixi_ship.prefix.placeholder import MAX_SHEBANG
from pixi_ship.tree import checked_path


@dataclass(frozen=True, slots=True)
class PythonInfo:
    """The interpreter of an environment; paths are relative to the prefix."""

    major: int
    minor: int
    site_packages: str

    @classmethod
    def of(cls, python: CondaPackage) -> PythonInfo:
        """Read it from the locked record of the package ``python``."""
        try:
            major, minor = (int(part) for part in python.version.split(".")[:2])
            site_packages = checked_path(
                python.site_packages_path or f"lib/python{major}.{minor}/site-packages"
            )
        except ValueError as error:
            raise LockError(f"reading the locked {python.file_name}: {error}") from error
        return cls(major, minor, site_packages)

    @property
    def short_version(self) -> str:
        """``3.12``: what decides file names and bytecode."""
        return f"{self.major}.{self.minor}"

    @property
    def executable(self) -> str:
        """The interpreter's path."""
        return f"bin/python{self.short_version}"

    def noarch_path(self, path: str) -> str:
        """Where a file of a ``noarch: python`` package goes."""
        if path.startswith("site-packages/"):
            return f"{self.site_packages}/{path.removeprefix('site-packages/')}"
        if path.startswith("python-scripts/"):
            return f"bin/{path.removeprefix('python-scripts/')}"
        return path


def entry_point_script(entry_point: EntryPoint, python: PythonInfo, prefix: str) -> bytes:
    """The script that calls an entry point, as rattler writes it."""
    interpreter = f"{prefix}/{python.executable}"
    if len(interpreter) > MAX_SHEBANG - len("#!") or " " in interpreter:
        shebang = f"#!/bin/sh\n'''exec' \"{interpreter}\" \"$0\" \"$@\" #'''"
    else:
        shebang = f"#!{interpreter}"
    imported = entry_point.function.partition(".")[0]
    return (
        f"{shebang}\n"
        "# -*- coding: utf-8 -*-\n"
        "import re\n"
        "import sys\n\n"
        f"from {entry_point.module} import {imported}\n\n"
        "if __name__ == '__main__':\n"
        "\tsys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])\n"
        f"\tsys.exit({entry_point.function}())\n"
    ).encode()
