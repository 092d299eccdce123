"""Big packages for measurements: wheels that unpack to gigabytes, repacked for conda."""

from __future__ import annotations

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from .conda_package import CondaPackage, Entry, File
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
    with TemporaryDirectory(dir=channel) as scratch:
        for name, requirement in REQUIREMENTS.items():
            (wheel,) = pip_download(Path(scratch) / name, requirement)
            _repack(Wheel.read(wheel), wheel.with_suffix("")).write(channel)


def _repack(wheel: Wheel, unpacked: Path) -> CondaPackage:
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(unpacked)
        members = sorted(archive.infolist(), key=lambda member: member.filename)
    entries: list[Entry] = [
        File(
            f"{SITE_PACKAGES}/{member.filename}",
            unpacked / member.filename,
            0o755 if member.external_attr >> 16 & 0o100 else 0o644,
        )
        for member in members
        if not member.is_dir() and ".data/" not in member.filename
    ]
    return CondaPackage(
        wheel.name,
        wheel.version.replace("+", "_"),
        entries,
        build=f"py{SERIES.replace('.', '')}_0",
        depends=[f"python {SERIES}.*"],
        summary=f"Repacked from the wheel of {wheel.name}",
    )
