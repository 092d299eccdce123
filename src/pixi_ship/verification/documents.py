"""What differs in the documents of an image, field by field, and then in their bytes.

Readers of JSON disagree about a name that stands twice, and some take ``Layers`` for
``layers``: that fields look right proves nothing unless there are no others.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pixi_ship.digest import Digest
from pixi_ship.errors import ImageError
from pixi_ship.oci.image import canonical_json
from pixi_ship.oci.stored import StoredImage, parsed
from pixi_ship.verification.compare import Difference

# OCI image-spec 1.1, manifest.md and descriptor.md; what else they allow is not ours.
_MANIFEST = frozenset({"schemaVersion", "mediaType", "config", "layers", "annotations"})
_DESCRIPTOR = frozenset({"mediaType", "digest", "size"})
_ABSENT = object()  # JSON's null is there


def compare_config(want: Mapping[str, object], image: StoredImage) -> Iterator[Difference]:
    """Differences of an image's config from the one wanted; ``diff_ids`` are the layers' business.

    Where no field differs the bytes still may, and the image would have another identity.
    """
    found = list(_compare("config", "config", _without_layers(want), _without_layers(image.config)))
    yield from found
    same_layers = _layers(want) == [str(layer.diff_id) for layer in image.layers]
    if not found and same_layers and image.raw_config != (wanted := canonical_json(want)):
        have = str(Digest.of(image.raw_config))
        yield Difference("config", "config, its bytes", str(Digest.of(wanted)), have)


def compare_document(
    kind: str, where: str, want: Mapping[str, object], raw: bytes
) -> Iterator[Difference]:
    """Differences of a JSON document from the one wanted: its fields, and then its bytes."""
    wanted = canonical_json(want)
    if raw == wanted:
        return
    try:
        found = list(_compare(kind, where, json.loads(wanted), parsed(raw, where)))
    except (ImageError, RecursionError):
        yield Difference(kind, where, str(Digest.of(wanted)), "what is no JSON object")
        return
    yield from found
    if not found:
        bytes_of = f"{where}, its bytes"
        yield Difference(kind, bytes_of, str(Digest.of(wanted)), str(Digest.of(raw)))


def compare_manifest(annotations: Mapping[str, str], image: StoredImage) -> Iterator[Difference]:
    """Differences of a manifest from what it may be; config and layers are compared elsewhere.

    annotations: the ones wanted. That there are none is right too: other formats lose them.
    """
    if image.manifest is None:
        return
    twice: list[str] = []

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            twice.extend(name for name, count in counts.items() if count > 1)
        return found

    document = json.loads(image.manifest, object_pairs_hook=unique)
    for name in twice:
        yield Difference("manifest", f"manifest, the name {name!r}", "once", "more than once")
    yield from _foreign("manifest", document, _MANIFEST)
    yield from _foreign("manifest.config", document["config"], _DESCRIPTOR)
    for place, row in enumerate(document["layers"]):
        yield from _foreign(f"manifest.layers[{place}]", row, _DESCRIPTOR)
    if document.get("annotations"):
        yield from _compare(
            "manifest", "manifest.annotations", annotations, document["annotations"]
        )


def _foreign(
    where: str, document: Mapping[str, object], known: frozenset[str]
) -> Iterator[Difference]:
    for name in sorted(document.keys() - known):
        yield Difference("manifest", f"{where}.{name}", None, _text(document[name]))


def _layers(config: Mapping[str, object]) -> object:
    rootfs = config.get("rootfs")
    return rootfs.get("diff_ids") if isinstance(rootfs, Mapping) else None


def _without_layers(config: Mapping[str, object]) -> dict[str, object]:
    rootfs = config.get("rootfs")
    if not isinstance(rootfs, Mapping):
        return dict(config)
    return {**config, "rootfs": {k: v for k, v in rootfs.items() if k != "diff_ids"}}


def _compare(kind: str, where: str, want: object, got: object) -> Iterator[Difference]:
    if want == got:
        return
    if isinstance(want, Mapping) and isinstance(got, Mapping):
        for name in sorted(want.keys() | got.keys()):
            yield from _compare(
                kind, f"{where}.{name}", want.get(name, _ABSENT), got.get(name, _ABSENT)
            )
    elif not (isinstance(want, list) and isinstance(got, list)):
        yield Difference(kind, where, _text(want), _text(got))
    elif where == "config.config.Env":
        yield from _compare(kind, where, _variables(want), _variables(got))
        if _variables(want) == _variables(got):  # then it is the order, or a row twice
            yield Difference(kind, where, _text(want), _text(got))
    elif where == "config.history":
        for place in range(max(len(want), len(got))):
            ours = want[place] if place < len(want) else _ABSENT
            theirs = got[place] if place < len(got) else _ABSENT
            yield from _compare(kind, f"{where}[{place}]", ours, theirs)
    else:
        yield Difference(kind, where, _text(want), _text(got))


def _variables(rows: Sequence[object]) -> dict[str, str]:
    found = {}
    for row in rows:
        name, _, value = str(row).partition("=")
        found[name] = value
    return found


def _text(value: object) -> str | None:
    if value is _ABSENT:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
