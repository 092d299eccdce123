"""Why the files of a package may differ that was built of its source: the backend is not locked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pixi_ship.cache import Cache
from pixi_ship.lock.model import PypiPackage
from pixi_ship.source.wheels import build_facts
from pixi_ship.verification.compare import Difference


def built_notes(
    wheels: Iterable[PypiPackage], cache: Cache, differences: Sequence[Difference]
) -> Iterator[str]:
    """A sentence for each of these wheels, all built here, whose ``.dist-info`` differs.

    Its WHEEL names the backend (``Generator``, PyPA "Binary distribution format"), its RECORD the
    digest of each file.
    """
    for wheel in wheels:
        facts = build_facts(wheel, cache)
        info = f"/{'-'.join(wheel.file_name.split('-')[:2])}.dist-info/"
        names = {each.where.rpartition(info)[2] for each in differences if info in each.where}
        if not names:
            continue
        tools = ", ".join(facts.requires) or "a backend of its own"
        if "WHEEL" in names:
            reason = "its WHEEL differs, which names the backend: most likely that was another one"
        else:
            reason = "the image's may have been built with others, or by another compiler"
        yield f"{wheel.name}: its wheel was built here, with {tools}; {reason}"
