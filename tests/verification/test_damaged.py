"""An image that does not fit together ends in exit code 1, a clear line, and bounded memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pixi_ship.verification.contents as contents
import pixi_ship.verification.layers as layers

from ..tiny import Ran
from .case import Case
from .tamper import END, RECORD, Image, blob_path, gzipped, joined, piece, zstd_packed

LAST = 6


@pytest.fixture
def copy(case: Case, tmp_path: Path) -> Path:
    """The layout, to be damaged."""
    return Path(shutil.copytree(case.layout, tmp_path / "copy"))


def document(folder: Path, digest: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(blob_path(folder, digest).read_bytes())
    return found


def manifest_digest(folder: Path) -> str:
    (row,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    return str(row["digest"])


def blobs(folder: Path) -> dict[str, Path]:
    """The image's blobs by what they are."""
    digest = manifest_digest(folder)
    manifest = document(folder, digest)
    rows = {f"layer {n}": each for n, each in enumerate(manifest["layers"], 1)}
    rows["config"] = manifest["config"]
    found = {name: blob_path(folder, row["digest"]) for name, row in rows.items()}
    return {**found, "manifest": blob_path(folder, digest)}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def refused(ran: Ran, *words: str) -> None:
    """One error, in one line and perhaps a hint, and nothing on stdout."""
    assert (ran.status, ran.out) == (1, "")
    first, *hints = ran.err.splitlines()
    assert first.startswith("error: ")
    assert all(word in first for word in words), first
    assert all(hint.startswith("  hint: ") for hint in hints)


LAYERS = [f"layer {place}" for place in range(1, LAST + 2)]


@pytest.mark.parametrize("name", LAYERS)
def test_a_bit_in_a_layer(case: Case, copy: Path, name: str) -> None:
    """The layer is named; without it files cannot be compared, and are not said to differ."""
    path = blobs(copy)[name]
    flip(path)
    verdict = case.verify(f"oci:{copy}:t")
    verdict.differs(("layer", name))
    want, got = verdict.of(name)
    assert want == f"sha256:{path.name}"
    assert got is not None
    assert got.startswith("what is damaged (reading ")
    assert verdict.document["images"][0]["files"] == 0


@pytest.mark.parametrize("name", ["config", "manifest"])
def test_a_bit_in_a_document(case: Case, copy: Path, name: str) -> None:
    flip(blobs(copy)[name])
    refused(case.verify(f"oci:{copy}:t").ran, "digest is sha256:", "its manifest says sha256:")


@pytest.mark.parametrize("name", [*LAYERS, "config", "manifest"])
def test_a_blob_cut_short(case: Case, copy: Path, name: str) -> None:
    path = blobs(copy)[name]
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    refused(
        case.verify(f"oci:{copy}:t").ran,
        f"blob sha256:{path.name} has {len(data) - 1} bytes, its descriptor says {len(data)}",
    )


@pytest.mark.parametrize("name", [*LAYERS, "config", "manifest"])
def test_a_blob_that_is_not_there(case: Case, copy: Path, name: str) -> None:
    path = blobs(copy)[name]
    path.unlink()
    refused(case.verify(f"oci:{copy}:t").ran, f"blobs/sha256/{path.name}: No such file")


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_another_size(case: Case, tmp_path: Path, size: int) -> None:
    def tamper(image: Image) -> None:
        image.edit = lambda manifest: manifest["layers"][3].__setitem__("size", size)

    refused(case.verify(case.tampered(tmp_path / "x", tamper)).ran, f"its descriptor says {size}")


@pytest.mark.parametrize("size", [-1, "12", None, True, 1.5])
def test_a_size_that_is_none(case: Case, tmp_path: Path, size: object) -> None:
    def tamper(image: Image) -> None:
        image.edit = lambda manifest: manifest["layers"][3].__setitem__("size", size)

    refused(case.verify(case.tampered(tmp_path / "x", tamper)).ran, "a descriptor has size ")


def test_a_tar_cut_short_where_a_file_is(case: Case, tmp_path: Path) -> None:
    """The blob's digest is right; the tar in it ends too early."""

    def tamper(image: Image) -> None:
        image.layers[LAST] = image.layers[LAST][: -1024 - RECORD]

    verdict = case.verify(case.tampered(tmp_path / "x", tamper))
    verdict.differs(("layer", "layer 7"))
    assert "bytes too early" in str(verdict.of("layer 7")[1])


