"""Build the test channel once: under a lock, beside its final place, then one rename."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from rattler import index

from . import crowd, large
from .recipes import all_packages
from .records import ChannelRecords
from .wheels import fill_wheelhouse, wheelhouse
from .workspaces import LARGE, SMALL, write_workspaces

STAMP = "stamp"


def ensure(destination: Path, beyond: bool = False) -> Path:
    """Make sure that `destination` holds the channel these sources describe, and return it.

    beyond: with what is for measurements alone.
    """
    destination = destination.resolve()
    stamp = _stamp(destination, beyond)
    if _is_current(destination, stamp):
        return destination
    with _locked(destination):
        if not _is_current(destination, stamp):
            unfinished = destination.with_name(destination.name + ".tmp")
            shutil.rmtree(unfinished, ignore_errors=True)
            _build(unfinished, destination, beyond)
            (unfinished / STAMP).write_text(stamp)
            shutil.rmtree(destination, ignore_errors=True)
            unfinished.rename(destination)
    return destination


def _build(folder: Path, destination: Path, beyond: bool) -> None:
    channel, wheels = folder / "channel", folder / "wheelhouse"
    for package in all_packages():
        package.write(channel)
    if beyond:
        large.write_packages(channel)
        crowd.write_packages(channel)
    asyncio.run(index.index_fs(channel))
    fill_wheelhouse(wheels)
    url = (destination / "channel").as_uri()
    write_workspaces(
        (*SMALL, *LARGE) if beyond else SMALL,
        folder / "workspaces",
        url,
        ChannelRecords(channel, url),
        wheelhouse(wheels),
    )


def _stamp(destination: Path, beyond: bool) -> str:
    """All that decides what is built: the recipes, the interpreter, and where locks point to."""
    seen = hashlib.sha256()
    here = Path(__file__).parent
    for source in sorted(here.rglob("*.py")):
        seen.update(source.relative_to(here).as_posix().encode() + b"\0" + source.read_bytes())
    facts = (sys.version, sys.base_prefix, version("py-rattler"), destination, beyond)
    seen.update(repr([str(fact) for fact in facts]).encode())
    return seen.hexdigest() + "\n"


def _is_current(destination: Path, stamp: str) -> bool:
    try:
        return (destination / STAMP).read_text() == stamp
    except FileNotFoundError:
        return False


@contextmanager
def _locked(destination: Path) -> Iterator[None]:
    destination.parent.mkdir(parents=True, exist_ok=True)
    with destination.with_name(destination.name + ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
