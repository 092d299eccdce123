"""SIFs out of a registry, less what earlier ones on this machine hold already.

Any stretch of a blob can be asked for, and a SIF of ours says where each layer lies in it: of
the next version of an image only the layers that changed are on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.digest import Digest, HashingWriter
from pixi_ship.errors import ImageError
from pixi_ship.oci.blob import Blob, Source, Stretch, Watched
from pixi_ship.sif.file import read_sif, read_sif_from
from pixi_ship.sif.pack_list import packs_in

_LEAST = 64 << 10  # bytes of a pack that are worth a request less


def packs_of(paths: Iterable[Path]) -> dict[Digest, Stretch]:
    """Where the packs of SIF files lie, as the files say; what cannot be read has none."""
    found: dict[Digest, Stretch] = {}
    for path in paths:
        try:
            found |= {each.digest: Stretch(path, each.offset) for each in packs_in(read_sif(path))}
        except ImageError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class _Run:
    """``size`` bytes from ``start`` of a source."""

    source: Source
    start: int
    size: int


def fetch_sif(
    blob: Blob,
    here: Mapping[Digest, Source],
    begin: Callable[[], Callable[[bytes], object]],
    report: Callable[[int], None],
) -> None:
    """Write the SIF in a registry, taking from ``here`` the packs that are there.

    begin: starts the output, anew at each call, and gives what takes its bytes. report: called
    with each number of bytes that came from the registry. Raises RegistryError, ImageError,
    DigestMismatch where the registry's own bytes are not those of the digest.
    """
    remote = Watched(blob.source, report)
    runs = _runs(remote, blob.descriptor.size, here) if here else []
    if any(run.source is not remote for run in runs):
        writer = HashingWriter(begin())
        try:
            for run in runs:
                for chunk in run.source.read(run.start, run.size):
                    writer.write(chunk)
        except ImageError:
            pass  # an earlier SIF was removed meanwhile
        if writer.digest == blob.descriptor.digest:
            return
    # One that is not ours or the first, or what is here is damaged.
    Blob(blob.descriptor, remote).copy_to(begin())


def _runs(remote: Source, size: int, here: Mapping[Digest, Source]) -> list[_Run]:
    """The stretches that a SIF is put together from, front to back."""
    try:
        wanted = packs_in(read_sif_from(remote, size))
    except ImageError:
        wanted = []  # the digest will tell what it is
    runs: list[_Run] = []
    at = 0
    for each in wanted:
        source = here.get(each.digest)
        if source is None or each.size < _LEAST:
            continue
        if each.offset > at:
            runs.append(_Run(remote, at, each.offset - at))
        runs.append(_Run(source, 0, each.size))
        at = each.offset + each.size
    if at < size:
        runs.append(_Run(remote, at, size - at))
    return runs
