"""What is beside the root filesystem of a SIF is what we write, and nothing more.

Apptainer runs by more than the files: partitions are mounted over them, documents are shown in
their place, and the first line is what the kernel runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.sif.file import read_sif
from pixi_ship.sif.format import PARTITION, DataType, PartitionType

from ..tiny import ship
from .case import Case, Found
from .sifs import CONFIG, METADATA, PACKS, Object, Sif, copied
from .test_sif_files import ONE

Tamper = Callable[[Sif], object]

TABLE, ROW = 4096, 585  # where the descriptors are, and bytes of one
ROOT = 4  # the row of the root filesystem


def attributes(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["data"]["attributes"]
    return found


def in_metadata(name: str, value: object) -> Tamper:
    return lambda found: found.change_json(
        METADATA, lambda document: attributes(document).__setitem__(name, value)
    )


def in_config(change: Callable[[dict[str, Any]], object]) -> Tamper:
    return lambda found: found.change_json(CONFIG, change)


def written(name: str, change: Callable[[bytes], bytes]) -> Tamper:
    return lambda found: setattr(found.named(name), "data", change(found.named(name).data))


def partition(filesystem: int, purpose: PartitionType, architecture: bytes = b"02\0") -> bytes:
    return PARTITION.pack(filesystem, purpose, architecture).ljust(384, b"\0")


def with_partition(filesystem: int, purpose: PartitionType) -> Tamper:
    def tamper(found: Sif) -> None:
        data = found.named("rootfs").data
        found.add(DataType.PARTITION, "more", data, partition(filesystem, purpose))

    return tamper


def again(name: str) -> Tamper:
    """The same object a second time."""
    return lambda found: found.objects.append(Object(**vars(found.named(name))))


DOCUMENTS: dict[str, tuple[Tamper, Found]] = {
    "another runscript is shown": (
        in_metadata("runscript", "#!/bin/sh\n"),
        [("sif", f"{METADATA}.data.attributes.runscript")],
    ),
    "another startscript is shown": (
        in_metadata("startscript", "#!/bin/sh\nx\n"),
        [("sif", f"{METADATA}.data.attributes.startscript")],
    ),
    "another definition is shown": (
        in_metadata("deffile", "bootstrap: docker\nfrom: other\n"),
        [("sif", f"{METADATA}.data.attributes.deffile")],
    ),
    "other labels are shown": (
        lambda found: found.change_json(
            METADATA, lambda document: attributes(document)["labels"].update(maker="me")
        ),
        [("sif", f"{METADATA}.data.attributes.labels.maker")],
    ),
    "another variable is shown": (
        lambda found: found.change_json(
            METADATA,
            lambda document: attributes(document)["environment"].update({"/x.sh": "export A=1"}),
        ),
        [("sif", f"{METADATA}.data.attributes.environment./x.sh")],
    ),
    "a field is shown besides": (
        in_metadata("helpfile", "help"),
        [("sif", f"{METADATA}.data.attributes.helpfile")],
    ),
    "metadata with a blank": (
        written(METADATA, lambda data: data + b" "),
        [("sif", f"{METADATA}, its bytes")],
    ),
    "metadata with a name twice": (
        written(METADATA, lambda data: b'{"type":"container",' + data[1:]),
        [("sif", f"{METADATA}, its bytes")],
    ),
    "metadata that is no JSON": (written(METADATA, lambda data: b"{"), [("sif", METADATA)]),
    "metadata that is a list": (written(METADATA, lambda data: b"[]"), [("sif", METADATA)]),
    "no metadata": (lambda found: found.drop(METADATA), [("sif", METADATA)]),
    "metadata twice": (again(METADATA), [("sif", "object 6")]),
    "metadata of another type": (
        lambda found: setattr(found.named(METADATA), "kind", DataType.GENERIC),
        [("sif", "object 2"), ("sif", METADATA)],
    ),
    "a variable in the config": (
        in_config(lambda config: config["config"]["Env"].append("LD_PRELOAD=/x")),
        [("config", "config.config.Env.LD_PRELOAD")],
    ),
    "a label in the config": (
        in_config(lambda config: config["config"]["Labels"].update(maker="me")),
        [("config", "config.config.Labels.maker")],
    ),
    "the layers in the config": (
        in_config(lambda config: config["rootfs"].update(diff_ids=[])),
        [("config", "config.rootfs.diff_ids")],
    ),
    "the config's entrypoint": (
        in_config(lambda config: config["config"].update(Entrypoint=["/bin/sh"])),
        [("config", "config.config.Entrypoint")],
    ),
    "the config's architecture": (
        in_config(lambda config: config.update(architecture="arm64")),
        [("config", "config.architecture")],
    ),
    "a config with a blank": (
        written(CONFIG, lambda data: data + b"\n"),
        [("config", "config, its bytes")],
    ),
    "a config twice": (again(CONFIG), [("sif", "object 6")]),
    "another definition": (
        written("Singularity", lambda data: b"bootstrap: docker\nfrom: other\n"),
        [
            ("sif", "Singularity"),
            ("sif", f"{METADATA}.data.attributes.deffile"),
            ("file", "/.singularity.d/Singularity"),
        ],
    ),
    "a definition of another image": (
        written("Singularity", lambda data: data[:-9] + b"01234567\n"),
        [
            ("sif", f"{METADATA}.data.attributes.deffile"),
            ("file", "/.singularity.d/Singularity"),
        ],
    ),
    "a definition with more in it": (
        written("Singularity", lambda data: data + b"%post\n  x\n"),
        [
            ("sif", "Singularity"),
            ("sif", f"{METADATA}.data.attributes.deffile"),
            ("file", "/.singularity.d/Singularity"),
        ],
    ),
    "no definition": (
        lambda found: found.drop("Singularity"),
        [
            ("sif", "Singularity"),
            ("sif", f"{METADATA}.data.attributes.deffile"),
            ("file", "/.singularity.d/Singularity"),
        ],
    ),
    "a list of packs that lies": (
        lambda found: found.change_json(
            PACKS, lambda document: document["packs"][1].update(digest=f"sha256:{'7' * 64}")
        ),
        [("sif", f"{PACKS}, pack 2")],
    ),
    "a list of packs that lie elsewhere": (
        lambda found: found.change_json(
            PACKS, lambda document: document["packs"][1].update(size=1 << 40)
        ),
        [("sif", PACKS)],
    ),
    "a list of packs that is none": (written(PACKS, lambda data: b"[]"), [("sif", PACKS)]),
    "packs twice": (again(PACKS), [("sif", "object 6")]),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document(case: Case, sif: Path, tmp_path: Path, name: str) -> None:
    tamper, where = DOCUMENTS[name]
    found = Sif.read(sif)
    tamper(found)
    case.verify(found.write(tmp_path / "x.sif")).differs(*where)


def squashed(found: Sif, path: Path) -> bytes:
    """A root with one file changed."""
    other = Sif([Object(0x4004, "rootfs", b"")], copied(found.root), found.architecture)
    other.flip(ONE)
    other.write(path)
    return other.named("rootfs").data


PARTITIONS: dict[str, tuple[Tamper, str]] = {
    "an overlay, ext3": (with_partition(2, PartitionType.OVERLAY), "overlay partition 'more'"),
    "an overlay, squashfs": (with_partition(1, PartitionType.OVERLAY), "overlay partition 'more'"),
    "data": (with_partition(1, PartitionType.DATA), "data partition 'more'"),
    "another system": (with_partition(1, PartitionType.SYSTEM), "system partition 'more'"),
    "a second root": (with_partition(1, PartitionType.PRIMARY), "primary partition 'more'"),
    "of no known purpose": (
        lambda found: found.add(
            DataType.PARTITION, "more", b"x", PARTITION.pack(1, 77, b"02\0").ljust(384, b"\0")
        ),
        "unknown partition 'more'",
    ),
    "variables": (lambda found: found.add(DataType.ENVIRONMENT, "more"), "environment 'more'"),
    "labels": (lambda found: found.add(DataType.LABELS, "more"), "labels 'more'"),
    "generic": (lambda found: found.add(DataType.GENERIC, "more"), "generic 'more'"),
    "JSON of another name": (lambda found: found.add(DataType.JSON, "more"), "json 'more'"),
    "a second definition": (lambda found: found.add(DataType.DEFINITION, ""), "definition"),
}


@pytest.mark.parametrize("name", PARTITIONS)
def test_an_object_too_much(case: Case, sif: Path, tmp_path: Path, name: str) -> None:
    tamper, words = PARTITIONS[name]
    found = Sif.read(sif)
    tamper(found)
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    verdict.differs(("sif", "object 6"))
    want, got = verdict.of("object 6")
    assert want is None
    assert got == f"{words}, {len(found.objects[5].data)} bytes"


def test_another_root_before_ours(case: Case, sif: Path, tmp_path: Path) -> None:
    """Whichever of the two is taken, something is told."""
    found = Sif.read(sif)
    extra = found.named("rootfs").extra
    data = squashed(found, tmp_path / "other.sif")
    found.objects.insert(0, Object(DataType.PARTITION, "more", data, extra))
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    assert {("file", f"/{ONE}"), ("sif", "object 6")} <= set(verdict.found)


def at(place: int, data: bytes) -> Tamper:
    """Bytes of the whole file changed at the end."""

    def tamper(found: Sif) -> None:
        found.edit = lambda whole: whole.__setitem__(slice(place, place + len(data)), data)

    return tamper


def extra_of_root(extra: bytes) -> Tamper:
    return lambda found: setattr(found.named("rootfs"), "extra", extra)


HEADER: dict[str, tuple[Tamper, Found]] = {
    "another program runs it": (
        at(0, b"#!/usr/bin/env sh\n\0\0"),
        [("sif", "header, its first line")],
    ),
    "something behind the first line": (at(31, b"x"), [("sif", "header, its first line")]),
    "for another machine": (
        lambda found: setattr(found, "architecture", "arm64"),
        [("sif", "header, its architecture")],
    ),
    "for no machine": (at(45, b"99"), [("sif", "header, its architecture")]),
    "a root for another machine": (
        extra_of_root(partition(1, PartitionType.PRIMARY, b"04\0")),
        [("sif", "primary partition, its architecture")],
    ),
    "a root that is ext3": (
        extra_of_root(partition(2, PartitionType.PRIMARY)),
        [("sif", "root filesystem"), ("sif", PACKS)],
    ),
    "a root that is encrypted": (
        extra_of_root(partition(4, PartitionType.PRIMARY)),
        [("sif", "root filesystem"), ("sif", PACKS)],
    ),
    "a root that is none": (
        extra_of_root(partition(1, PartitionType.OVERLAY)),
        [("sif", "root filesystem"), ("sif", PACKS), ("sif", "object 5")],
    ),
    "no root": (
        lambda found: found.drop("rootfs"),
        [("sif", "root filesystem"), ("sif", PACKS)],
    ),
    "an empty root": (written("rootfs", lambda data: b""), [("sif", "root filesystem")]),
    "half a root": (
        written("rootfs", lambda data: data[: len(data) // 2]),
        [("sif", "root filesystem")],
    ),
    "noise for a root": (
        written("rootfs", lambda data: bytes(range(256)) * 64),
        [("sif", "root filesystem")],
    ),
}


@pytest.mark.parametrize("name", HEADER)
def test_the_header_and_the_root(case: Case, sif: Path, tmp_path: Path, name: str) -> None:
    tamper, where = HEADER[name]
    found = Sif.read(sif)
    tamper(found)
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    assert (verdict.ran.status, verdict.ran.err) == (1, "")
    # Whether a list of packs points into a broken root depends on where that ends.
    assert {each for each in verdict.found if PACKS not in each[1]} == {
        each for each in where if PACKS not in each[1]
    }


def test_a_root_that_is_moved(case: Case, sif: Path, tmp_path: Path) -> None:
    """The descriptor points to another squashfs behind the end; ours is still there."""
    found, target = Sif.read(sif), tmp_path / "x.sif"
    other = squashed(found, tmp_path / "other.sif")

    def edit(whole: bytearray) -> None:
        whole += bytes(-len(whole) % 4096)
        row = TABLE + ROOT * ROW
        whole[row + 17 : row + 25] = len(whole).to_bytes(8, "little")
        whole[row + 25 : row + 33] = len(other).to_bytes(8, "little")
        whole += other

    found.drop(PACKS)
    found.objects.insert(3, Object(DataType.SIGNATURE, "", b"x"))  # so that the row is the same
    found.edit = edit
    verdict = case.verify(found.write(target))
    verdict.differs(("file", f"/{ONE}"))


def test_a_root_that_is_moved_by_a_page(case: Case, sif: Path, tmp_path: Path) -> None:
    found = Sif.read(sif)

    def edit(whole: bytearray) -> None:
        row = TABLE + ROOT * ROW
        place = int.from_bytes(whole[row + 17 : row + 25], "little")
        whole[row + 17 : row + 25] = (place - 4096).to_bytes(8, "little")

    found.edit = edit
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    assert ("sif", "root filesystem") in verdict.found
    got = verdict.of("root filesystem")[1]
    assert got is not None
    assert f"reading sif:{tmp_path / 'x.sif'}: " in got
    assert verdict.document["images"][0]["files"] == 0


def test_a_signature_is_noted(case: Case, sif: Path, tmp_path: Path) -> None:
    """It says nothing of the files, and changes none."""
    found = Sif.read(sif)
    found.add(DataType.SIGNATURE, "part-signature")
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    verdict.holds()
    (note,) = verdict.document["images"][0]["warnings"]
    assert note == "the SIF holds 1 signature: by whom is not checked"
    found.add(DataType.SIGNATURE, "part-signature")
    verdict = case.verify(found.write(tmp_path / "x.sif"))
    assert verdict.document["images"][0]["warnings"] == [
        "the SIF holds 2 signatures: by whom is not checked"
    ]


HARMLESS: dict[str, Tamper] = {
    "no list of packs": lambda found: found.drop(PACKS),
    "other times": lambda found: at(64, b"\1" * 16)(found),
    "an identity": lambda found: at(48, b"\7" * 16)(found),
    "another order": lambda found: found.objects.reverse(),
    "another name of the root": lambda found: setattr(found.named("rootfs"), "name", "x"),
    "bytes behind the end": lambda found: setattr(found, "edit", lambda data: data.extend(b"x")),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_runs_in_no_other_way(case: Case, sif: Path, tmp_path: Path, name: str) -> None:
    found = Sif.read(sif)
    HARMLESS[name](found)
    case.verify(found.write(tmp_path / "x.sif")).holds()


def refused(case: Case, found: Sif, path: Path) -> str:
    """Without a word of what it should be."""
    ran = ship("verify", found.write(path), *case.place)
    assert (ran.status, ran.out) == (1, "")
    return ran.err


def test_a_sif_without_a_config(case: Case, sif: Path, tmp_path: Path) -> None:
    found, path = Sif.read(sif), tmp_path / "x.sif"
    found.drop(CONFIG)
    origin = found.named("Singularity").data.decode().strip()
    assert refused(case, found, path) == (
        f"error: sif:{path} holds no config of an image, so pixi-ship did not write it\n"
        "  hint: verify the image that it was made from, by its definition "
        f"{origin!r}\n"
    )
    found.drop("Singularity")
    assert refused(case, found, path).endswith("verify the image that it was made from\n")


def test_a_sif_with_the_config_that_apptainer_keeps(case: Case, sif: Path, tmp_path: Path) -> None:
    """It is the part that says how to run it, labels and all: still not ours."""
    found = Sif.read(sif)
    found.named(CONFIG).data = json.dumps(json.loads(found.named(CONFIG).data)["config"]).encode()
    assert "holds no config of an image" in refused(case, found, tmp_path / "x.sif")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000], ids=range(5))
def test_a_config_that_is_none(case: Case, sif: Path, tmp_path: Path, data: bytes) -> None:
    found = Sif.read(sif)
    found.named(CONFIG).data = data
    assert f"{CONFIG}: it is not " in refused(case, found, tmp_path / "x.sif")


def test_a_config_without_labels(case: Case, sif: Path, tmp_path: Path) -> None:
    """Then a person has to say what it should be."""
    found = Sif.read(sif)
    found.change_json(CONFIG, lambda config: config["config"].pop("Labels"))
    assert "has no labels of pixi-ship" in refused(case, found, tmp_path / "x.sif")
    verdict = case.verify(f"sif:{tmp_path / 'x.sif'}", "-e", "default")
    assert ("config", "config.config.Labels") in verdict.found


def test_another_lock(case: Case, sif: Path, tmp_path: Path) -> None:
    """A SIF of an older lock: the label, the lock in it, and what was made of that."""
    other = case.elsewhere(tmp_path / "other")
    path = other.tiny.work / "pixi.lock"
    path.write_text(path.read_text() + "\n")
    found = set(other.verify(f"sif:{sif}").found)
    assert ("file", "/app/pixi.lock") in found
    assert ("config", "config.config.Labels.pixi-ship.lock.digest") in found
    assert ("file", "/.singularity.d/labels.json") in found


def test_no_sif(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "x.sif"
    for data, words in ((b"", "it is no SIF"), (b"x" * 5000, "it is no SIF")):
        path.write_bytes(data)
        ran = case.verify(f"sif:{path}").ran
        assert (ran.status, ran.out) == (1, "")
        assert words in ran.err
    ran = case.verify(f"sif:{tmp_path / 'none.sif'}").ran
    assert "No such file" in ran.err


def test_a_platform_that_it_is_not_for(case: Case, sif: Path) -> None:
    ran = case.verify(f"sif:{sif}", "--platform", "osx-64").ran
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.endswith("hint: it has: linux/amd64\n")


def test_what_people_see(case: Case, sif: Path, tmp_path: Path) -> None:
    ran = ship("verify", f"sif:{sif}", *case.words())
    assert ran.status == 0
    assert re.match(rf"sif:{sif}  holds what the lock says; \d+ paths compared  linux", ran.out)
    found = Sif.read(sif)
    found.add(DataType.GENERIC, "x\n\x1b[2Jholds")
    ran = ship("verify", found.write(tmp_path / "x.sif"), *case.words())
    assert ran.status == 1
    assert ran.out.splitlines()[0] == r"object 6: is too much (generic 'x\n\x1b[2Jholds', 4 bytes)"
    assert len(read_sif(tmp_path / "x.sif").objects) == 6
