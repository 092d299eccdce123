"""``pixi ship cache info``, ``verify`` and ``prune``."""

from __future__ import annotations

import datetime
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from pixi_ship.cache import Cache
from pixi_ship.cli.display import human_size, print_json
from pixi_ship.cli.options import cache_directory
from pixi_ship.errors import CacheError
from pixi_ship.upkeep.contents import Contents, Kind, survey
from pixi_ship.upkeep.prune import Limits, Pruned, prune
from pixi_ship.upkeep.removal import Reason, Removal
from pixi_ship.upkeep.verify import Report, Verified, repair, verify

P = ParamSpec("P")
R = TypeVar("R")

_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate("kmgt", 1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("kmgt", 1)},
}
_WORDS = {
    Reason.UNFINISHED: "left by a killed process",
    Reason.UNNAMED: "no note names it",
    Reason.BROKEN: "broken",
    Reason.AGE: "not used for so long",
    Reason.SIZE: "over the size",
    Reason.ALL: "all",
}
_WORKERS = 8  # more threads read a disk no faster


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A time span as people write it."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([hdw])", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is no time span, want one like 12h, 30d or 8w")
    return int(match[1]) * _SECONDS[match[2]]


def _bytes(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A size as people write it; ``k`` is 1000, ``Ki`` is 1024."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgt]i?)?b?", value.lower())
    if match is None:
        raise click.BadParameter(f"{value!r} is no size, want one like 500MB, 20GB or 1.5TiB")
    return int(Decimal(match[1]) * _BYTES[match[2] or ""])


