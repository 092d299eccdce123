"""The base of an image: which bytes its name means here and now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pixi_ship.base_lock import BaseLock, read_base_lock
from pixi_ship.digest import Digest
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.registry.registries import Registries
from pixi_ship.selection import BaseLocking, Options


@dataclass(frozen=True, slots=True)
class Base:
    """``named`` is what was asked for; ``reference`` is what is read, pinned if it can be.

    locked: the digest in ``pixi-ship.lock``, if that is heeded.
    """

    named: Reference
    reference: Reference
    lock: BaseLock
    locked: Digest | None


def choose_base(options: Options, root: Path) -> Base:
    """Pin the base by the workspace's base lock; raises LockError for a broken one."""
    named, lock = options.base, read_base_lock(root)
    if named.transport is not Transport.DOCKER or named.digest is not None:
        return Base(named, named, lock, None)
    if options.base_lock in (BaseLocking.IGNORE, BaseLocking.UPDATE):
        return Base(named, named, lock, None)
    locked = lock.digest(str(named))
    return Base(named, named.at(locked) if locked else named, lock, locked)


def record_base(base: Base, found: Digest | None, options: Options) -> None:
    """Write down what the name meant, where that is wanted."""
    wanted = options.base_lock in (BaseLocking.RECORD, BaseLocking.UPDATE)
    named = base.named
    if wanted and found and named.transport is Transport.DOCKER and named.digest is None:
        base.lock.record(str(named), found)


def moved_to(base: Base, registries: Registries) -> Digest | None:
    """The digest that the tag names now, where it is not the locked one; None otherwise.

    Raises RegistryError where the registry cannot be asked.
    """
    if base.locked is None or base.named.tag is None:
        return None
    now = registries.repository(base.named).head(base.named.tag)
    return now.digest if now is not None and now.digest != base.locked else None
