"""A SIF against what it has to be: its root filesystem, its data objects, and its header.

How the squashfs is cut and compressed does not count, nor when it was made; what is in it does,
and that Apptainer would mount nothing besides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pixi_ship.digest import HashingWriter
from pixi_ship.errors import DigestMismatch, ImageError
from pixi_ship.oci.image import canonical_json
from pixi_ship.oci.stored import StoredImage, parsed
from pixi_ship.sif.file import SifFile, architecture_number
from pixi_ship.sif.format import (
    ARCHITECTURES,
    DEFINITION,
    LAUNCH,
    METADATA,
    OCI_CONFIG,
    PACKS,
    PARTITION,
    DataType,
    Descriptor,
    PartitionType,
)
from pixi_ship.sif.pack_list import packs_in
from pixi_ship.sif.singularity import SingularityTree
from pixi_ship.sif.stored import StoredSif, in_words
from pixi_ship.verification.compare import Difference, Findings, compare_files
from pixi_ship.verification.contents import Node
from pixi_ship.verification.documents import compare_document
from pixi_ship.verification.layers import read_layers
from pixi_ship.verify.expected import Expected
from pixi_ship.verify.root import Rows, expected_root, stored_root

# What a SIF of ours says it was built from: an image by its digest.
_ORIGIN = re.compile(rb"bootstrap: docker\nfrom: sha256:[0-9a-f]{64}\n")
_LAUNCH_SIZE = 32  # bytes, at the beginning of the header
_SPARE_ENTRIES = 1_000_000


def check_ours(sif: StoredSif) -> None:
    """Raise ImageError for a SIF that holds no config of an image: nobody can say what it is."""
    if sif.is_ours:
        return
    definition = (sif.definition or "").strip()
    origin = f", by its definition {definition!r}" if definition else ""
    raise ImageError(
        f"{sif.reference} holds no config of an image, so pixi-ship did not write it",
        hint=f"verify the image that it was made from{origin}",
    )


@dataclass(frozen=True, slots=True)
class Sif:
    """A SIF in a file, with the config of its image."""

    stored: StoredSif

    @property
    def image(self) -> StoredImage:
        """What it says of itself."""
        return self.stored.image

    def compare(self, expected: Expected, workers: int) -> Findings:
        """Hold it against what it has to be; raises ImageError for a base that cannot be read."""
        config = parsed(canonical_json(expected.config), "the config")
        runtime = config["config"]
        if not isinstance(runtime, dict):
            raise AssertionError("a config of ours says how to run it")
        tree = SingularityTree(runtime, self.stored.definition or "")
        layers = [*_base_rows(expected, workers), *(each.rows for each in expected.layers)]
        files, differences = _compare_root(self.stored, expected_root(layers, tree))
        differences += _compare_header(self.stored.file, str(config["architecture"]))
        differences += _compare_objects(self.stored, config, tree)
        return Findings(files, tuple(differences), _notes(self.stored))


def _base_rows(expected: Expected, workers: int) -> list[Rows]:
    """What the base's layers hold; raises ImageError, DigestMismatch where they are damaged."""
    found, unread = read_layers(expected.base, expected.layers, workers)
    if unread:
        raise ImageError(f"reading the base {expected.base.reference}: {unread[0]}")
    layers = [each for each in found if each is not None]
    for layer, came in zip(expected.base.layers, layers, strict=True):
        if came.diff_id != layer.diff_id:
            raise DigestMismatch(
                f"the tar in layer {layer.descriptor.digest}",
                want=str(layer.diff_id),
                got=str(came.diff_id),
                says="the base's config",
            )
    return [each.rows for each in layers]


def _compare_root(sif: StoredSif, want: Mapping[str, Node]) -> tuple[int, list[Difference]]:
    """How many paths there are, and what differs in them."""
    try:
        with sif.root(max_entries=_SPARE_ENTRIES + 2 * len(want)) as reader:
            found = stored_root(reader, want)
    except ImageError as error:
        got = f"what cannot be read ({sif.told(error)})"
        return 0, [Difference("sif", "root filesystem", "a squashfs", got)]
    return len(found), list(compare_files(want, found))


