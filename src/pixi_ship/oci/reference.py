"""References with the transports that skopeo and podman users know."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pixi_ship.errors import UsageError


class Transport(StrEnum):
    """Where an image is, or shall go."""

    OCI = "oci"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"
    DOCKER = "docker"
    SCRATCH = "scratch"


# What OCI allows as org.opencontainers.image.ref.name (image-spec annotations.md).
_TAG = re.compile(r"[A-Za-z0-9]+([-._:@+/][A-Za-z0-9]+|--[A-Za-z0-9]+)*\Z")
_KNOWN = "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG], docker://REF"


@dataclass(frozen=True, slots=True)
class Reference:
    """A place for an image: ``path`` is a directory, a file, or a registry's repository."""

    transport: Transport
    path: str
    tag: str | None = None

    def __str__(self) -> str:
        if self.transport is Transport.SCRATCH:
            return "scratch"
        slashes = "//" if self.transport is Transport.DOCKER else ""
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.transport.value}:{slashes}{self.path}{tag}"

    def anchored(self, root: Path) -> Reference:
        """The reference with a relative path counted from ``root``; others unchanged."""
        if self.transport in (Transport.SCRATCH, Transport.DOCKER):
            return self
        return replace(self, path=str(root / self.path))


def parse_reference(text: str) -> Reference:
    """Read a reference; raises UsageError that lists what there is."""
    if text == "scratch":
        return Reference(Transport.SCRATCH, "")
    name, colon, rest = text.partition(":")
    if not colon or name not in (*Transport,) or name == "scratch" or not rest:
        raise UsageError(f"{text!r} is not a reference", hint=f"want one of {_KNOWN}")
    transport = Transport(name)
    if transport is Transport.DOCKER:
        if not rest.startswith("//") or len(rest) == len("//"):
            raise UsageError(f"{text!r} is not a reference", hint="want docker://HOST/NAME:TAG")
        return Reference(transport, rest[2:])
    # As skopeo does: the path ends at the first colon, all after it is the tag.
    path, colon, tag = rest.partition(":")
    if not path or (colon and not tag):
        raise UsageError(
            f"{text!r} is not a reference", hint=f"want {name}:PATH or {name}:PATH:TAG"
        )
    if tag and not _TAG.match(tag):
        raise UsageError(f"{tag!r} in {text!r} cannot be a tag")
    return Reference(transport, path, tag or None)
