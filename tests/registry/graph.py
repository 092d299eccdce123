"""Whether everything that a registry's tags lead to is there and is what its digest says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS = frozenset({OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST})


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def matches(data: bytes, digest: str) -> bool:
    """Whether these bytes have this digest; of algorithms OCI registers sha256 and sha512."""
    algorithm = digest.partition(":")[0]
    return algorithm in ("sha256", "sha512") and digest_of(data, algorithm) == digest


@dataclass(frozen=True, slots=True)
class Reference:
    """What a manifest says of a blob or of another manifest."""

    digest: str
    size: int
    is_manifest: bool


def references(document: Mapping[str, object]) -> Iterator[Reference]:
    """All that a manifest needs in its registry; raises ValueError for an odd document.

    A ``subject`` may be missing, and so may layers that are only ever fetched from their URLs
    (distribution-spec 1.1, "Pushing Manifests"; image-spec 1.1, non-distributable layers).
    """
    for field in ("manifests", "config", "layers"):
        rows = document.get(field, [])
        for row in rows if isinstance(rows, list) else [rows]:
            if not isinstance(row, dict):
                raise ValueError(f"{field} holds something that is no descriptor")
            kind, digest, size = (row.get(name) for name in ("mediaType", "digest", "size"))
            if not (isinstance(kind, str) and isinstance(digest, str) and isinstance(size, int)):
                raise ValueError(f"a descriptor in {field} lacks mediaType, digest or size")
            if not (".foreign." in kind or ".nondistributable." in kind):
                yield Reference(digest, size, field == "manifests")


class Contents(Protocol):
    """What a registry holds, however it keeps it."""

    def tagged(self) -> Iterable[tuple[str, str, str]]:
        """Repository, tag and digest of every tag."""

    def manifest(self, repository: str, digest: str) -> bytes | None: ...

    def blob(self, repository: str, digest: str) -> bytes | None: ...


def problems(contents: Contents) -> list[str]:
    """One line for everything that is missing or wrong below a tag; nothing is well."""
    found = []
    for repository, tag, digest in contents.tagged():
        for problem in _below(contents, repository, Reference(digest, -1, True), 0):
            found.append(f"{repository}:{tag}: {problem}")
    return found


def _below(contents: Contents, repository: str, wanted: Reference, depth: int) -> Iterator[str]:
    find = contents.manifest if wanted.is_manifest else contents.blob
    name = f"{'manifest' if wanted.is_manifest else 'blob'} {wanted.digest}"
    data = find(repository, wanted.digest)
    if data is None:
        yield f"{name} is missing"
        return
    if not matches(data, wanted.digest):
        yield f"{name} has other bytes than its digest says"
    if wanted.size not in (-1, len(data)):
        yield f"{name} has {len(data)} bytes, its descriptor says {wanted.size}"
    if not wanted.is_manifest:
        return
    try:
        document = json.loads(data)
        children = list(references(document))
    except (ValueError, AttributeError) as error:
        yield f"{name} is malformed: {error}"
        return
    if depth > 8:
        yield f"{name} lies too deep"
        return
    for child in children:
        yield from _below(contents, repository, child, depth + 1)
