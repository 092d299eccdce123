"""One repository of a registry: manifests, blobs, tags, referrers.

Spec: OCI distribution-spec 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import httpx

from pixi_ship.digest import BLOCK, Digest
from pixi_ship.errors import NotInRegistry, RegistryError
from pixi_ship.oci.descriptor import INDEX, INDEXES, MANIFESTS, Descriptor
from pixi_ship.oci.stored import parsed
from pixi_ship.registry.patience import Cut
from pixi_ship.registry.session import Answer, Call, Session

_ACCEPT = ", ".join(sorted(MANIFESTS | INDEXES))
_MAX_PAGES = 10_000
_NEXT = re.compile(r"<([^>]*)>\s*;[^,]*\brel=\"?next\"?", re.IGNORECASE)
_MAYBE = frozenset({200, 404})


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository by its name in the registry of ``session``."""

    session: Session
    name: str

    def __str__(self) -> str:
        return f"docker://{self.session.host}/{self.name}"

    @property
    def pull(self) -> tuple[str, ...]:
        """The token scope for reading (token specification, "scope")."""
        return (f"repository:{self.name}:pull",)

    @property
    def push(self) -> tuple[str, ...]:
        """The token scope for writing."""
        return (f"repository:{self.name}:pull,push",)

    def path(self, *parts: str) -> str:
        """The path of something of this repository."""
        return "/".join(("/v2", self.name, *parts))

    def head(self, reference: str | Digest) -> Descriptor | None:
        """What a tag or digest names, without its bytes; None where there is nothing.

        Also None where the registry answers ``HEAD`` without a digest, as a few do.
        """
        answer = self.session.answer(
            Call(
                method="HEAD",
                path=self.path("manifests", str(reference)),
                doing=f"looking for {self._named(reference)}",
                scopes=self.pull,
                headers={"Accept": _ACCEPT},
                wanted=_MAYBE,
            )
        )
        digest, size = _digest_header(answer.headers), answer.headers.get("content-length", "")
        if answer.status == httpx.codes.NOT_FOUND or digest is None or not size.isdigit():
            return None
        return Descriptor(_media_type(answer.headers), digest, int(size))

    def manifest(self, reference: str | Digest) -> tuple[Descriptor, bytes]:
        """The manifest or index that a tag or digest names, held against its digest.

        Raises NotInRegistry where there is none.
        """
        call = Call(
            method="GET",
            path=self.path("manifests", str(reference)),
            doing=f"reading {self._named(reference)}",
            scopes=self.pull,
            headers={"Accept": _ACCEPT},
        )

        def check(answer: Answer) -> None:
            named = reference if isinstance(reference, Digest) else _digest_header(answer.headers)
            got = Digest.of(answer.body)
            if named is not None and got != named:
                raise Cut(f"digest is {got}, want {named}", cost=4)

        answer = self.session.answer(call, check)
        digest = Digest.of(answer.body)
        return Descriptor(_media_type(answer.headers), digest, len(answer.body)), answer.body

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether the repository has a blob, with the right size as far as it is told."""
        call = Call(
            method="HEAD",
            path=self.path("blobs", str(descriptor.digest)),
            doing=f"looking for blob {descriptor.digest} in {self}",
            scopes=self.pull,
            wanted=_MAYBE,
        )
        answer = self.session.answer(call)
        size = answer.headers.get("content-length", "")
        return answer.status == httpx.codes.OK and (
            not size.isdigit() or int(size) == descriptor.size
        )

    def read_blob(self, descriptor: Descriptor, start: int, size: int) -> Iterator[bytes]:
        """Stream ``size`` bytes from ``start`` on; after a cut it goes on where it stopped.

        The caller holds the bytes against the digest.
        """
        end, failures = start + size, 0
        while start < end:
            before = start
            try:
                for chunk in self._stream(descriptor, start, end):
                    start += len(chunk)
                    yield chunk
                return
            except Cut as cut:
                failures = cut.cost + (0 if start > before else failures)
                self.session.pause(self._reading(descriptor), failures, cut)

    def takes_ranges(self, descriptor: Descriptor) -> bool:
        """Whether a stretch of a blob comes alone, and not behind all the bytes before it."""
        call = Call(
            method="GET",
            path=self.path("blobs", str(descriptor.digest)),
            doing=self._reading(descriptor),
            scopes=self.pull,
            headers={"Range": "bytes=1-1"},
            wanted=frozenset({200, 206, 416}),
        )
        with suppress(Cut), self.session.open(call) as response:
            return response.status_code == httpx.codes.PARTIAL_CONTENT
        return False  # then the whole blob is the safer way

    def _stream(self, descriptor: Descriptor, start: int, end: int) -> Iterator[bytes]:
        whole = start == 0 and end == descriptor.size
        call = Call(
            method="GET",
            path=self.path("blobs", str(descriptor.digest)),
            doing=self._reading(descriptor),
            scopes=self.pull,
            headers={} if whole else {"Range": f"bytes={start}-{end - 1}"},
            wanted=frozenset({200, 206, 416}),
        )
        with self.session.open(call) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise RegistryError(
                    f"{call.doing}: it ends after {start} bytes, want {descriptor.size}",
                    hint="the registry's copy is damaged: push the image anew",
                )
            skip = start if response.status_code == httpx.codes.OK else 0
            left = end - start
            for chunk in response.iter_raw(BLOCK):
                if not left:
                    return  # the registry sends more than was asked for
                piece = chunk[skip:][:left]
                skip = max(0, skip - len(chunk))
                left -= len(piece)
                if piece:
                    yield piece
        if left:
            raise Cut("the body ends too early", cost=4)

    def put_manifest(self, data: bytes, media_type: str, reference: str | Digest) -> bool:
        """Store a manifest or index under a digest or a tag.

        Returns whether the registry lists it among the referrers of its subject, if it has
        one (``OCI-Subject``). Raises RegistryError also where the registry stored other bytes.
        """
        what = self._named(reference)
        call = Call(
            method="PUT",
            path=self.path("manifests", str(reference)),
            doing=f"writing {what}",
            scopes=self.push,
            headers={"Content-Type": media_type},
            body=lambda: iter((data,)),
            size=len(data),
            wanted=frozenset({200, 201, 202}),
        )
        answer = self.session.answer(call)
        stored = _digest_header(answer.headers)
        if stored is not None and stored != Digest.of(data):
            raise RegistryError(f"writing {what}: the registry stored {stored}, not our bytes")
        return "oci-subject" in answer.headers

    def tags(self) -> list[str]:
        """All tags, page by page; raises NotInRegistry where there is no such repository."""
        call = Call(
            method="GET",
            path=f"{self.path('tags', 'list')}?{urlencode({'n': 1000})}",
            doing=f"listing the tags of {self}",
            scopes=self.pull,
        )
        pages = [parsed(page.body, call.doing).get("tags") for page in self._pages(call)]
        return [str(row) for rows in pages for row in _listed(rows)]

    def referrers(self, digest: Digest) -> list[Descriptor]:
        """What was attached to an image, by the API or by the fallback tag (distribution-spec)."""
        call = Call(
            method="GET",
            path=self.path("referrers", str(digest)),
            doing=f"listing what is attached to {self}@{digest}",
            scopes=self.pull,
            headers={"Accept": INDEX},
            # Registries that do not know the API say so in many ways.
            wanted=frozenset({200, 400, 404, 405, 406}),
        )
        found: list[Descriptor] = []
        for page in self._pages(call):
            data = page.body
            if page.status != httpx.codes.OK or _media_type(page.headers) != INDEX:
                try:
                    _, data = self.manifest(fallback_tag(digest))
                except NotInRegistry:
                    return []
            rows = parsed(data, call.doing).get("manifests")
            where = f"the referrers of {digest}"
            found += [Descriptor.from_json(row, where) for row in _listed(rows)]
        return found

    def _pages(self, call: Call) -> Iterator[Answer]:
        """An answer and those it links to as the next, all of this registry (RFC 8288)."""
        for _ in range(_MAX_PAGES):
            answer = self.session.answer(call)
            yield answer
            after = _NEXT.search(answer.headers.get("link", ""))
            if after is None:
                return
            url = self.session.url(after[1], answer.url)
            if not url.startswith(f"{self.session.root}/"):
                raise RegistryError(f"{call.doing}: the next page is on another server")
            call = replace(call, path=url)

    def _named(self, reference: str | Digest) -> str:
        return f"{self}{'@' if isinstance(reference, Digest) else ':'}{reference}"

    def _reading(self, descriptor: Descriptor) -> str:
        return f"reading blob {descriptor.digest} of {self}"


def fallback_tag(digest: Digest) -> str:
    """Where referrers are listed in a registry without the API (distribution-spec)."""
    return f"sha256-{digest.hex}"


def _listed(rows: object) -> list[object]:
    return rows if isinstance(rows, list) else []


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip()


def _digest_header(headers: Mapping[str, str]) -> Digest | None:
    try:
        return Digest.parse(headers.get("docker-content-digest", ""))
    except ValueError:
        return None
