"""What is measured: builds of two workspaces, and plain tools on the same bytes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Sample, run
from bench.workspaces import BASE, with_changed_package

COMPRESSIONS = ("gzip", "zstd")
# Plain tools whose output is about as small as ours; the fastest of them is the floor.
FLOORS = {"gzip": ("gzip -1", "pigz -1 -p2"), "zstd": ("zstd -3 -T2",)}
OTHER_TOOLS = ("gzip -6", "pigz -p2")
COMPILE_FLOORS = ("-j1", "-j2")  # two processes are slower where files are many and tiny


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table: ``go`` runs it once. ``size`` and ``floor`` are told after a run."""

    workspace: str
    name: str
    go: Callable[[], Sample]
    tree: str | None = None  # whose bytes were packed: "compiled" or "plain"
    compression: str | None = None


class Builds:
    """Builds of one workspace in a scratch directory, and the trees that they give."""

    def __init__(self, name: str, workspace: Path, scratch: Path) -> None:
        self.name = name
        self.workspace = workspace
        self.scratch = scratch / name
        self.documents: dict[str, dict[str, object]] = {}
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)

    def cases(self) -> Iterator[Case]:
        """Every row, in an order in which each finds the cache that it is about."""
        for compression in COMPRESSIONS:
            for words, tree in ((("--no-compile",), "plain"), ((), "compiled")):
                title = f"cold {compression} {' '.join(words)}".strip()
                yield self._case(title, tree, compression, words, cold=True)
            yield self._case(f"no-op {compression}", None, compression)
            changed = with_changed_package(self.workspace, self.scratch / "changed")
            if changed is not None:
                title = f"one changed package, {compression}"
                yield self._case(title, None, compression, workspace=changed)
        for tree in ("plain", "compiled"):
            tools = [tool for each in FLOORS.values() for tool in each]
            tools += OTHER_TOOLS if tree == "plain" else ()
            yield from (self._floor(tool, tree) for tool in tools if shutil.which(tool.split()[0]))
        yield from (self._compileall(jobs) for jobs in COMPILE_FLOORS)

    def prepare(self) -> None:
        """Unpack what the layers hold, with and without bytecode, for the plain tools."""
        for tree, words in (("plain", ("--no-compile",)), ("compiled", ())):
            self._build(f"unpack {tree}", "gzip", words, self.workspace, cold=True)
            target = self.scratch / tree
            target.mkdir()
            for layer in self.documents[f"unpack {tree}"]["images"][0]["layers"]:  # type: ignore[index]
                blob = self.scratch / "cache/blobs" / layer["digest"].removeprefix("sha256:")
                unpack = ["tar", "-xzf", str(blob), "-C", str(target), "--no-same-owner"]
                subprocess.run(unpack, check=True)
        self._link_sources()

    def _link_sources(self) -> None:
        """Put the sources that a build compiles, and no others, below ``sources``."""
        plain, compiled = self.scratch / "plain", self.scratch / "compiled"
        for pyc in compiled.rglob("__pycache__/*.pyc"):
            source = pyc.parent.parent / f"{pyc.name.split('.')[0]}.py"
            path = source.relative_to(compiled)
            if source.is_file() and not (plain / pyc.relative_to(compiled)).exists():
                (self.scratch / "sources" / path).parent.mkdir(parents=True, exist_ok=True)
                (self.scratch / "sources" / path).hardlink_to(source)

    def _case(
        self,
        title: str,
        tree: str | None,
        compression: str,
        words: tuple[str, ...] = (),
        workspace: Path | None = None,
        *,
        cold: bool = False,
    ) -> Case:
        def go() -> Sample:
            return self._build(title, compression, words, workspace or self.workspace, cold=cold)

        return Case(self.name, title, go, tree, compression)

    def _build(
        self, title: str, compression: str, words: tuple[str, ...], workspace: Path, *, cold: bool
    ) -> Sample:
        cache, output = self.scratch / "cache", self.scratch / "output"
        if cold:
            shutil.rmtree(cache, ignore_errors=True)
            shutil.rmtree(output, ignore_errors=True)
        command: list[str | Path] = [sys.executable, "-m", "pixi_ship", "build", "--json"]
        command += ["--offline", "--workspace", workspace, "--base", BASE]
        command += ["--compression", compression, "--cache-dir", cache]
        command += ["--to", f"oci:{output}:bench", *words]
        sample = run(command, watched=(cache, output))
        document = json.loads(sample.output)
        before = self.documents.setdefault(title, document)
        if before["digest"] != document["digest"]:
            raise RuntimeError(f"{self.name}, {title}: two builds of the same gave two images")
        return sample

    def _floor(self, tool: str, tree: str) -> Case:
        """Tar, compress, and hash both: what any maker of a layer has to do."""
        kept = self.scratch / "floor"
        pipeline = (
            f"set -euo pipefail; tar -C {self.scratch / tree} --sort=name -c . "
            f"| tee >(sha256sum >{kept}.tar.sha256) | {tool} | tee {kept} | sha256sum; "
            f"stat -c %s {kept}; rm {kept}"
        )
        title = tar_floor(tool, tree)
        return Case(self.name, title, lambda: run(["bash", "-c", pipeline]), tree)

    def _compileall(self, jobs: str) -> Case:
        def go() -> Sample:
            sources = self.scratch / "sources"
            (library,) = sources.glob("app/.pixi/envs/*/lib/python3.*")
            python = shutil.which(library.name) or sys.executable
            words = (*("-q", "-f", jobs, "--invalidation-mode", "unchecked-hash"), sources)
            # It exits with 1 for sources that no Python can compile, which some tests are.
            script = '"$@" >/dev/null 2>&1 || true'
            return run(["bash", "-c", script, "-", python, "-S", "-m", "compileall", *words])

        return Case(self.name, compile_floor(jobs), go, "compiled")


def tar_floor(tool: str, tree: str) -> str:
    """What the row of a plain tool is called."""
    bytecode = ", with bytecode" if tree == "compiled" else ""
    return f"floor: tar{bytecode}, {tool}, sha256sum"


def compile_floor(jobs: str) -> str:
    """What the row of compileall is called."""
    return f"floor: compileall {jobs}"


def floors(compression: str, tree: str) -> tuple[tuple[str, ...], ...]:
    """The steps of what a cold build is held against, each with the rows to choose from."""
    packing = tuple(tar_floor(tool, tree) for tool in FLOORS[compression])
    if tree == "plain":
        return (packing,)
    return packing, tuple(map(compile_floor, COMPILE_FLOORS))


def packed_bytes(document: dict[str, object]) -> int:
    """Bytes of tar that a build made, as its JSON document tells."""
    layers = document["images"][0]["layers"]  # type: ignore[index]
    return sum(layer["uncompressed_size"] for layer in layers if not layer["reused"])


def image_bytes(document: dict[str, object]) -> int:
    """Bytes of all compressed layers of the environment."""
    layers = document["images"][0]["layers"]  # type: ignore[index]
    return sum(layer["size"] for layer in layers)
