"""References with the transports that skopeo and podman users know."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pixi_ship.digest import Digest
from pixi_ship.errors import UsageError


class Transport(StrEnum):
    """Where an image is, or shall go."""

    OCI = "oci"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"
    DOCKER = "docker"
    SIF = "sif"
    ORAS = "oras"
    SCRATCH = "scratch"


# What OCI allows as org.opencontainers.image.ref.name (image-spec annotations.md).
_REF_NAME = re.compile(r"[A-Za-z0-9]+([-._:@+/][A-Za-z0-9]+|--[A-Za-z0-9]+)*\Z")
# distribution-spec, "Pulling manifests": names and tags in a registry.
_NAME_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_NAME_PART}(?:/{_NAME_PART})*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?\Z")
_REMOTE = frozenset({Transport.DOCKER, Transport.ORAS})
_KNOWN = (
    "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG], sif:FILE, docker://REF, "
    "oras://REF"
)
_DOCKER_HUB = "docker.io"


@dataclass(frozen=True, slots=True)
class Reference:
    """A place for an image.

    path: a directory, a file, or in a registry host and repository. digest: the image that a
    registry's reference insists on; it wins over the tag.
    """

    transport: Transport
    path: str
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        if self.transport is Transport.SCRATCH:
            return "scratch"
        slashes = "//" if self.in_registry else ""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.transport.value}:{slashes}{self.path}{tag}{digest}"

    @property
    def in_registry(self) -> bool:
        """Whether it is a place in a registry."""
        return self.transport in _REMOTE

    @property
    def host(self) -> str:
        """The registry's host, with its port if one was given."""
        return self.path.partition("/")[0]

    @property
    def repository(self) -> str:
        """The repository's name in the registry."""
        return self.path.partition("/")[2]

    def anchored(self, root: Path) -> Reference:
        """The reference with a relative path counted from ``root``; others unchanged."""
        if self.transport is Transport.SCRATCH or self.in_registry:
            return self
        return replace(self, path=str(root / self.path))

    def at(self, digest: Digest) -> Reference:
        """The reference pinned to one image of the same repository."""
        return replace(self, digest=digest)


SCRATCH = Reference(Transport.SCRATCH, "")


def parse_reference(text: str) -> Reference:
    """Read a reference; raises UsageError that lists what there is."""
    if text == "scratch":
        return SCRATCH
    name, colon, rest = text.partition(":")
    if not colon or name not in (*Transport,) or name == "scratch" or not rest:
        raise UsageError(f"{text!r} is not a reference", hint=f"want one of {_KNOWN}")
    transport = Transport(name)
    if transport in _REMOTE:
        return _parse_registry(transport, text, rest)
    if transport is Transport.SIF:
        return Reference(transport, rest)
    # As skopeo does: the path ends at the first colon, all after it is the tag.
    path, colon, tag = rest.partition(":")
    if not path or (colon and not tag):
        raise UsageError(
            f"{text!r} is not a reference", hint=f"want {name}:PATH or {name}:PATH:TAG"
        )
    if tag and not _REF_NAME.match(tag):
        raise UsageError(f"{tag!r} in {text!r} cannot be a tag")
    return Reference(transport, path, tag or None)


def _parse_registry(transport: Transport, text: str, rest: str) -> Reference:
    """``//HOST/NAME[:TAG][@DIGEST]``; without a host Docker Hub is meant, as everywhere."""
    hint = f"want {transport}://HOST/NAME:TAG or {transport}://HOST/NAME@sha256:DIGEST"
    if not rest.startswith("//"):
        raise UsageError(f"{text!r} is not a reference", hint=hint)
    name, at, digest_text = rest[2:].partition("@")
    head, slash, tail = name.rpartition("/")
    last, colon, tag = tail.partition(":")
    host, repository = _host_and_repository(f"{head}{slash}{last}")
    if not _HOST.match(host) or not _REPOSITORY.match(repository):
        raise UsageError(f"{text!r} is not a reference", hint=f"{hint}; names are in lower case")
    if colon and not _TAG.match(tag):
        raise UsageError(f"{tag!r} in {text!r} cannot be a tag")
    try:
        digest = Digest.parse(digest_text) if at else None
    except ValueError as error:
        raise UsageError(f"{text!r} is not a reference: {error}", hint=hint) from None
    if not tag and digest is None:
        tag = "latest"
    return Reference(transport, f"{host}/{repository}", tag or None, digest)


def _host_and_repository(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        host, repository = first, rest
    else:
        host, repository = _DOCKER_HUB, name
    if host in ("index.docker.io", "registry-1.docker.io"):
        host = _DOCKER_HUB
    if host == _DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return host, repository
