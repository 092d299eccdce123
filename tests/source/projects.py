"""Small projects of each kind of source, written where a test wants them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from pixi_ship.digest import digest_file
from pixi_ship.lock.model import PypiSource, SourceKind

from ..channel.tools import run

Files = Mapping[str, str]


def build_system(backend: str, *requires: str) -> str:
    wanted = ", ".join(f'"{each}"' for each in requires)
    return f'\n[build-system]\nrequires = [{wanted}]\nbuild-backend = "{backend}"\n'


SETUPTOOLS = build_system("setuptools.build_meta", "setuptools>=61")

TRINKET: Files = {
    "pyproject.toml": SETUPTOOLS
    + """
[project]
name = "trinket"
version = "1.2"
optional-dependencies = { polish = ["wax>=1"] }
scripts = { trinket = "trinket.shine:main" }
[tool.setuptools.package-data]
trinket = ["*.txt"]
""",
    "src/trinket/__init__.py": "",
    "src/trinket/shine.py": "def main():\n    print('shiny')\n",
    "src/trinket/words.txt": "glimmer\n",
}

HATCHED: Files = {
    "pyproject.toml": build_system("hatchling.build", "hatchling")
    + """[project]
name = "hatched"
dynamic = ["version"]
[tool.hatch.version]
path = "hatched/__init__.py"
""",
    "hatched/__init__.py": '__version__ = "2.5"\n',
}

FLITTED: Files = {
    "pyproject.toml": build_system("flit_core.buildapi", "flit_core>=3")
    + """[project]
name = "flitted"
dynamic = ["version", "description"]
""",
    "flitted.py": '"""Small."""\n__version__ = "0.3"\n',
}

LEGACY: Files = {
    "setup.py": "from setuptools import setup\n"
    "setup(name='legacy', version='0.9', py_modules=['legacy'])\n",
    "legacy.py": "x = 1\n",
}

COMPILED: Files = {
    "pyproject.toml": SETUPTOOLS,
    "setup.py": "from setuptools import Extension, setup\n"
    "setup(name='compiled', version='1.0', ext_modules=[Extension('compiled', ['c.c'])])\n",
    "c.c": """
#include <Python.h>
#include <stdlib.h>
static PyObject *answer(PyObject *s, PyObject *a) {
  return PyLong_FromLong(getenv("ANSWER") ? atoi(getenv("ANSWER")) : 42);
}
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "compiled", "", -1, methods};
PyMODINIT_FUNC PyInit_compiled(void) { return PyModule_Create(&module); }
""",
}


def scm_project(name: str = "tagged") -> Files:
    return {
        "pyproject.toml": build_system("setuptools.build_meta", "setuptools>=61", "setuptools-scm")
        + f"""[project]
name = "{name}"
dynamic = ["version"]
[tool.setuptools]
py-modules = ["{name}"]
[tool.setuptools_scm]
""",
        f"{name}.py": "",
    }


def hostile(code: str, *, name: str = "hostile", also: Files | None = None) -> Files:
    """A project that is its own backend: ``code`` is the body of ``build_wheel``.

    It may use ``make(directory, **changes)``, which gives a proper wheel.
    """
    body = "\n".join(f"    {line}" for line in code.strip().splitlines())
    return {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\n'
        'backend-path = ["."]\n',
        "backend.py": f"""
import os, sys, zipfile

def make(directory, name={name!r}, version="1.0", file_name=None, files=None, data=""):
    stem = f"{{name}}-{{version}}"
    file_name = file_name or f"{{stem}}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, file_name), "w") as wheel:
        wheel.writestr(f"{{name}}.py", data)
        for path, text in (files or {{}}).items():
            wheel.writestr(path, text)
        info = f"{{stem}}.dist-info"
        wheel.writestr(f"{{info}}/METADATA",
            f"Metadata-Version: 2.1\\nName: {{name}}\\nVersion: {{version}}\\n")
        wheel.writestr(f"{{info}}/WHEEL",
            "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{{info}}/RECORD", "")
    return file_name

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
{body}
""",
        **(also or {}),
    }


def write(place: Path, files: Files) -> Path:
    """Write a project's files below a directory."""
    for path, text in files.items():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return place


def directory(root: Path, name: str, files: Files, version: str | None = None) -> PypiSource:
    """A path dependency of the workspace at ``root``."""
    write(root / name, files)
    return PypiSource(name=name, version=version, kind=SourceKind.DIRECTORY, location=f"./{name}")


def sdist(root: Path, name: str, version: str, files: Files, suffix: str = ".tar.gz") -> PypiSource:
    """A source distribution in the workspace at ``root``, one top directory in it."""
    root.mkdir(parents=True, exist_ok=True)
    top = f"{name}-{version}"
    path = root / f"{top}{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for each, text in files.items():
                archive.writestr(f"{top}/{each}", text)
    else:
        kind = {".tar.gz": "gz", ".tgz": "gz", ".tar.bz2": "bz2", ".tar.xz": "xz", ".tar": ""}
        with tarfile.open(path, f"w:{kind[suffix]}") as tar:  # type: ignore[call-overload]
            for each, text in files.items():
                add(tar, f"{top}/{each}", text.encode())
    return archived(root, path.name, name, version)


def archived(root: Path, file_name: str, name: str, version: str | None) -> PypiSource:
    """A source distribution that lies in the workspace."""
    return PypiSource(
        name=name,
        version=version,
        kind=SourceKind.SDIST,
        location=f"./{file_name}",
        file_name=file_name,
        sha256=digest_file(root / file_name).hex,
    )


def add(tar: tarfile.TarFile, path: str, data: bytes = b"", **fields: object) -> None:
    """A member of a tar; ``fields`` are those of TarInfo."""
    info = tarfile.TarInfo(path)
    info.size = len(data)
    for name, value in fields.items():
        setattr(info, name, value)
    tar.addfile(info, io.BytesIO(data))


def git(place: Path, *words: str) -> str:
    """Run git in a repository as nobody in particular."""
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "protocol.file.allow=always"]
    return run("git", "-C", place, *who, *words).strip()


def repository(place: Path, files: Files, *tags: str) -> str:
    """Make a repository with one commit, or commit in one; returns the commit."""
    write(place, files)
    if not (place / ".git").is_dir():
        git(place, "init", "-q", "-b", "main")
    git(place, "add", "-A")
    git(place, "commit", "-q", "--allow-empty", "-m", "a commit")
    for tag in tags:
        git(place, "tag", tag)
    return git(place, "rev-parse", "HEAD")


def from_git(
    name: str, place: Path, commit: str, query: str = "", version: str | None = None
) -> PypiSource:
    return PypiSource(
        name=name,
        version=version,
        kind=SourceKind.GIT,
        location=f"git+file://{place}{query}#{commit}",
    )
