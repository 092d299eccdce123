"""The wheel of a source: known from an earlier build, or built.

What a wheel is made of is its key: the files of the source, the Python it is for, and for a
compiled one the platform. The wheel itself lies in the cache as any archive does; notes say
which key gave which wheel (``source-wheel``), and what is to be known of it (``built-wheel``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.cache import Cache
from pixi_ship.digest import digest_file
from pixi_ship.lock.model import PypiPackage, PypiSource
from pixi_ship.source.building import Built, building
from pixi_ship.source.identity import Identity, identity_of, key_of
from pixi_ship.source.wheel import Wanted, take_over
from pixi_ship.source.workshop import Workshop

__all__ = ["BuildFacts", "Workshop", "build_facts", "built_wheel", "known_wheel"]

_KEYS = "source-wheel"
_FACTS = "built-wheel"


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """What is known of a wheel that was built here.

    glibc: the C library that its compiled files need. libraries: of the system, that they link
    to. requires: the packages that it was built with. left: what the build left in its home.
    naming: its files that hold the path of the directory they were built in.
    """

    glibc: str | None
    libraries: tuple[str, ...]
    requires: tuple[str, ...]
    left: tuple[str, ...]
    naming: tuple[str, ...]


def known_wheel(source: PypiSource, workshop: Workshop) -> PypiPackage | None:
    """The wheel that was built of a source before; None where there is none.

    Builds and fetches nothing. Raises SourceError where the source is not there, or is none.
    """
    return _known(source, workshop, identity_of(source, workshop))


def built_wheel(source: PypiSource, workshop: Workshop) -> PypiPackage:
    """The wheel of a source, built if it is not known; its bytes are in the cache.

    Raises SourceError where it does not build or is not what the lock says, SandboxError where
    there is no sandbox to build it in.
    """
    identity = identity_of(source, workshop)
    known = _known(source, workshop, identity)
    if known is not None:
        return known
    with building(source, workshop, identity) as built:
        return _kept(source, workshop, identity, built)


def build_facts(wheel: PypiPackage, cache: Cache) -> BuildFacts:
    """What was noted of a wheel when it was built; empty for one that was not built here."""
    note = cache.note(_FACTS, wheel.sha256) if wheel.sha256 else None
    glibc = note.get("glibc") if note else None
    return BuildFacts(
        glibc if isinstance(glibc, str) else None,
        *(_texts(note, each) for each in ("libraries", "requires", "left", "naming")),
    )


def _texts(note: Mapping[str, object] | None, name: str) -> tuple[str, ...]:
    rows = note.get(name) if note else None
    return tuple(each for each in rows if isinstance(each, str)) if isinstance(rows, list) else ()


def _known(source: PypiSource, workshop: Workshop, identity: Identity) -> PypiPackage | None:
    for platform in ("any", workshop.subdir):
        note = workshop.cache.note(_KEYS, key_of(source, workshop, identity, platform))
        if note is None:
            continue
        version, file_name, sha256 = (note.get(each) for each in ("version", "file_name", "sha256"))
        if isinstance(version, str) and isinstance(file_name, str) and isinstance(sha256, str):
            path = workshop.cache.archive(sha256)
            is_noted = workshop.cache.note(_FACTS, sha256) is not None
            if is_noted and path.is_file() and digest_file(path).hex == sha256:
                workshop.cache.mark_used(path)
                return _package(source, version, file_name, sha256, path.stat().st_size)
    return None


def _package(
    source: PypiSource, version: str, file_name: str, sha256: str, size: int
) -> PypiPackage:
    return PypiPackage(
        name=source.name,
        version=version,
        location=source.location,
        file_name=file_name,
        sha256=sha256,
        size=size,
        source=source,
    )


def _kept(source: PypiSource, workshop: Workshop, identity: Identity, built: Built) -> PypiPackage:
    """Put the wheel into the cache, then what is known of it, then that it is this source's."""
    wanted = Wanted(
        name=source.name,
        version=source.version,
        python=workshop.python,
        subdir=workshop.subdir,
        compiles=built.compiles,
        place=built.place,
    )
    cache = workshop.cache
    with cache.temporary() as file:
        facts = take_over(built.path, wanted, file)
        file.flush()
        path = Path(file.name)
        sha256, size = digest_file(path).hex, path.stat().st_size
        cache.keep(file, cache.archive(sha256))
    known: dict[str, object] = {
        "glibc": facts.glibc,
        "libraries": list(facts.libraries),
        "requires": list(built.requires),
        "left": list(built.left),
        "naming": list(facts.naming),
    }
    cache.write_note(_FACTS, sha256, known)
    key = key_of(source, workshop, identity, workshop.subdir if facts.is_compiled else "any")
    note = {"version": facts.version, "file_name": facts.file_name, "sha256": sha256}
    cache.write_note(_KEYS, key, note)
    return _package(source, facts.version, facts.file_name, sha256, size)