PACKED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "gzip cut short": (lambda tar: gzipped(tar)[:-9], "ends too early"),
    "gzip with a wrong sum": (lambda tar: gzipped(tar)[:-8] + bytes(8), ""),
    "something after gzip": (lambda tar: gzipped(tar) + b"more" * 20, ""),
    "no gzip": (lambda tar: b"plain text", ""),
    "a plain tar called gzip": (lambda tar: tar, ""),
    "nothing": (lambda tar: b"", "ends too early"),
    "no tar in gzip": (lambda tar: gzipped(b"x" * 2048), "a header "),
    "a part of a record in gzip": (lambda tar: gzipped(tar[:100]), "ends within a header"),
    "a number of 5000 digits": (
        lambda tar: gzipped(joined([_with_records({"uid": "9" * 5000})])),
        "4300",
    ),
    "a pax record that lies of its length": (
        lambda tar: gzipped(_raw_pax(b"99 path=x\n")),
        "a damaged pax header",
    ),
    "an extended header of a gigabyte": (
        lambda tar: gzipped(zeros(1 << 30, b"x") + END),
        "an extended header of 1073741824 bytes",
    ),
}


def _with_records(records: dict[str, str]) -> Any:
    return piece("x", pax_headers=records)


def _raw_pax(records: bytes) -> bytes:
    return piece("x", records.ljust(RECORD, b"\0"), type=b"x", size=len(records)).raw + END


@pytest.mark.parametrize("name", PACKED)
def test_a_layer_that_cannot_be_unpacked(case: Case, tmp_path: Path, name: str) -> None:
    """All digests of blobs are right."""
    pack, words = PACKED[name]
    image = case.image()
    broken = image.layers[LAST]
    reference = image.write(
        tmp_path / "x", pack=lambda tar: pack(tar) if tar is broken else gzipped(tar)
    )
    verdict = case.verify(reference)
    verdict.differs(("layer", "layer 7"))
    got = str(verdict.of("layer 7")[1])
    assert got.startswith("what is damaged (reading ")
    assert words in got


def test_zstd_cut_short(case: Case, tmp_path: Path) -> None:
    reference = case.image().write(tmp_path / "x", pack=zstd_packed)
    case.verify(reference).holds()
    cut = case.image().write(tmp_path / "y", pack=lambda tar: zstd_packed(tar)[:-20])
    manifest = document(tmp_path / "y", manifest_digest(tmp_path / "y"))
    assert all(row["mediaType"].endswith("gzip") for row in manifest["layers"])
    verdict = case.verify(cut)
    assert {kind for kind, _ in verdict.found} == {"layer"}
    assert len(verdict.found) == LAST + 1


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/zip"])
def test_a_layer_of_another_kind(case: Case, tmp_path: Path, media_type: str) -> None:
    def tamper(image: Image) -> None:
        image.edit = lambda manifest: manifest["layers"][3].__setitem__("mediaType", media_type)

    refused(case.verify(case.tampered(tmp_path / "x", tamper)).ran, repr(media_type))


DOCUMENTS: dict[str, Callable[[Image], object]] = {
    "no list of layers": lambda image: setattr(
        image, "edit", lambda manifest: manifest.__setitem__("layers", {})
    ),
    "no layers": lambda image: setattr(
        image, "edit", lambda manifest: manifest.__setitem__("layers", [])
    ),
    "no config": lambda image: setattr(image, "edit", lambda manifest: manifest.pop("config")),
    "a manifest of numbers": lambda image: setattr(image, "edit_raw", lambda data: b"[1]"),
    "a manifest without end": lambda image: setattr(image, "edit_raw", lambda data: b"[" * 100_000),
    "no JSON": lambda image: setattr(image, "edit_raw", lambda data: b"\xff\xfe"),
    "a config of text": lambda image: setattr(image, "raw_config", lambda data: b'"x"'),
    "a config without root": lambda image: setattr(image, "raw_config", lambda data: b"{}"),
    "a digest that is none": lambda image: setattr(
        image, "raw_config", lambda data: b'{"rootfs":{"diff_ids":["sha256:no"]}}'
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_is_none(case: Case, tmp_path: Path, name: str) -> None:
    refused(case.verify(case.tampered(tmp_path / "x", DOCUMENTS[name])).ran, "reading oci:")


@pytest.mark.parametrize(
    "reference", ["oci:{}/nowhere", "oci-archive:{}/no", "docker-archive:{}/no"]
)
def test_no_image(case: Case, tmp_path: Path, reference: str) -> None:
    refused(case.verify(reference.format(tmp_path)).ran, str(tmp_path))


def test_an_index_of_nothing(case: Case, tmp_path: Path) -> None:
    image = case.image()
    image.edit_raw = lambda data: b'{"schemaVersion": 2, "manifests": []}'
    reference = image.write(tmp_path / "x")
    refused(case.verify(reference).ran, f"{reference} has no image")


# Bombs. Their size unpacked is far above the memory that verify may take.

MEMORY = 400 << 20
"""Bytes; the sound image takes some 100 MB."""


# The system's figure for a child counts what its parent had, so the child tells its own.
WATCHED = """
import atexit, re, sys
from pathlib import Path

def tell():
    status = Path("/proc/self/status").read_text()
    Path(sys.argv[1]).write_text(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])

atexit.register(tell)
from pixi_ship.cli import main
main(sys.argv[2:])
"""


def peak(case: Case, reference: str) -> tuple[Ran, int]:
    """Run verify by itself; returns the most memory that it took, in bytes."""
    words = ["verify", reference, *map(str, case.words("--json", "--workers", "2"))]
    told = case.tiny.root / "bomb.peak"
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED, str(told), *words], capture_output=True, text=True
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr), int(told.read_text()) << 10


