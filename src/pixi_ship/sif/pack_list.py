"""The list of packs in a SIF of ours: where each layer's files lie in its squashfs.

Who has one version of an image can take from it what the next one has in common with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pixi_ship.digest import Digest
from pixi_ship.errors import ImageError
from pixi_ship.oci.image import canonical_json
from pixi_ship.sif.file import SifFile
from pixi_ship.sif.format import PACKS
from pixi_ship.sif.packs import KeptPack

_MAX_PACKS = 1000


def pack_list(kept: Sequence[KeptPack], at: int) -> bytes:
    """What the packs are, and where each lies in the squashfs; at: where the first does."""
    rows = []
    for each in kept:
        digest, size = each.blob.descriptor.digest, each.pack.size
        rows.append({"digest": str(digest), "offset": at, "size": size})
        at += size
    return canonical_json({"packs": rows})


@dataclass(frozen=True, slots=True)
class SifStretch:
    """``size`` bytes of a SIF from ``offset`` on; the digest is what its list says."""

    digest: Digest
    offset: int
    size: int


def packs_in(sif: SifFile) -> list[SifStretch]:
    """Where the packs lie in a SIF of ours, by what it says itself; none in others.

    Raises ImageError for a list that cannot be.
    """
    data = sif.named(PACKS)
    if data is None:
        return []
    root, found = sif.root, []
    at, end = root.offset, root.offset + root.size
    try:
        for row in json.loads(data)["packs"][:_MAX_PACKS]:
            digest, size = Digest.parse(row["digest"]), int(row["size"])
            offset = root.offset + int(row["offset"])
            if size < 0 or offset < at or offset + size > end:
                raise ValueError("a pack lies outside of the squashfs, or in another one")
            found.append(SifStretch(digest, offset, size))
            at = offset + size
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ImageError(f"reading {sif.source.name}: its list of packs: {error}") from None
    return found
