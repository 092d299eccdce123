"""The fake registry's manifests, tags and referrers. Spec: distribution-spec 1.1."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from .behaviour import Behaviour
from .graph import MANIFESTS, OCI_INDEX, digest_of, matches, references
from .server import Answer, Exchange, json_answer, refusal
from .store import Manifest, Repository, Store
from .uploads import TOO_LARGE

_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\Z")
_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")
_LIMIT = 4 << 20
"""Bytes that a registry should take at least ("Pushing Manifests"), and many take at most."""


class Manifests:
    """Manifests by tag and by digest."""

    def __init__(self, store: Store, behaviour: Behaviour) -> None:
        self._store = store
        self._behaviour = behaviour

    def read(self, exchange: Exchange, name: str, reference: str) -> Answer:
        """GET and HEAD."""
        repository = self._store.repository(name)
        digest = repository.tags.get(reference, reference)
        found = repository.manifests.get(digest)
        if found is None or not _accepted(exchange, found.media_type):
            return refusal(404, "MANIFEST_UNKNOWN", "manifest unknown to registry")
        headers = {"Content-Type": found.media_type, "Docker-Content-Digest": digest}
        return Answer(200, headers, found.data)

    def write(self, exchange: Exchange, name: str, reference: str) -> Answer:
        """PUT."""
        is_digest = _DIGEST.match(reference) is not None
        if not is_digest and not _TAG.match(reference):
            return refusal(400, "MANIFEST_INVALID", "neither a tag nor a digest")
        data = exchange.body.read(_LIMIT)
        if data is None:
            return TOO_LARGE
        if is_digest and not matches(data, reference):
            return refusal(400, "DIGEST_INVALID", "the digest is not that of the bytes sent")
        kind = (exchange.headers.get("Content-Type") or "").partition(";")[0].strip()
        document = self._checked(name, kind, data)
        if isinstance(document, Answer):
            return document
        digest = reference if is_digest else digest_of(data)
        with self._store.lock:
            repository = self._store.repository(name)
            repository.manifests[digest] = Manifest(kind, data)
            if not is_digest:
                repository.tags[reference] = digest
        path = f"/v2/{name}/manifests/{digest}"
        relative = self._behaviour.relative_location
        location = path if relative else exchange.base_url + path
        headers = {"Location": location, "Docker-Content-Digest": digest}
        if self._behaviour.referrers and (subject := subject_of(document)):
            headers["OCI-Subject"] = subject
        return Answer(201, headers)

    def _checked(self, name: str, kind: str, data: bytes) -> Mapping[str, object] | Answer:
        """The manifest, if it is one and all that it needs is there."""
        try:
            document = json.loads(data)
            needed = list(references(document))
        except (ValueError, AttributeError) as error:
            return refusal(400, "MANIFEST_INVALID", f"the manifest is malformed: {error}")
        if kind not in MANIFESTS or document.get("mediaType", kind) != kind:
            return refusal(400, "MANIFEST_INVALID", "the media type is not that of the manifest")
        for each in needed:
            find = self._store.manifest if each.is_manifest else self._store.blob
            if find(name, each.digest) is None:
                return refusal(
                    400, "MANIFEST_BLOB_UNKNOWN", f"{each.digest} is not in this repository"
                )
        assert isinstance(document, dict)
        return document

    def delete(self, exchange: Exchange, name: str, reference: str) -> Answer:
        """DELETE: a tag alone, or a manifest with the tags that point to it."""
        with self._store.lock:
            repository = self._store.repository(name)
            if repository.tags.pop(reference, None):
                return Answer(202)
            if repository.manifests.pop(reference, None) is None:
                return refusal(404, "MANIFEST_UNKNOWN", "manifest unknown to registry")
            for tag in [tag for tag, each in repository.tags.items() if each == reference]:
                del repository.tags[tag]
        return Answer(202)

    def tags(self, exchange: Exchange, name: str, _: str) -> Answer:
        """GET of ``tags/list``."""
        repository = self._store.repository(name)
        if not repository.exists:
            return refusal(404, "NAME_UNKNOWN", "repository name not known to registry")
        last, wish = exchange.parameter("last") or "", exchange.parameter("n")
        if wish is not None and not wish.isdecimal():
            return refusal(400, "PAGINATION_NUMBER_INVALID", "n is not a number")
        rows = [tag for tag in sorted(repository.tags) if tag > last]
        size = _smaller(None if wish is None else int(wish), self._behaviour.page)
        page = rows[:size]
        headers = {}
        if page and len(page) < len(rows):
            headers["Link"] = _next(exchange, {"n": str(len(page)), "last": page[-1]})
        return json_answer(200, {"name": name, "tags": page}, headers)

    def referrers(self, exchange: Exchange, name: str, digest: str) -> Answer:
        """GET of ``referrers/<digest>``."""
        if not self._behaviour.referrers:
            return Answer(404, {"Content-Type": "text/plain"}, b"404 page not found\n")
        if not _DIGEST.match(digest):
            return refusal(400, "DIGEST_INVALID", "not a digest")
        rows = _referrers(self._store.repository(name), digest)
        headers = {"Content-Type": OCI_INDEX}
        wanted = {}
        if kind := exchange.parameter("artifactType"):
            rows = [row for row in rows if row.get("artifactType") == kind]
            headers["OCI-Filters-Applied"] = "artifactType"
            wanted["artifactType"] = kind
        start = int(exchange.parameter("start") or 0)
        end = start + (self._behaviour.page or len(rows))
        if end < len(rows):
            headers["Link"] = _next(exchange, {**wanted, "start": str(end)})
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": rows[start:end]}
        return json_answer(200, index, headers)


def subject_of(document: Mapping[str, object]) -> str | None:
    """The digest of what a manifest refers to."""
    subject = document.get("subject")
    return str(subject["digest"]) if isinstance(subject, dict) and "digest" in subject else None


def _referrers(repository: Repository, digest: str) -> list[dict[str, object]]:
    """Descriptors of what refers to a digest. Spec: section "Listing Referrers"."""
    rows = []
    for own, manifest in list(repository.manifests.items()):
        document = json.loads(manifest.data)
        if subject_of(document) != digest:
            continue
        config = document.get("config", {})
        row = _Row(manifest, own, document.get("artifactType") or config.get("mediaType"))
        rows.append(row.descriptor(document.get("annotations")))
    return rows


@dataclass(frozen=True, slots=True)
class _Row:
    manifest: Manifest
    digest: str
    artifact_type: str | None

    def descriptor(self, annotations: object) -> dict[str, object]:
        found: dict[str, object] = {
            "mediaType": self.manifest.media_type,
            "digest": self.digest,
            "size": len(self.manifest.data),
        }
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        if annotations:
            found["annotations"] = annotations
        return found


def _accepted(exchange: Exchange, media_type: str) -> bool:
    """Whether the client takes this type; without an Accept header it takes all (RFC 9110)."""
    words = ",".join(exchange.headers.get_all("Accept", []))
    kinds = {each.partition(";")[0].strip() for each in words.split(",")}
    return kinds <= {""} or bool({media_type, "*/*", "application/*"} & kinds)


def _smaller(one: int | None, other: int | None) -> int | None:
    sizes = [size for size in (one, other) if size is not None]
    return min(sizes, default=None)


def _next(exchange: Exchange, parameters: Mapping[str, str]) -> str:
    """A Link header to the next page. RFC 8288, section 3."""
    return f'<{exchange.path}?{urlencode(parameters)}>; rel="next"'
