"""What takes longest begins first, and sources that have to be compiled take long."""

from __future__ import annotations

import dataclasses
import random
import sys
from pathlib import Path

import pytest

from pixi_ship.builder import Builder, recipes_for
from pixi_ship.fetch.archives import Archives
from pixi_ship.prefix.bytecode import probe_interpreter
from pixi_ship.progress import Silence

from ..channel.conda_package import CondaPackage, File
from ..injection.site import OPTIONS, Site

SERIES = ".".join(map(str, sys.version_info[:2]))
LIBRARY = random.Random(1).randbytes(200_000)
SOURCE = "".join(f"NUMBER_{number} = {number}\n" for number in range(8_000)).encode()


class Titles(Silence):
    """The layers in the order in which they were there."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def layer_done(self, title: str, size: int, *, reused: bool) -> None:
        self.seen.append(title.partition("-")[0])


@pytest.mark.parametrize(
    ("compiles", "order"),
    [(True, ["sources", "library", "python"]), (False, ["library", "sources", "python"])],
)
def test_layers_are_begun_by_how_long_they_take(
    tmp_path: Path, compiles: bool, order: list[str]
) -> None:
    site = Site(tmp_path)
    python = File(f"bin/python{SERIES}", b"#!/bin/sh\n", 0o755)
    modules = File("site-packages/sources.py", SOURCE)
    for package in (
        CondaPackage("python", f"{SERIES}.0", [python]),
        CondaPackage("library", "1.0", [File("lib/library.so", LIBRARY)]),
        CondaPackage("sources", "1.0", [modules], subdir="noarch", noarch="python"),
    ):
        site.archive(package)
    interpreter = probe_interpreter(sys.executable) if compiles else None
    selection = dataclasses.replace(site.selection(), interpreter=interpreter)
    titles = Titles()
    archives = Archives(site.cache, site.work, offline=True)
    builder = Builder(site.cache, archives, selection, OPTIONS, titles)
    merged = builder.merged()
    builder.layers(recipes_for(builder, merged), merged)
    assert titles.seen == order
