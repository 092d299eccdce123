"""Whether a wheel is made for the Python and the processor of an image.

Source: packaging.python.org, "Platform compatibility tags", by the library ``packaging``; PEP 600
for ``manylinux``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from pixi_ship.errors import PackageError
from pixi_ship.prefix.python import PythonInfo

_PLATFORM = re.compile(
    r"(?:linux|manylinux(?P<old>1|2010|2014)|manylinux_(?P<glibc>\d+_\d+))_(?P<machine>\w+)\Z"
)
_OLD_GLIBC = {"1": "2.5", "2010": "2.12", "2014": "2.17"}


def wheel_tags(file_name: str) -> frozenset[Tag]:
    """The tags that a wheel's name holds; raises PackageError for no such name."""
    try:
        return parse_wheel_filename(file_name)[3]
    except (InvalidWheelFilename, ValueError) as error:
        raise PackageError(file_name, f"it is no name of a wheel: {error}") from error


def fitting_tags(tags: Iterable[Tag], python: PythonInfo, subdir: str) -> frozenset[Tag]:
    """Of a wheel's tags those that an environment's Python takes.

    Which glibc ``manylinux`` asks for is another question: see :func:`glibc_of`. subdir: conda's
    name of the platform.
    """
    found = frozenset(tags)
    machine = machine_of(subdir)
    platforms = sorted(
        {
            tag.platform
            for tag in found
            if (match := _PLATFORM.match(tag.platform)) and match["machine"] == machine
        }
    )
    version = (python.major, python.minor)
    name = f"cp{python.major}{python.minor}"
    # Told, not found out: packaging would look at the interpreter that runs here.
    threads = "t" if f"/python{python.short_version}t/" in f"/{python.site_packages}/" else ""
    taken = {*cpython_tags(version, [f"{name}{threads}"], platforms)}
    return found & (taken | {*compatible_tags(version, name, platforms)})


def fits_python(file_name: str, python: PythonInfo | None, subdir: str) -> str | None:
    """Why a wheel cannot be used in an environment; None where it can."""
    if python is None:
        return "it is a wheel, and the environment has no python"
    tags = wheel_tags(file_name)
    if fitting_tags(tags, python, subdir):
        return None
    anywhere = {Tag(each.interpreter, each.abi, "any") for each in tags}
    if not fitting_tags(anywhere, python, subdir) and not fitting_tags(
        {Tag(each.interpreter, each.abi, f"linux_{machine_of(subdir)}") for each in tags},
        python,
        subdir,
    ):
        kinds = sorted({f"{each.interpreter}-{each.abi}" for each in tags})
        return f"it is for {', '.join(kinds)}, the environment has Python {python.short_version}"
    platforms = sorted({each.platform for each in tags})
    return f"it is for {', '.join(platforms)}, the environment is for {subdir}"


def glibc_of(file_name: str) -> str | None:
    """The C library that a wheel asks for by its tags, the oldest of several."""
    found = []
    for platform in {each.platform for each in wheel_tags(file_name)}:
        matched = _PLATFORM.match(platform)
        if matched and (matched["old"] or matched["glibc"]):
            found.append(_OLD_GLIBC.get(matched["old"] or "") or matched["glibc"].replace("_", "."))
    return min(found, key=lambda text: tuple(map(int, text.split(".")))) if found else None


def machine_of(subdir: str) -> str:
    """A processor as wheel tags and ``uname -m`` name it."""
    return {"linux-64": "x86_64", "linux-32": "i686"}.get(subdir, subdir.partition("-")[2])
