"""Run every way on nodes that have nothing, and then with the next version."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.cluster import Lab

from bench.jobs.result import CHANGED, FIRST, Measured
from bench.jobs.versions import Published
from bench.jobs.ways import SCRATCH, Way, clean

_LOOK = 0.2  # seconds between two looks at the disk


def measured(
    lab: Lab, way: Way, versions: tuple[Published, Published], tasks: int
) -> Iterator[Measured]:
    """A row for the first version, and one for the next on the same nodes."""
    clean(lab)
    for step, version in zip((FIRST, CHANGED), versions, strict=True):
        before = lab.traffic()
        with _disk(lab.folder) as disk:
            start = time.time()
            moments = [task.moment for task in way.run(lab, version, tasks)]
        after = lab.traffic()
        yield Measured(
            way.name,
            step,
            {
                each.name: after[each.name].received - before[each.name].received
                for each in lab.slurm_nodes
            },
            _kept(lab),
            disk.peak,
            min(moments) - start,
            max(moments) - start,
        )
    clean(lab)


def _kept(lab: Lab) -> dict[str, int]:
    words = ("du", "-s", "--block-size=1", SCRATCH)
    return {each.name: int(each.output(*words, user="root").split()[0]) for each in lab.slurm_nodes}


@dataclass(slots=True)
class _Disk:
    peak: int = 0


@contextmanager
def _disk(folder: Path) -> Iterator[_Disk]:
    """Look at how much of the disk below a folder gets used; nodes share this machine's."""
    before, found, ended = shutil.disk_usage(folder).free, _Disk(), threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK):
            found.peak = max(found.peak, before - shutil.disk_usage(folder).free)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
