"""How SIF files of one workspace are made: what every tool does in a round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.inside import Inside
from bench.measure import Sample
from bench.process import Command, run
from bench.sif import tools
from bench.sif.images import COMPRESSIONS, make_version, remove, unpack
from bench.sif.result import CHANGED, COLD, FLOOR, WARM, Case
from bench.sif.tools import Tool
from bench.workspaces import LARGE, SMALL, with_changed_package

WORKSPACES = ("numpy", "large")


class Course:
    """Two versions of an environment, made beforehand, and who makes SIF files of them."""

    def __init__(self, name: str, scratch: Path, inside: Inside | None, *, convert: bool) -> None:
        self.name = name
        self.scratch = scratch
        self._inside = inside
        old, new = _workspaces(name, scratch)
        self.old = make_version(old, "1", scratch)
        self.new = make_version(new, "2", scratch)
        self._tree = scratch / "tree"
        unpack(self.old.layout, self._tree)
        self._out = scratch / "out"
        self._out.mkdir()
        self._tools = all_tools(scratch, inside, convert=convert)

    def round(self) -> Iterator[tuple[Case, Sample, int]]:
        """Everything once, each with the bytes of the file it made."""
        for compression in COMPRESSIONS:
            for tool in self._tools:
                yield from self._make(tool, compression)
        if tools.no_mksquashfs(self._inside) is None:
            for words, compression in tools.MKSQUASHFS.items():
                file = self._out / "floor.squashfs"
                command = tools.mksquashfs(self._inside, self._tree, words, file)
                sample, size = measure(command, file)
                remove(file)
                yield Case(self.name, FLOOR, words, compression), sample, size

    def sif(self, tool: str, compression: str) -> Path:
        """What a tool made when there was nothing yet."""
        return self._out / f"{tool.split()[0]}-{compression}.sif"

    def _make(self, tool: Tool, compression: str) -> Iterator[tuple[Case, Sample, int]]:
        remove(tool.kept)
        steps = [(COLD, self.old)]
        steps += [(WARM, self.old)] if tool.warm else []
        steps += [(CHANGED, self.new)] if tool.changed else []
        for step, version in steps:
            file = self._out / "made.sif"
            sample, size = measure(tool.command(version, compression, file), file)
            if step == COLD and tool.name in (tools.OURS, tools.APPTAINER):
                file.replace(self.sif(tool.name, compression))
            remove(file)
            yield Case(self.name, step, tool.name, compression), sample, size


def all_tools(scratch: Path, inside: Inside | None, *, convert: bool) -> Sequence[Tool]:
    """Those that this machine and this checkout have."""
    found = [tools.ours(scratch)]
    if convert:
        found.append(tools.convert(scratch))
    if inside:
        found += [tools.apptainer(inside, archive=archive) for archive in (False, True)]
    return found


def measure(command: Command, file: Path) -> tuple[Sample, int]:
    """Run what makes a file; returns its size too."""
    sample = run(command)
    return sample, file.stat().st_size


def _workspaces(name: str, scratch: Path) -> tuple[Path, Path]:
    """A workspace before and after one of its packages changed."""
    if name == "numpy":
        return SMALL / "numpy", SMALL / "numpy-updated"
    changed = with_changed_package(LARGE, scratch / "changed")
    if changed is None:
        raise RuntimeError(f"the lock in {LARGE} has no greet 1.1; next: make clean, make setup")
    return LARGE, changed
