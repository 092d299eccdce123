"""Big packages for measurements: wheels that unpack to gigabytes, repacked for conda."""

from __future__ import annotations

import configparser
import dataclasses
import importlib.util
import marshal
import posixpath
import struct
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from .conda_package import TIMESTAMP, CondaPackage, Entry, File
from .recipes import python
from .recipes.python import SERIES, SITE_PACKAGES
from .tools import compiler_library, pip_download
from .wheels import Wheel

FEW: tuple[str, ...] = (
    "certifi",
    "charset-normalizer",
    "click",
    "colorama",
    "filelock",
    "idna",
    "jinja2",
)
FEW += ("markupsafe", "packaging", "pygments", "python-dateutil", "pyyaml", "requests", "six")
FEW += ("tqdm", "typing-extensions", "urllib3")
"""With python, greet, native and activ: twenty. `import requests, yaml` works with these."""

ARRAYS = ("numpy", "pandas", "python-dateutil", "scipy", "six")
"""`import pandas, scipy.stats` works with these."""

LEARNING = {
    "torch": "torch==2.13.0",
    **{name: name for name in (*ARRAYS, "joblib", "scikit-learn", "threadpoolctl")},
    **{name: name for name in ("filelock", "fsspec", "jinja2", "markupsafe", "mpmath", "networkx")},
    **{name: name for name in ("pyarrow", "setuptools", "sympy", "typing-extensions")},
}
"""`import torch, pandas, sklearn, pyarrow` works with these."""

RUNTIME = "libstdcxx"
"""What compiled wheels expect of the system; they look for it there and not in a prefix."""

REQUIREMENTS = {**{name: name for name in (*FEW, *ARRAYS)}, **LEARNING}
"""What is fetched; the dependencies among these packages are not recorded."""


def write_packages(channel: Path) -> None:
    channel.mkdir(parents=True, exist_ok=True)
    libraries = ("libgcc_s.so.1", "libstdc++.so.6")
    entries: list[Entry] = [File(f"lib/{each}", compiler_library(each)) for each in libraries]
    CondaPackage(RUNTIME, "1.0", entries, summary="What C++ needs").write(channel)
    for package in python.packages():
        entries = [*package.entries, *_bytecode(package.entries)]
        dataclasses.replace(package, entries=entries).write(channel)
    with TemporaryDirectory(dir=channel) as scratch:
        for name, requirement in REQUIREMENTS.items():
            (wheel,) = pip_download(Path(scratch) / name, requirement)
            _repack(Wheel.read(wheel), wheel.with_suffix("")).write(channel)


def _repack(wheel: Wheel, unpacked: Path) -> CondaPackage:
    """As conda-forge has it: noarch where it is Python alone, else with its bytecode inside."""
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(unpacked)
        members = [each for each in archive.infolist() if not each.is_dir()]
    pure = not any(".so" in Path(member.filename).suffixes for member in members)
    root = "site-packages" if pure else SITE_PACKAGES
    entries: list[Entry] = []
    for member in sorted(members, key=lambda member: member.filename):
        if ".data/" not in member.filename:
            mode = 0o755 if member.external_attr >> 16 & 0o100 else 0o644
            entries.append(File(f"{root}/{member.filename}", unpacked / member.filename, mode))
    return CondaPackage(
        wheel.name,
        wheel.version.replace("+", "_"),
        entries if pure else [*entries, *_bytecode(entries)],
        build="pyh0000000_0" if pure else f"py{SERIES.replace('.', '')}_0",
        subdir="noarch" if pure else "linux-64",
        noarch="python" if pure else None,
        depends=["python" if pure else f"python {SERIES}.*"],
        entry_points=_entry_points(unpacked) if pure else [],
        summary=f"Repacked from the wheel of {wheel.name}",
    )


def _bytecode(entries: list[Entry]) -> Iterator[File]:
    """What conda-build adds for one Python: every source compiled, valid by the time of it."""
    for entry in entries:
        if not isinstance(entry, File) or not entry.path.endswith(".py"):
            continue
        with entry.open() as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                code = compile(file.read(), entry.path, "exec", dont_inherit=True, optimize=0)
            except (SyntaxError, ValueError):  # templates, and tests of other Pythons
                continue
        header = importlib.util.MAGIC_NUMBER + struct.pack("<III", 0, TIMESTAMP, entry.size)
        folder, name = posixpath.split(entry.path)
        cached = f"{name.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
        yield File(f"{folder}/__pycache__/{cached}", header + marshal.dumps(code))


def _entry_points(unpacked: Path) -> list[str]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]  # names keep their capitals
    parser.read(unpacked.glob("*.dist-info/entry_points.txt"))
    if not parser.has_section("console_scripts"):
        return []
    return [f"{name} = {function}" for name, function in parser.items("console_scripts")]