def zeros(size: int, kind: bytes = b"0") -> bytes:
    """The header of a member of that many bytes."""
    header = bytearray(piece("app/zeros", type=kind).raw[:RECORD])
    header[124:136] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


UNIT = 16 << 20


def packed_zeros(size: int, kind: str) -> bytes:
    """`zeros` and their bytes, compressed; a piece of them is packed once, and then repeated."""
    if kind == "zstd":
        return zstd_packed(zeros(size)) + zstd_packed(bytes(UNIT)) * (size // UNIT)
    return b"".join(
        [
            b"\x1f\x8b\x08\0\0\0\0\0\0\xff",  # RFC 1952: deflate, no name, no time
            _deflated(zeros(size)),
            _deflated(bytes(UNIT)) * (size // UNIT),
        ]
    )


def _deflated(data: bytes) -> bytes:
    """Blocks that refer to nothing before them, and are not the last."""
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    return pack.compress(data) + pack.flush(zlib.Z_FULL_FLUSH)


@pytest.mark.parametrize(("kind", "size"), [("zstd", 1 << 30), ("gzip", 512 << 20)])
def test_a_bomb(case: Case, tmp_path: Path, kind: str, size: int) -> None:
    """Gigabytes of zeros in a small blob: reading stops long before its end."""
    bomb = packed_zeros(size, kind)
    assert len(bomb) < size // 900
    image = case.image()
    image.layers.append(b"")
    reference = image.write(
        tmp_path / "x", pack=lambda tar: bomb if not tar else _as(kind)(tar), kind=kind
    )
    ran, memory = peak(case, reference)
    assert ran.status == 1
    assert not ran.err
    (row,) = (
        each
        for each in json.loads(ran.out)["images"][0]["differences"]
        if each["where"] == "layer 8" and each["want"] is not None
    )
    assert "it unpacks to more than" in row["got"]
    assert memory < MEMORY


def _as(kind: str) -> Callable[[bytes], bytes]:
    return zstd_packed if kind == "zstd" else gzipped


def test_a_bomb_behind_the_end_of_the_tar(case: Case, tmp_path: Path) -> None:
    """No reader of tars goes there, but the digest is of everything."""
    image = case.image()
    image.layers[LAST] = image.layers[LAST] + bytes(300 << 20)
    verdict = case.verify(image.write(tmp_path / "x", pack=zstd_packed))
    verdict.differs(("layer", "layer 7"))
    assert "it unpacks to more than" in str(verdict.of("layer 7")[1])


def test_a_bomb_of_entries(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry takes memory: there may not be a million more than there should be."""
    assert layers._SPARE_ENTRIES == 1_000_000
    monkeypatch.setattr(layers, "_SPARE_ENTRIES", 1000)
    image = case.image()
    image.change(LAST, lambda found: found.extend([piece("more")] * 2000))
    verdict = case.verify(image.write(tmp_path / "x"))
    assert verdict.ran.status == 1
    assert "more entries than any image needs" in verdict.ran.out
    assert {kind for kind, _ in verdict.found} == {"layer"}


def test_a_bomb_of_directories(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path of 4 kB implies two thousand directories."""
    assert contents._MAX_UNLISTED == 1_000_000
    monkeypatch.setattr(contents, "_MAX_UNLISTED", 3000)
    image = case.image()
    image.add("/".join("a" * 2000))
    image.add("/".join("b" * 2000))
    refused(case.verify(image.write(tmp_path / "x")).ran, "leave 3000 directories unlisted")