def _compare_header(file: SifFile, architecture: str) -> Iterator[Difference]:
    """The line that the kernel runs, and for which machine the file says it is."""
    want = LAUNCH.ljust(_LAUNCH_SIZE, b"\0")
    launch = b"".join(file.source.read(0, _LAUNCH_SIZE))
    if launch != want:
        yield Difference("sif", "header, its first line", _text(want), _text(launch))
    yield from _compare_architecture("header", architecture, file.header.architecture)


def _compare_architecture(where: str, want: str, got: bytes) -> Iterator[Difference]:
    if got != architecture_number(want):
        names = {number: name for name, number in ARCHITECTURES.items()}
        yield Difference("sif", f"{where}, its architecture", want, names.get(got, _text(got)))


def _compare_objects(
    sif: StoredSif, config: Mapping[str, object], tree: SingularityTree
) -> Iterator[Difference]:
    """Each data object is one that we write, and is there once; signatures may be there too."""
    checks: dict[tuple[int, str], Callable[[bytes], Iterator[Difference]]] = {
        (DataType.DEFINITION, DEFINITION): _compare_definition,
        (DataType.JSON, METADATA): lambda raw: compare_document(
            "sif", METADATA, parsed(tree.metadata(), METADATA), raw
        ),
        (DataType.JSON, OCI_CONFIG): lambda raw: compare_document("config", "config", config, raw),
        (DataType.JSON, PACKS): lambda raw: _compare_packs(sif.file),
    }
    primary = next((each for each in sif.file.objects if _is_primary(each)), None)
    for each in sif.file.objects:
        check = checks.pop((each.kind, each.name), None)
        if check is not None:
            yield from _compare_object(sif, each, check)
        elif each is primary:
            got = PARTITION.unpack_from(each.extra)[2]
            yield from _compare_architecture("primary partition", str(config["architecture"]), got)
        elif each.kind != DataType.SIGNATURE:
            yield Difference("sif", f"object {each.number}", None, str(in_words(each)))
    for _, name in checks:
        if name != PACKS:  # without it an update only takes more work
            yield Difference("sif", name, "a data object", None)


def _is_primary(found: Descriptor) -> bool:
    return found.partition is not None and found.partition[1] == PartitionType.PRIMARY


def _compare_object(
    sif: StoredSif, found: Descriptor, check: Callable[[bytes], Iterator[Difference]]
) -> Iterator[Difference]:
    try:
        differences = list(check(sif.file.read(found)))
    except ImageError as error:
        got = f"what cannot be read ({sif.told(error)})"
        differences = [Difference("sif", found.name, "a data object", got)]
    yield from differences


def _compare_definition(raw: bytes) -> Iterator[Difference]:
    """Which image it was is not proven: its digest depends on how layers were compressed."""
    if not _ORIGIN.fullmatch(raw):
        want = "bootstrap: docker, from: the digest of an image"
        yield Difference("sif", DEFINITION, want, raw.decode("utf-8", "replace"))


def _compare_packs(file: SifFile) -> Iterator[Difference]:
    """The list of packs against the bytes that it speaks of; what else it says helps nobody."""
    for place, each in enumerate(packs_in(file), 1):
        hashing = HashingWriter(lambda data: None)
        for chunk in file.source.read(each.offset, each.size):
            hashing.write(chunk)
        if hashing.digest != each.digest:
            where = f"{PACKS}, pack {place}"
            yield Difference("sif", where, str(hashing.digest), str(each.digest))


def _notes(sif: StoredSif) -> tuple[str, ...]:
    count = sif.signatures
    if not count:
        return ()
    words = "1 signature" if count == 1 else f"{count} signatures"
    return (f"the SIF holds {words}: by whom is not checked",)


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")
