"""`greet`, a noarch Python package in two versions: entry points, a script, metadata."""

from __future__ import annotations

from ..conda_package import CondaPackage, Entry, script, text_file

CLI = '''"""Say hello."""

import sys

from . import __version__


def main() -> None:
    names = sys.argv[1:] or ["world"]
    print(f"hello {' '.join(names)} from greet {__version__} in {sys.prefix}")


class App:
    @staticmethod
    def run() -> None:
        main()
'''


def packages() -> list[CondaPackage]:
    return [_greet("1.0"), _greet("1.1")]


def _greet(version: str) -> CondaPackage:
    points = ["greet = greet.cli:main", "greet-object = greet.cli:App.run"]
    return CondaPackage(
        "greet",
        version,
        _entries(version, points),
        build="pyh0000000_0",
        subdir="noarch",
        noarch="python",
        depends=["python >=3.8"],
        entry_points=points,
        summary="Says hello",
    )


def _entries(version: str, points: list[str]) -> list[Entry]:
    info = f"site-packages/greet-{version}.dist-info"
    entries: list[Entry] = [
        script("python-scripts/greet-script", "#!python\nimport greet\nprint(greet.__version__)\n"),
        script(
            "python-scripts/greet-env-script",
            "#!/usr/bin/env python\nfrom greet.cli import main\nmain()\n",
        ),
        text_file("site-packages/greet/__init__.py", f'__version__ = "{version}"\n'),
        text_file("site-packages/greet/cli.py", CLI),
        text_file(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: greet\nVersion: {version}\n"),
        text_file(f"{info}/INSTALLER", "conda\n"),
        text_file(f"{info}/entry_points.txt", "[console_scripts]\n" + "\n".join(points) + "\n"),
    ]
    if version != "1.0":
        entries.append(text_file("site-packages/greet/news.py", f'NEWS = "new in {version}"\n'))
    return entries
