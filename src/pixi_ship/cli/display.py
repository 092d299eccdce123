"""What verbs print: JSON documents, tables, warnings, progress."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from pixi_ship.lock.model import PypiPackage, PypiSource, SourceKind
from pixi_ship.prefix.merge import Merge
from pixi_ship.progress import Silence
from pixi_ship.redaction import redacted
from pixi_ship.selection import Selection, way_out


def print_json(document: Mapping[str, object]) -> None:
    """The one document of ``--json``."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def human_size(size: int) -> str:
    """A size in bytes with a decimal unit: ``3.4 MB``."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value:.1f} PB"


def environment_json(selection: Selection) -> dict[str, object]:
    """What was chosen, on every platform."""
    return {
        "workspace": selection.workspace.name,
        "environment": selection.environment.name,
        "lock_digest": str(selection.lock_digest),
    }


def platform_json(selection: Selection) -> dict[str, object]:
    """What was chosen for one platform, and what stands in the way."""
    environment = selection.environment
    return {
        "platform": environment.platform.name,
        "subdir": environment.platform.subdir,
        "oci_platform": str(selection.platform),
        "prefix": selection.prefix,
        "packages": {
            "conda": len(environment.conda),
            "pypi": len(environment.pypi),
            "sources": len(environment.sources),
            "unbuildable": len(environment.unbuildable),
        },
        "cuda": selection.cuda,
        "bytecode": selection.interpreter.key if selection.interpreter else None,
        "sources": [_source_json(each, None) for each in environment.sources]
        + [_source_json(each.source, each) for each in environment.pypi if each.source],
        "injected": list(selection.injected),
        "project": {
            "files": len(selection.project.files),
            "size": selection.project.size,
            "ignored": selection.project.ignored,
        },
        "command": list(selection.command.words) if selection.command else None,
        "unbuildable": [
            {
                "name": each.name,
                "location": redacted(each.location),
                "obstacle": each.obstacle.value,
                "way_out": way_out(each),
            }
            for each in environment.unbuildable
        ],
    }


def source_location(source: PypiSource) -> str:
    """Where a source is, without what could be secret; of a repository the commit as well."""
    address, _, commit = source.location.partition("#")
    is_commit = source.kind is SourceKind.GIT and commit
    return f"{redacted(address)}@{commit[:12]}" if is_commit else redacted(source.location)


def _source_json(source: PypiSource, wheel: PypiPackage | None) -> dict[str, object]:
    return {
        "name": source.name,
        "kind": source.kind.value,
        "location": redacted(source.location),
        "wheel": wheel.file_name if wheel else None,
    }


def warnings(selection: Selection, merged: Merge | None, linked: Collection[str] = ()) -> list[str]:
    """Everything that is never done silently, a sentence each.

    linked: names of packages whose post-link scripts are run.
    """
    found = list(selection.notes)
    given = [each.partition(" ")[0] for each in selection.injected]
    found += [f"{each}: it was given here, and is not the lock's archive" for each in given]
    found += [
        f"{each.name}: its wheel is built here, of the {each.source.kind} "
        f"{source_location(each.source)}"
        for each in selection.environment.pypi
        if each.source is not None and each.file_name not in given
    ]
    if merged is not None:
        found += [
            f"{name}: its post-link script {path} is not run"
            for name, path in sorted(merged.link_scripts.items())
            if name.rsplit("-", 2)[0] not in linked
        ]
        for each in merged.contested[:20]:
            losers = ", ".join(each.losers)
            found.append(f"{each.path}: taken from {each.winner}, not from {losers}")
        if len(merged.contested) > 20:
            found.append(f"and {len(merged.contested) - 20} more paths that several packages write")
    return found


def print_warnings(found: Sequence[str]) -> None:
    """Warnings go to stderr, a line each."""
    for each in found:
        click.echo(f"warning: {each}", err=True)


class Lines(Silence):
    """Quiet lines, for logs: one a layer, one a wheel that is built."""

    def source(self, name: str) -> None:
        """Say what is being built."""
        click.echo(f"building a wheel of {name}", err=True)

    def layer_done(self, title: str, size: int, *, reused: bool) -> None:
        """Say that a layer is there."""
        word = "reused" if reused else "made  "
        click.echo(f"{word} {human_size(size):>10}  {title}", err=True)


class Bars(Silence):
    """Bars on a terminal: bytes fetched, packed and written or pushed; layers made."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._lock = threading.Lock()
        self._fetch: TaskID | None = None
        self._pack: TaskID | None = None
        self._write: TaskID | None = None
        self._layers = (0, 0, 0)  # made, to make, packages

    def expect(self, *, packages: int, layers: int, archive_bytes: int) -> None:
        """Show the bar for the layers to make."""
        self._layers = (0, layers, packages)
        if layers:
            self._pack = self._bars.add_task(self._words(), total=None)

    def fetched(self, size: int) -> None:
        """Move the bar of fetched bytes."""
        with self._lock:
            if self._fetch is None:
                self._fetch = self._bars.add_task("fetching packages", total=None)
        self._bars.advance(self._fetch, size)

    def written(self, size: int) -> None:
        """Move the bar of bytes that went into outputs."""
        with self._lock:
            if self._write is None:
                self._write = self._bars.add_task("writing and pushing", total=None)
        self._bars.advance(self._write, size)

    def source(self, name: str) -> None:
        """Say what is being built, above the bars."""
        self._bars.console.print(f"building a wheel of {name}", highlight=False, markup=False)

    def packed(self, size: int) -> None:
        """Move the bar of packed bytes."""
        if self._pack is not None:
            self._bars.advance(self._pack, size)

    def layer_done(self, title: str, size: int, *, reused: bool) -> None:
        """Count a layer."""
        if self._pack is not None and not reused:
            with self._lock:
                made, total, packages = self._layers
                self._layers = (made + 1, total, packages)
            self._bars.update(self._pack, description=self._words())

    def _words(self) -> str:
        made, total, packages = self._layers
        return f"packing {packages} packages, layer {made}/{total}"


@contextmanager
def progress(*, quiet: bool) -> Iterator[Silence]:
    """Bars where stderr is a terminal, lines where it is not, nothing when quiet."""
    console = Console(stderr=True)
    if quiet:
        yield Silence()
    elif console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bars:
            yield Bars(bars)
    else:
        yield Lines()
