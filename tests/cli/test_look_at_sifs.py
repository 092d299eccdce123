"""``inspect``, ``diff`` and ``ls`` tell of SIFs what they tell of images, as far as a SIF says it.

Proven on SIFs that ``build`` wrote, by the document of the build and the same image in a layout;
on SIFs written by hand, whose every field may be hostile; and on those of a real Apptainer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pixi_ship.sif.file import Part, lay_out, read_sif, root_partition
from pixi_ship.sif.format import PARTITION, DataType
from pixi_ship.sif.pieces import Pieces
from pixi_ship.squashfs.format import SquashfsCompression

from ..apptainer.conftest import apptainer_or_skip
from ..channel.conda_package import CondaPackage, File
from ..registry.client import Client
from ..registry.fake import FakeRegistry
from ..squashfs.sketch import Sketch
from ..tiny import Ran, Tiny, ship
from ..verification.sifs import CONFIG, METADATA, Sif, push_sif
from ..verification.tamper import digest_of
from .looking import surroundings, tiny

__all__ = ["surroundings", "tiny"]

CONTROL = "\x1b]0;owned\x07\x9b31m\r\n\u202e"


def built(tiny: Tiny, name: str = "x", *more: str) -> Path:
    """The workspace as a SIF, and as a tag of that name in the layout."""
    path = tiny.root / f"{name}.sif"
    words = tiny.words("--to", f"sif:{path}", *more, to=f"oci:{tiny.output}:{name}")
    ran = ship(*words)
    assert ran.status == 0, ran.err
    return path


def inspect(reference: str, *more: str) -> dict[str, Any]:
    (image,) = ship("inspect", reference, "--json", *more).document["images"]
    return dict(image)


def refused(ran: Ran, words: str) -> None:
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("error: ")
    assert words in ran.err


# inspect


def test_what_a_build_wrote(tiny: Tiny) -> None:
    """Everything but digest and layers is as in the image of layers."""
    sif = built(tiny)
    found, image = inspect(f"sif:{sif}"), inspect(f"oci:{tiny.output}:x")
    assert (found["digest"], found["layers"], found["size"]) == (None, [], sif.stat().st_size)
    same = image.keys() - {"digest", "layers", "size", "sif"}
    assert {name: found[name] for name in same} == {name: image[name] for name in same}
    assert image["sif"] is None
    facts = found["sif"]
    assert (facts["compression"], facts["signatures"]) == ("gzip", 0)
    assert facts["definition"] == f"bootstrap: docker\nfrom: {image['digest']}\n"
    objects = [(each["number"], each["kind"], each["name"]) for each in facts["objects"]]
    assert objects == [
        (1, "definition", "Singularity"),
        (2, "json", "inspect-metadata.json"),
        (3, "json", "oci-config.json"),
        (4, "json", "pixi-ship-packs.json"),
        (5, "primary partition", "rootfs"),
    ]
    assert [each["size"] for each in facts["objects"]] == [x.size for x in read_sif(sif).objects]


@pytest.mark.parametrize("codec", ["gzip", "lz4", "xz", "zstd"])
def test_codecs_and_packages(tiny: Tiny, codec: str) -> None:
    sif = built(tiny, "x", "--squashfs-compression", codec)
    found = inspect(f"sif:{sif}", "--packages")
    assert found["sif"]["compression"] == codec
    assert found["packages"] == inspect(f"oci:{tiny.output}:x", "--packages")["packages"]
    assert [each["name"] for each in found["packages"]] == ["other", "thing"]


def test_the_rows_that_people_see(tiny: Tiny) -> None:
    sif = built(tiny)
    found = Sif.read(sif)
    found.add(DataType.SIGNATURE, "part-signature")
    reference = found.write(tiny.root / "signed.sif")
    ran = ship("inspect", reference, "--packages")
    assert (ran.status, ran.err) == (0, "")
    rows = [line.split(None, 1) for line in ran.out.splitlines()]
    said = {row[0]: row[1] for row in rows if len(row) == 2}
    assert said["reference"] == reference
    assert said["platform"] == "linux-64 (linux/amd64)"
    assert said["environment"] == "default of tiny"
    assert said["definition"].startswith("bootstrap: docker from: sha256:")
    assert said["squashfs"] == "gzip"
    assert said["signatures"] == "1, by whom is not checked"
    assert re.fullmatch(r"6, \d+\.\d kB", said["objects"])
    assert said["5"].split()[:2] == ["primary", "partition"]
    assert said["thing"].split() == ["1.0", "h0000000_0", "conda"]
    assert "layers" not in said
    assert "labels" not in said


def test_in_a_registry_little_is_fetched(tiny: Tiny) -> None:
    """What is beside the root filesystem; for packages the whole, held against its digest."""
    tiny.lock(tiny.good(), _large(tiny))
    sif = built(tiny)
    data = sif.read_bytes()
    with FakeRegistry() as registry:
        reference = push_sif(registry, "a/b", "t", data)
        registry.log.clear()
        found = inspect(reference)
        assert sum(each.sent or 0 for each in registry.log) < len(data) // 2
        here = inspect(f"sif:{sif}")
        assert {**found, "digest": None} == here
        assert found["digest"] == registry.store.repository("a/b").tags["t"]
        assert inspect(reference, "--packages")["packages"]
        registry.store.blobs[digest_of(data)] = data[:-1] + b"\1"
        refused(ship("inspect", reference, "--packages"), digest_of(data))
        document = ship("inspect", reference, "--json").document
    assert document["attached"] == []


def _large(tiny: Tiny) -> Path:
    files = [File("share/large", Random(1).randbytes(1 << 20))]
    return CondaPackage("large", "1.0", list(files)).write(tiny.channel)


def test_nothing_is_kept(tiny: Tiny) -> None:
    sif = built(tiny)
    inspect(f"sif:{sif}")
    assert not (tiny.root / "cache-of-looking").exists()


# SIFs of others


def labels(found: dict[str, str]) -> bytes:
    return json.dumps({"data": {"attributes": {"labels": found}}, "type": "container"}).encode()


def foreign(path: Path, *parts: Part, root: Sketch | None = None, created: int = 1) -> str:
    """A SIF of these objects, with a root filesystem."""
    sketch = root or Sketch(SquashfsCompression.ZSTD)
    if root is None:
        sketch.file("hello", b"hello\n")
    body = Pieces.of(sketch.write(path.with_suffix(".squashfs")).read_bytes())
    made = lay_out([*parts, root_partition(body, "arm64")], "arm64", created)
    path.write_bytes(b"".join(made.read(0, made.size)))
    return f"sif:{path}"


def part(kind: DataType, name: str, data: bytes) -> Part:
    return Part(kind, name, Pieces.of(data))


def test_the_labels_that_apptainer_shows(tmp_path: Path) -> None:
    data = labels({"Maker": "me"})
    reference = foreign(tmp_path / "x.sif", part(DataType.JSON, METADATA, data))
    found = inspect(reference)
    assert found["labels"] == {"Maker": "me"}
    assert (found["oci_platform"], found["platform"]) == ("linux/arm64", None)
    assert found["created"] == "1970-01-01T00:00:01Z"
    assert (found["config_digest"], found["environment"], found["env"]) == (None, None, {})
    assert found["sif"]["compression"] == "zstd"
    out = ship("inspect", reference).out
    assert "labels       Maker=me\n" in out


def test_the_labels_in_the_root(tmp_path: Path) -> None:
    """Where no object tells."""
    sketch = Sketch(SquashfsCompression.XZ)
    sketch.directory(".singularity.d")
    sketch.file(".singularity.d/labels.json", b'{"Maker": "me"}')
    reference = foreign(tmp_path / "x.sif", root=sketch)
    assert inspect(reference)["labels"] == {"Maker": "me"}


def test_the_config_that_apptainer_keeps(tmp_path: Path) -> None:
    """It is the part that says how to run the image."""
    config = {"Env": ["A=1"], "Entrypoint": ["/x"], "Cmd": ["y"], "Labels": {"a": "1", "b": "1"}}
    found = inspect(
        foreign(
            tmp_path / "x.sif",
            part(DataType.JSON, CONFIG, json.dumps(config).encode()),
            part(DataType.JSON, METADATA, labels({"b": "2"})),
        )
    )
    assert (found["env"], found["entrypoint"], found["command"]) == ({"A": "1"}, ["/x"], ["y"])
    assert found["labels"] == {"a": "1", "b": "2"}


def test_no_lock_to_list(tiny: Tiny, tmp_path: Path) -> None:
    refused(ship("inspect", foreign(tmp_path / "x.sif"), "--packages"), "has no lock to list")
    found = Sif.read(built(tiny))
    found.remove("app/pixi.lock")
    reference = found.write(tmp_path / "y.sif")
    refused(ship("inspect", reference, "--packages"), f"/app/pixi.lock of {reference}: there is no")


def test_nothing_but_a_header(tmp_path: Path) -> None:
    made = lay_out([], "s390x", 0)
    (tmp_path / "x.sif").write_bytes(b"".join(made.read(0, made.size)))
    found = inspect(f"sif:{tmp_path / 'x.sif'}")
    assert found["oci_platform"] == "linux/s390x"
    assert found["sif"] == {
        "compression": None,
        "signatures": 0,
        "definition": None,
        "objects": [],
    }
    assert ship("inspect", f"sif:{tmp_path / 'x.sif'}").status == 0


def test_every_kind_of_object(tmp_path: Path) -> None:
    names = {
        0x4002: "environment",
        0x4003: "labels",
        0x4005: "signature",
        0x4007: "generic",
        0x4008: "message",
        0x4009: "sbom",
        0x400A: "oci index",
        0x400B: "oci blob",
        0x4242: "type 0x4242",
    }
    parts = [Part(each, "", Pieces.of(b"x")) for each in names]  # type: ignore[arg-type]
    purposes = {1: "system", 3: "data", 4: "overlay", 9: "unknown"}
    parts += [
        Part(DataType.PARTITION, "", Pieces.of(b"x"), PARTITION.pack(2, each, b"02\0"))
        for each in purposes
    ]
    found = inspect(foreign(tmp_path / "x.sif", *parts))["sif"]
    kinds = [each["kind"] for each in found["objects"]]
    partitions = [f"{each} partition" for each in (*purposes.values(), "primary")]
    assert kinds == [*names.values(), *partitions]
    assert found["signatures"] == 1


ODD: dict[str, Callable[[Path], str]] = {
    "metadata that is no JSON": lambda path: foreign(path, part(DataType.JSON, METADATA, b"{")),
    "metadata that is a list": lambda path: foreign(path, part(DataType.JSON, METADATA, b"[1]")),
    "metadata without end": lambda path: foreign(
        path, part(DataType.JSON, METADATA, b"[" * 100_000)
    ),
    "labels that are none": lambda path: foreign(
        path, part(DataType.JSON, METADATA, b'{"data":{"attributes":{"labels":[1]}}}')
    ),
    "a config of odd fields": lambda path: foreign(
        path, part(DataType.JSON, CONFIG, b'{"Env":7,"Cmd":"x","Labels":[],"Entrypoint":{}}')
    ),
    "a time far away": lambda path: foreign(path, created=(1 << 62)),
    "a time before all": lambda path: foreign(path, created=-(1 << 62)),
    "a definition that is no text": lambda path: foreign(
        path, part(DataType.DEFINITION, "", bytes(range(256)))
    ),
    "names that would write on their own": lambda path: foreign(
        path,
        part(DataType.DEFINITION, CONTROL, CONTROL.encode()),
        part(DataType.JSON, METADATA, labels({CONTROL: CONTROL})),
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_what_others_may_write(tmp_path: Path, name: str) -> None:
    """It is described as far as it tells, and nothing of it reaches a terminal as it is."""
    reference = ODD[name](tmp_path / "x.sif")
    found = inspect(reference)
    assert found["sif"]["objects"]
    ran = ship("inspect", reference)
    assert (ran.status, ran.err) == (0, "")
    assert all(line.isprintable() for line in ran.out.splitlines())


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "it is no SIF"),
    "an archive": (lambda data: b"\x1f\x8b" + bytes(6000), "it is no SIF"),
    "half": (lambda data: data[: len(data) // 2], "descriptors ends too early"),
    "a byte short": (lambda data: data[:-1], "lies outside the file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_sif(tiny: Tiny, name: str) -> None:
    change, words = BROKEN[name]
    path = tiny.root / "broken.sif"
    path.write_bytes(change(built(tiny).read_bytes()))
    refused(ship("inspect", f"sif:{path}"), words)


def test_a_config_that_is_damaged(tiny: Tiny) -> None:
    found = Sif.read(built(tiny))
    found.named(CONFIG).data = b"{"
    refused(ship("inspect", found.write(tiny.root / "y.sif")), f"{CONFIG}: it is not JSON")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    refused(ship("inspect", f"sif:{tmp_path / 'none.sif'}"), "No such file")


@pytest.mark.contract
def test_what_apptainer_builds(tmp_path: Path) -> None:
    apptainer = apptainer_or_skip("root", tmp_path / "apptainer")
    home = apptainer.folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    text = "Bootstrap: scratch\n%labels\n  Maker me\n%runscript\n  echo hi\n"
    (home / "x.def").write_text(text)
    done = apptainer.run("build", "x.sif", "x.def")
    assert done.returncode == 0, done.stderr
    found = inspect(f"sif:{home / 'x.sif'}")
    assert found["labels"]["Maker"] == "me"
    assert found["sif"]["definition"] == text
    assert found["sif"]["compression"] == "gzip"
    kinds = [each["kind"] for each in found["sif"]["objects"]]
    assert kinds == ["definition", "json", "primary partition"]


# diff


def diff(old: str, new: str, *more: str) -> dict[str, Any]:
    return ship("diff", old, new, "--json", *more).document


@pytest.fixture
def pair(tiny: Tiny) -> tuple[Path, Path]:
    """Two SIFs of two locks; their images are the tags ``old`` and ``new``."""
    old = built(tiny, "old")
    tiny.lock(tiny.good(), tiny.good("came"))
    return old, built(tiny, "new")


def test_two_sifs(tiny: Tiny, pair: tuple[Path, Path]) -> None:
    """As the two images of layers differ, but for the layers."""
    found = diff(*(f"sif:{each}" for each in pair))
    want = diff(f"oci:{tiny.output}:old", f"oci:{tiny.output}:new")
    (image,), (other,) = found["images"], want["images"]
    for name in ("packages", "env", "labels", "settings"):
        assert image[name] == other[name]
    assert image["labels"], "there was something to compare"
    size = pair[1].stat().st_size
    assert image["pull"] == {"size": size, "blobs": 1, "of": size}
    assert (image["layers"], image["layers_gone"]) == ([], [])
    assert (found["same"], image["same"]) == (False, False)
    assert found["warnings"] == ["layers are not compared: both are SIFs, in which there are none"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_sif_and_an_image(tiny: Tiny, pair: tuple[Path, Path], order: int) -> None:
    old, new = [f"sif:{pair[0]}", f"oci:{tiny.output}:new"][::order]
    found = diff(old, new)
    (image,) = found["images"]
    names = ["came" if order == 1 else "other", "other" if order == 1 else "came"]
    assert [each["name"] for each in image["packages"]["added"]] == names[:1]
    assert [each["name"] for each in image["packages"]["removed"]] == names[1:]
    assert (image["layers"], image["layers_gone"], found["same"]) == ([], [], False)
    assert image["pull"]["size"] == image["pull"]["of"] > 0
    assert found["warnings"] == [
        f"layers are not compared: sif:{pair[0]} is a SIF, in which there are none"
    ]


def test_a_sif_and_the_image_that_it_was_made_from(tiny: Tiny) -> None:
    """They are the same image, though no byte of it is."""
    sif = built(tiny)
    found = diff(f"sif:{sif}", f"oci:{tiny.output}:x")
    (image,) = found["images"]
    assert (found["same"], image["same"]) == (True, True)
    assert (image["env"], image["labels"], image["settings"]) == ([], [], [])
    assert ship("diff", f"sif:{sif}", f"oci:{tiny.output}:x", "--exit-code").status == 0
    ran = ship("diff", f"sif:{sif}", f"oci:{tiny.output}:x")
    assert "platform     linux-64 (linux/amd64), the same image\n" in ran.out
    assert "layers" not in ran.out


def test_the_same_sif(tiny: Tiny) -> None:
    sif = built(tiny)
    copy = tiny.root / "copy.sif"
    copy.write_bytes(sif.read_bytes())
    (image,) = diff(f"sif:{sif}", f"sif:{copy}")["images"]
    assert image["same"]
    assert image["pull"] == {"size": 0, "blobs": 0, "of": sif.stat().st_size}


def test_another_codec(tiny: Tiny) -> None:
    old, new = built(tiny, "a"), built(tiny, "b", "--squashfs-compression", "xz")
    found = diff(f"sif:{old}", f"sif:{new}")
    (image,) = found["images"]
    assert image["settings"] == [{"name": "squashfs", "old": "gzip", "new": "xz"}]
    assert not found["same"]
    assert "'pixi ship verify' tells whether their files do" in found["warnings"][-1]
    assert "squashfs     gzip → xz\n" in ship("diff", f"sif:{old}", f"sif:{new}").out


def test_other_bytes_of_the_same_size(tiny: Tiny) -> None:
    """They are read to the last one."""
    sif = built(tiny)
    data = bytearray(sif.read_bytes())
    data[-1] ^= 1
    other = tiny.root / "other.sif"
    other.write_bytes(data)
    found = diff(f"sif:{sif}", f"sif:{other}")
    assert not found["same"]
    assert len(found["warnings"]) == 2
    assert ship("diff", f"sif:{sif}", f"sif:{other}", "--exit-code").status == 1


def test_a_sif_of_others(tiny: Tiny, tmp_path: Path) -> None:
    made = lay_out([part(DataType.JSON, METADATA, labels({"Maker": "me"}))], "amd64", 0)
    (tmp_path / "other.sif").write_bytes(b"".join(made.read(0, made.size)))
    found = diff(f"sif:{built(tiny)}", f"sif:{tmp_path / 'other.sif'}")
    (image,) = found["images"]
    assert image["packages"] is None
    assert {"name": "Maker", "old": None, "new": "me"} in image["labels"]
    assert any("packages are not compared" in each for each in found["warnings"])


def test_for_another_machine(tiny: Tiny, tmp_path: Path) -> None:
    ran = ship("diff", f"sif:{built(tiny)}", foreign(tmp_path / "other.sif"))
    refused(ran, "they have no platform in common")


def test_in_a_registry(tiny: Tiny, pair: tuple[Path, Path]) -> None:
    with FakeRegistry() as registry:
        old, new = (push_sif(registry, "a/b", each.stem, each.read_bytes()) for each in pair)
        found, here = diff(old, new), diff(*(f"sif:{each}" for each in pair))
        same = diff(old, f"sif:{pair[0]}")
    assert found["old"]["digest"] == registry.store.repository("a/b").tags["old"]
    for each in (found, here):
        for image in each["images"]:
            for side in ("old", "new"):
                image[side]["digest"] = None
    assert found["images"] == here["images"]
    assert same["same"]


# ls


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as found:
        yield found


def test_a_tag_that_is_a_sif(tiny: Tiny, registry: FakeRegistry) -> None:
    place = f"{registry.address}/a/b"
    data = built(tiny).read_bytes()
    push_sif(registry, "a/b", "sif", data)
    assert ship(*tiny.words(to=f"docker://{place}:image")).status == 0
    registry.log.clear()
    rows = {row["tag"]: row for row in ship("ls", f"docker://{place}", "--json").document["tags"]}
    assert rows["sif"] == {
        "tag": "sif",
        "digest": registry.store.repository("a/b").tags["sif"],
        "size": len(data),
        "sif": True,
        "images": [],
        "problem": None,
    }
    assert (rows["image"]["sif"], len(rows["image"]["images"])) == (False, 1)
    assert not registry.log.matching("GET", f"/blobs/{digest_of(data)}"), "it is not opened"
    ran = ship("ls", f"docker://{place}")
    (line,) = (line for line in ran.out.splitlines() if line.startswith("sif "))
    assert line.split()[-1] == "SIF"
    document = ship("ls", f"oras://{place}", "--json").document
    assert document["repository"] == f"oras://{place}"
    assert {row["tag"] for row in document["tags"]} == {"sif", "image"}


def test_a_sif_that_a_build_pushed(tiny: Tiny, registry: FakeRegistry) -> None:
    place = f"oras://{registry.address}/a/b"
    assert ship(*tiny.words(to=f"{place}:1")).status == 0
    (row,) = ship("ls", place, "--json").document["tags"]
    assert (row["tag"], row["sif"], row["problem"]) == ("1", True, None)


def test_an_artifact_that_is_none(registry: FakeRegistry) -> None:
    """Two layers cannot be a SIF: a row with its problem, as for other broken tags."""
    from_it = push_sif(registry, "a/b", "good", b"data")
    held = registry.store.repository("a/b")
    manifest = json.loads(held.manifests[held.tags["good"]].data)
    manifest["layers"] *= 2
    client = Client(registry.address)
    assert client.push_manifest("a/b", "bad", manifest).status == 201
    rows = ship("ls", from_it.rpartition(":")[0], "--json").document["tags"]
    found = {row["tag"]: row for row in rows}
    assert "several layers" in found["bad"]["problem"]
    assert not found["bad"]["sif"]
    assert found["good"]["size"] == 4
