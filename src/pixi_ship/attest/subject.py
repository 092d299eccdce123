"""The image that a statement is about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from pixi_ship.attest.purl import image_purl
from pixi_ship.digest import Digest
from pixi_ship.oci.reference import Reference, Transport


@dataclass(frozen=True, slots=True)
class Base:
    """The image underneath; ``digest`` is its manifest's, where it has one."""

    reference: Reference
    digest: Digest | None = None

    @property
    def name(self) -> str:
        """How it is called: as asked for, but a file or directory only by its last part.

        Where it lies on the building machine is nobody's business and would make the same build
        on another machine look different.
        """
        reference = self.reference
        if reference.transport is Transport.DOCKER:
            return str(reference)
        tag = f":{reference.tag}" if reference.tag else ""
        return f"{reference.transport}:{PurePath(reference.path).name}{tag}"

    @property
    def purl(self) -> str | None:
        """Its package URL; None without a digest."""
        if self.digest is None:
            return None
        path = self.reference.path
        in_registry = self.reference.transport is Transport.DOCKER
        name = path if in_registry else PurePath(path).stem
        return image_purl(name, self.digest, repository=path if in_registry else None)


@dataclass(frozen=True, slots=True)
class Subject:
    """The image: ``name`` without a tag, ``digest`` of its manifest, ``base`` unless scratch."""

    name: str
    digest: Digest
    base: Base | None = None