def _cache_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options of every verb of the cache."""
    where = click.option(
        "--cache-dir",
        type=click.Path(path_type=Path),
        help="Where the cache is; also PIXI_SHIP_CACHE_DIR.",
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    return where(as_json(command))


_wait_option = click.option(
    "--wait",
    type=click.IntRange(0, 86400),
    default=10,
    metavar="SECONDS",
    help="How long to wait for builds to end before removing anything.  [default: 10]",
)


@click.group("cache")
def cache_group() -> None:
    """Look at the cache, check it, make it smaller."""


@cache_group.command("info")
@_cache_options
def info_command(cache_dir: Path | None, as_json: bool) -> None:
    """Say where the cache is, what it holds, and when that was used."""
    found = survey(Cache(cache_directory(cache_dir)))
    if as_json:
        print_json(_info_json(found))
    else:
        _show_info(found)


def _info_json(found: Contents) -> dict[str, object]:
    uses = found.uses
    return {
        "cache": str(found.root),
        "size": found.size,
        **{kind.value: _sum(found, kind) for kind in Kind},
        "orphans": {
            "files": len(found.orphans),
            "size": sum(file.size for file in found.orphans),
        },
        "oldest_use": _when(min(uses)) if uses else None,
        "newest_use": _when(max(uses)) if uses else None,
    }


def _sum(found: Contents, kind: Kind) -> dict[str, int]:
    files = found.of(kind)
    return {"files": len(files), "size": sum(file.size for file in files)}


def _show_info(found: Contents) -> None:
    click.echo(f"{'cache':10}  {found.root}")
    for kind in Kind:
        total = _sum(found, kind)
        left = f", {len(found.orphans)} left by killed processes" if found.orphans else ""
        more = left if kind is Kind.UNFINISHED else ""
        click.echo(f"{kind:10}  {human_size(total['size']):>10} in {total['files']} files{more}")
    click.echo(f"{'together':10}  {human_size(found.size):>10}")
    if uses := found.uses:
        click.echo(f"{'used':10}  {_when(min(uses))} to {_when(max(uses))}")


def _when(seconds: float) -> str:
    """RFC 3339, in UTC."""
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (start + datetime.timedelta(seconds=int(seconds))).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache_group.command("verify")
@_cache_options
@click.option(
    "--repair", "repairs", is_flag=True, help="Remove what is broken; the next build makes it."
)
@_wait_option
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def verify_command(
    cache_dir: Path | None, as_json: bool, repairs: bool, wait: int, quiet: bool
) -> None:
    """Hash every archive and blob and read every note; exit with 1 where something is broken."""
    cache = Cache(cache_directory(cache_dir))
    with _bar(quiet=quiet or as_json) as report:
        found = verify(cache, workers=min(_WORKERS, os.cpu_count() or 1), report=report)
    removed = repair(cache, found, wait=wait) if repairs and found.faults else ()
    if as_json:
        print_json(_verify_json(cache, found, removed))
    else:
        _show_verified(found, removed)
    if found.faults and not repairs:
        raise CacheError(
            f"verifying the cache at {cache.root}: {len(found.faults)} of {found.files} files "
            "are broken",
            hint="--repair removes them, and the next build makes them again",
        )


def _verify_json(cache: Cache, found: Verified, removed: tuple[Removal, ...]) -> dict[str, object]:
    return {
        "cache": str(cache.root),
        "files": found.files,
        "hashed": found.hashed,
        "faults": [{"path": each.path, "problem": each.problem} for each in found.faults],
        "removed": _removed_json(removed),
    }


def _removed_json(removed: tuple[Removal, ...]) -> list[dict[str, object]]:
    return [
        {"path": each.file.path, "size": each.file.size, "reason": each.reason.value}
        for each in removed
    ]


def _show_verified(found: Verified, removed: tuple[Removal, ...]) -> None:
    for each in found.faults:
        click.echo(f"{each.path}: {each.problem}")
    click.echo(
        f"{found.files} files, {human_size(found.hashed)} hashed, {len(found.faults)} faults"
    )
    if removed:
        click.echo(f"removed {len(removed)} files")


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Report]:
    """A bar of bytes hashed, where stderr is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda size, total: None
        return
    columns = (TextColumn("hashing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("hashing", total=None)
        yield lambda size, total: bars.update(task, advance=size, total=total)


@cache_group.command("prune")
@_cache_options
@click.option(
    "--older-than",
    callback=_seconds,
    metavar="AGE",
    help="Remove what was not used for so long: 12h, 30d, 8w.",
)
@click.option(
    "--max-size",
    callback=_bytes,
    metavar="SIZE",
    help="Remove the least recently used until the rest fits: 500MB, 20GB, 1.5TiB.",
)
@click.option("--all", "everything", is_flag=True, help="Remove everything.")
@click.option("--dry-run", is_flag=True, help="List what would go, remove nothing.")
@_wait_option
def prune_command(
    cache_dir: Path | None,
    as_json: bool,
    older_than: int | None,
    max_size: int | None,
    everything: bool,
    dry_run: bool,
    wait: int,
) -> None:
    """Remove what is of no use and, with limits, what was not used for long or is too much."""
    if everything and (older_than is not None or max_size is not None):
        raise click.UsageError("--all leaves nothing for --older-than or --max-size")
    cache = Cache(cache_directory(cache_dir))
    since = time.time() - older_than if older_than is not None else None
    done = prune(cache, Limits(since, max_size, everything), wait=wait, dry_run=dry_run)
    if as_json:
        print_json(_prune_json(cache, done, dry_run=dry_run))
    else:
        _show_pruned(done, dry_run=dry_run)


def _prune_json(cache: Cache, done: Pruned, *, dry_run: bool) -> dict[str, object]:
    return {
        "cache": str(cache.root),
        "dry_run": dry_run,
        "removed": _removed_json(done.removed),
        "freed": done.freed,
        "left": done.left,
    }


def _show_pruned(done: Pruned, *, dry_run: bool) -> None:
    if dry_run:
        for each in done.removed:
            size = human_size(each.file.size)
            click.echo(f"{size:>10}  {each.file.path}  {_WORDS[each.reason]}")
    files, sizes = Counter[Reason](), Counter[Reason]()
    for each in done.removed:
        files[each.reason] += 1
        sizes[each.reason] += each.file.size
    for reason, count in files.items():
        click.echo(f"{_WORDS[reason]}: {count} files, {human_size(sizes[reason])}")
    verb = "would remove" if dry_run else "removed"
    click.echo(
        f"{verb} {len(done.removed)} files, {human_size(done.freed)}; "
        f"{human_size(done.left)} {'would stay' if dry_run else 'stay'}"
    )
