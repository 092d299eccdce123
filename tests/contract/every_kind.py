"""A locked workspace that holds a package of every kind that a lock can name.

Its own project by path (`src/` layout, a console script), a path dependency without a
`pyproject.toml`, one in C, a source distribution, a git dependency, a conda source package, all
beside ordinary archives; and scripts, tasks and files as people have them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..channel.conda_package import CondaPackage, script
from ..source import projects

PROJECT = {
    "src/every_kind/__init__.py": 'GREETING = "hello"\n',
    "src/every_kind/cli.py": "import sys\n\nfrom every_kind import GREETING\n\n\n"
    "def main():\n    print(GREETING, sys.prefix)\n",
    "src/every_kind/data/table.csv": "1,2\n",
    "train.py": "import os\n\nprint('trained', os.environ['STAGE'], os.environ['DEMO_MODE'])\n",
    "prepare.py": "import pathlib\n\nprint('prepared', pathlib.Path.cwd())\n",
    "activate.sh": 'if [ -d "$CONDA_PREFIX/conda-meta" ]; then\n'
    '  export EVERY_ROOT="$(dirname "$CONDA_PREFIX")"\nfi\n',
    ".gitignore": ".pixi\n*.log\n",
    "noise.log": "not to be shipped\n",
}
MANIFEST = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["src/every_kind"]

[tool.pixi.pypi-dependencies]
every-kind = { path = ".", editable = true }

[tool.pixi.activation]
scripts = ["activate.sh"]

[tool.pixi.activation.env]
DEMO_MODE = "batch"

[tool.pixi.tasks]
prepare = "python prepare.py"
train = { cmd = "python train.py", depends-on = ["prepare"], env = { STAGE = "first" } }
"""
TOOL = CondaPackage(
    "made-of-source",
    "1.0",
    [script("bin/made-of-source", '#!/bin/sh\necho "made of source in $CONDA_PREFIX"\n')],
)


@dataclass(frozen=True)
class EveryKind:
    """The workspace, and the archive that somebody built of its conda source package."""

    root: Path
    injected: Path

    @property
    def cli(self) -> Path:
        return self.root / "src" / "every_kind" / "cli.py"


def every_kind(pyproject: Path, folder: Path) -> EveryKind:
    """Make it of the test channel's workspace `pyproject`, in an empty folder."""
    root = folder / "workspace"
    shutil.copytree(pyproject, root)
    lock = root / "pixi.lock"
    wheels = pyproject.parents[1] / "wheelhouse"
    text = lock.read_text().replace("../../wheelhouse", str(wheels))
    manifest = (root / "pyproject.toml").read_text()
    manifest = manifest.replace('name = "pyproject-demo"', 'name = "every-kind"')
    manifest = manifest.replace(
        'dependencies = ["idna", "markupsafe"]',
        'dependencies = ["idna", "markupsafe"]\nscripts = { every-kind = "every_kind.cli:main" }',
    )
    projects.write(root, {**PROJECT, "pyproject.toml": manifest + MANIFEST})
    projects.write(root / "libs" / "legacy", projects.LEGACY)
    projects.write(root / "libs" / "compiled", projects.COMPILED)
    thing = projects.sdist(
        root / "vendor",
        "trinket-sdist",
        "1.2",
        {
            **projects.TRINKET,
            "pyproject.toml": projects.TRINKET["pyproject.toml"].replace(
                'name = "trinket"', 'name = "trinket-sdist"'
            ),
        },
    )
    commit = projects.repository(folder / "repository", projects.FLITTED)
    rows = [
        ("./", "every-kind", None, None),
        ("./libs/legacy", "legacy", None, None),
        ("./libs/compiled", "compiled", None, None),
        (f"./vendor/{thing.file_name}", "trinket-sdist", "1.2", thing.sha256),
        (f"git+file://{folder / 'repository'}?rev={commit}#{commit}", "flitted", "0.3", None),
    ]
    lock.write_text(_with_rows(text, rows))
    return EveryKind(root, TOOL.write(folder / "built"))


def _with_rows(lock: str, rows: list[tuple[str, str, str | None, str | None]]) -> str:
    """The lock with PyPI sources and one conda source package in it, as Pixi writes them."""
    listed = "".join(f"      - pypi: {location}\n" for location, *_ in rows)
    head, packages, tail = lock.partition("\npackages:\n")
    source = "made-of-source[1a2b3c4d] @ ./tools/made-of-source"
    head += f"\n      - conda_source: {source}\n{listed.rstrip()}"
    described = f"- conda_source: {source}\n  depends: []\n"
    for location, name, version, sha256 in rows:
        described += f"- pypi: {location}\n  name: {name}\n"
        described += f"  version: '{version}'\n" if version else ""
        described += f"  sha256: {sha256}\n" if sha256 else ""
    return head + packages + described + tail
