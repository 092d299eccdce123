"""``inspect`` says of an image what its manifest, config and lock say, and nothing breaks it.

Proven on images that ``build`` made, in layouts, archives and registries, by comparing with the
document of the build; and on layouts written by hand whose every field is hostile.
"""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.oci.descriptor import LAYER_GZIP

from ..conftest import TestData
from ..registry.behaviour import Behaviour
from ..registry.client import Client, descriptor, image_manifest
from ..registry.distribution import DockerRegistry
from ..registry.fake import FakeRegistry
from ..registry.store import Manifest
from ..tiny import Ran, Tiny, member, ship
from .layouts import Layout, Packed, digest_of, lock_layer, lock_of, ours, packed, zstd_bomb
from .looking import surroundings, tiny

__all__ = ["surroundings", "tiny"]

CONTROL = "\x1b]0;owned\x07\x9b31m\r\n\u202e\u2066"
FOREIGN = re.compile(r"[^\x20-\x7e\n…→]")
LOCK = lock_of(("thing", "1.0", "h_0"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def inspect(reference: str, *more: str) -> dict[str, Any]:
    return ship("inspect", reference, "--json", *more).document


def refused(ran: Ran, *lines: str) -> None:
    assert (ran.err, ran.status, ran.out) == ("".join(f"{line}\n" for line in lines), 1, "")


# Images of ours


def test_what_a_build_made(tiny: Tiny) -> None:
    base = tiny.base()
    built = tiny.build("--base", f"oci:{base}:t").document
    found = inspect(f"oci:{tiny.output}:t")
    assert found["digest"] == built["digest"]
    assert (found["attached"], found["warnings"]) == (None, [])
    (image,), (made,) = found["images"], built["images"]
    for name in ("digest", "config_digest", "platform", "oci_platform"):
        assert image[name] == made[name]
    for name in ("environment", "workspace", "lock_digest"):
        assert image[name] == built[name]
    assert image["base"] == {"name": None, "digest": built["base"]["digest"]}
    assert (image["cuda"], image["cuda_required"]) == (None, None)
    assert image["created"] == "1980-01-01T00:00:00Z"
    assert (image["entrypoint"], image["command"]) == (["/app/entrypoint.sh"], ["/bin/sh"])
    assert image["env"]["CONDA_PREFIX"] == made["prefix"]
    assert image["labels"]["pixi-ship.environment"] == "default"


def test_layers_of_a_build_on_an_image_of_ours(tiny: Tiny) -> None:
    """The base was built by pixi-ship too; its layers are still the base's."""
    base = tiny.base()
    built = tiny.build("--base", f"oci:{base}:t").image
    (image,) = inspect(f"oci:{tiny.output}:t")["images"]
    layers = image["layers"]
    assert [layer["number"] for layer in layers] == [1, 2, 3, 4, 5]
    assert [layer["origin"] for layer in layers] == ["base"] * 2 + ["pixi-ship"] * 3
    for layer, made in zip(layers[2:4], built["layers"], strict=True):
        for name in ("digest", "diff_id", "size", "packages"):
            assert layer[name] == made[name]
        assert layer["media_type"] == LAYER_GZIP
    assert layers[4]["packages"] == []
    on_disk = [Layout(tiny.output).path(layer["digest"]).stat().st_size for layer in layers]
    assert [layer["size"] for layer in layers] == on_disk
    assert image["size"] == sum(on_disk)


def test_packages(channel_data: TestData, tmp_path: Path) -> None:
    """Conda packages and wheels, as the lock in the image has them."""
    to = f"oci:{tmp_path / 'out'}:t"
    base = f"oci:{Tiny(tmp_path).base('2.39')}:t"
    words = ("build", "-w", channel_data.workspace("pyproject"), "--base", base, "--to", to)
    built = ship(*words, "--json", "--cache-dir", tmp_path / "cache").image
    (image,) = inspect(to, "--packages")["images"]
    kinds = [each["kind"] for each in image["packages"]]
    counts = {kind: kinds.count(kind) for kind in ("conda", "pypi")}
    assert {**counts, "sources": 0, "unbuildable": 0} == built["packages"]
    files = {name for layer in built["layers"] for name in layer["packages"]}
    for each in image["packages"]:
        words_of_it = [each["name"], each["version"], *filter(None, [each["build"]])]
        stem = "-".join(words_of_it).replace("-", "[-_]")
        assert any(re.match(stem, name) for name in files), each
        assert (each["build"] is None) == (each["kind"] == "pypi")
    names = [each["name"] for each in image["packages"]]
    assert names == sorted(names)


def test_the_rows_that_people_see(tiny: Tiny) -> None:
    built = tiny.build()
    ran = ship("inspect", f"oci:{tiny.output}:t", "--packages")
    assert (ran.status, ran.err) == (0, "")
    rows = [line.split(None, 1) for line in ran.out.splitlines()]
    said = {row[0]: row[1] for row in rows if len(row) == 2}
    assert said["reference"] == f"oci:{tiny.output}:t"
    assert said["digest"] == built.digest
    assert said["platform"] == "linux-64 (linux/amd64)"
    assert said["environment"] == "default of tiny"
    assert said["entrypoint"] == "/app/entrypoint.sh"
    assert said["layers"].startswith("3, ")
    assert said["3"].endswith("manifest, lock, entrypoint, activation")
    assert said["thing"].split() == ["1.0", "h0000000_0", "conda"]
    assert "base" not in said
    assert "index" not in said


def test_without_json_nothing_of_the_lock_is_read(tiny: Tiny) -> None:
    """Manifest and config tell everything but the packages; layers may even be missing bytes."""
    tiny.build()
    whole = inspect(f"oci:{tiny.output}:t")
    for row in whole["images"][0]["layers"]:
        path = Layout(tiny.output).path(row["digest"])
        path.write_bytes(bytes(path.stat().st_size))
    assert inspect(f"oci:{tiny.output}:t") == whole
    assert not (tiny.root / "cache-of-looking").exists()


@pytest.mark.parametrize("transport", ["oci-archive", "docker-archive"])
def test_archives(tiny: Tiny, transport: str) -> None:
    """A docker-archive has no manifest, and so no digest; all else is as in the layout."""
    reference = f"{transport}:{tiny.root / 'image.tar'}"
    ship(*tiny.words(to=reference))
    tiny.build()
    found, layout = inspect(reference, "--packages"), inspect(f"oci:{tiny.output}:t", "--packages")
    (image,), (want,) = found["images"], layout["images"]
    if transport == "docker-archive":
        assert found["digest"] is None
        want = {**want, "digest": None}
    assert image == want


def test_several_platforms(tiny: Tiny) -> None:
    tiny.build()
    built = Layout(tiny.output)
    config = {**built.config("t"), "architecture": "arm64", "variant": "v8"}
    other = built.image(config, built.layers("t"))
    digest = built.add_index("both", ("amd64", built.row("t")), ("arm64", other))
    found = inspect(built.reference("both"), "--packages")
    assert found["digest"] == digest
    assert [each["oci_platform"] for each in found["images"]] == ["linux/amd64", "linux/arm64/v8"]
    assert [each["digest"] for each in found["images"]] == [
        built.row("t")["digest"],
        other["digest"],
    ]
    assert [len(each["packages"]) for each in found["images"]] == [2, 2]
    assert f"index        {digest}  2 images\n" in ship("inspect", built.reference("both")).out


def test_layers_on_top_of_ours(tiny: Tiny, layout: Layout) -> None:
    """Somebody built on our image: their layers are theirs, and the lock is found below them."""
    tiny.build()
    built = Layout(tiny.output)
    config = built.config("t")
    config["history"] += [{"created_by": "ENV A=1", "empty_layer": True}, {"created_by": "RUN x"}]
    layout.add("t", config, *built.layers("t"), packed(member("srv/x", b"x")))
    (image,) = inspect(layout.reference("t"), "--packages")["images"]
    assert [layer["origin"] for layer in image["layers"]] == ["pixi-ship"] * 3 + ["other"]
    assert [each["name"] for each in image["packages"]] == ["other", "thing"]


# Images of others


def test_an_image_of_others(layout: Layout) -> None:
    history = [{"created_by": "ADD file"}, {"created_by": "CMD", "empty_layer": True}]
    digest = layout.add(
        "t",
        {"variant": "v8", "created": "2024-01-01T00:00:00Z", "history": history},
        packed(member("bin/sh", b"sh")),
    )
    found = inspect(layout.reference("t"))
    (image,) = found["images"]
    assert (found["digest"], image["oci_platform"]) == (digest, "linux/amd64/v8")
    assert (image["environment"], image["lock_digest"], image["env"]) == (None, None, {})
    (layer,) = image["layers"]
    assert (layer["origin"], layer["created_by"], layer["packages"]) == ("other", "ADD file", [])
    where = layout.reference("t")
    refused(
        ship("inspect", where, "--packages"),
        f"error: {where} does not say that pixi-ship built it: it has no lock to list",
    )


def test_no_image(tmp_path: Path, layout: Layout) -> None:
    refused(
        ship("inspect", f"oci:{tmp_path}:t"),
        f"error: reading {tmp_path}: oci-layout: No such file or directory",
        "  hint: is it an OCI layout?",
    )
    layout.add_index("none")
    refused(
        ship("inspect", layout.reference("none")),
        f"error: {layout.reference('none')} holds no image",
    )
    assert ship("inspect", "scratch").status == 2


# Registries


def attach(client: Client, name: str, subject: dict[str, object], kind: str, data: bytes) -> str:
    """Attach an artifact with one blob; its digest."""
    client.push_blob(name, data)
    client.push_blob(name, b"{}")
    document = image_manifest(data, artifactType=kind, subject=subject)
    text = json.dumps(document).encode()
    reply = client.push_manifest(name, digest_of(text), document)
    assert reply.status == 201, reply
    return digest_of(text)


def pushed(tiny: Tiny, address: str) -> tuple[str, dict[str, Any]]:
    reference = f"docker://{address}/some/app:1"
    return reference, ship(*tiny.words(to=reference)).document


def test_a_registry(tiny: Tiny, fake: FakeRegistry) -> None:
    """Manifest and config are fetched, and no layer."""
    reference, built = pushed(tiny, fake.address)
    fake.log.clear()
    found = inspect(reference)
    tiny.build()
    want = inspect(f"oci:{tiny.output}:t")
    assert found == {**want, "reference": reference, "attached": []}
    assert fake.log.blob_bytes_sent() == len(fake.store.blobs[built["images"][0]["config_digest"]])


def test_packages_in_a_registry(tiny: Tiny, fake: FakeRegistry) -> None:
    """The last layer is fetched, and no other."""
    reference, _ = pushed(tiny, fake.address)
    fake.log.clear()
    (image,) = inspect(reference, "--packages")["images"]
    assert [each["name"] for each in image["packages"]] == ["other", "thing"]
    fetched = {each.path.rpartition("/")[2] for each in fake.log.matching("GET", "/blobs/")}
    assert fetched == {image["config_digest"], image["layers"][-1]["digest"]}


@pytest.mark.parametrize("api", [True, False])
def test_what_is_attached(tiny: Tiny, api: bool) -> None:
    """By the API, and by the tag that stands in for it."""
    with FakeRegistry(Behaviour(referrers=api)) as registry:
        reference, built = pushed(tiny, registry.address)
        client = Client(registry.address)
        manifest = registry.store.repository("some/app").manifests[built["digest"]]
        subject = descriptor(manifest.data, manifest.media_type)
        bill = attach(client, "some/app", subject, "application/spdx+json", b"a bill")
        if not api:
            artifact = registry.store.repository("some/app").manifests[bill]
            rows = [descriptor(artifact.data, artifact.media_type)]
            kind = "application/vnd.oci.image.index.v1+json"
            index = {"schemaVersion": 2, "mediaType": kind, "manifests": rows}
            tag = built["digest"].replace(":", "-")
            assert client.push_manifest("some/app", tag, index, kind).status == 201
        assert inspect(reference)["attached"] == [
            {
                "subject": built["digest"],
                "artifact_type": "application/spdx+json",
                "digest": bill,
                "size": len(b"a bill"),
            }
        ]
        assert f"attached     {bill}         6 B  application/spdx+json\n" in (
            ship("inspect", reference).out
        )


def test_attached_things_that_are_broken(tiny: Tiny, fake: FakeRegistry) -> None:
    """One with absurd words is listed in print; one whose bytes are others is without words."""
    reference, built = pushed(tiny, fake.address)
    manifests = fake.store.repository("some/app").manifests
    subject = descriptor(manifests[built["digest"]].data, manifests[built["digest"]].media_type)
    client = Client(fake.address)
    odd = attach(client, "some/app", subject, f"x/{CONTROL}", b"odd")
    ran = ship("inspect", reference)
    assert ran.status == 0
    assert odd in ran.out
    assert not FOREIGN.search(ran.out)
    document = json.loads(manifests[odd].data)
    document["annotations"] = {"other": "bytes"}
    manifests[odd] = Manifest(manifests[odd].media_type, json.dumps(document).encode())
    (row,) = inspect(reference)["attached"]
    assert (row["digest"], row["artifact_type"], row["size"]) == (odd, None, None)


def test_a_registry_that_does_not_say_what_is_attached(tiny: Tiny) -> None:
    """The image is shown all the same, with a warning."""
    with FakeRegistry(Behaviour(referrers=False)) as registry:
        reference, built = pushed(tiny, registry.address)
        repository = registry.store.repository("some/app")
        kind = repository.manifests[built["digest"]].media_type
        repository.manifests["odd"] = Manifest(kind, b"[]")
        repository.tags[built["digest"].replace(":", "-")] = "odd"
        found = inspect(reference)
    assert found["attached"] is None
    assert len(found["images"]) == 1
    (warning,) = found["warnings"]
    assert warning.startswith("what is attached is not known: ")


def test_debians_registry(tiny: Tiny, tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "docker-registry") as registry:
        reference, built = pushed(tiny, registry.address)
        found = inspect(reference, "--packages")
    assert (found["digest"], found["attached"]) == (built["digest"], [])
    assert len(found["images"][0]["packages"]) == 2


def test_nothing_in_the_registry(fake: FakeRegistry) -> None:
    ran = ship("inspect", f"docker://{fake.address}/some/app:1")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(f"error: reading docker://{fake.address}/some/app:1: there is none")


@pytest.fixture
def fake() -> Any:
    with FakeRegistry() as registry:
        yield registry


# Hostile ones


def test_control_characters(layout: Layout) -> None:
    """None reaches the terminal; in the document they are whole, and escaped."""
    history = [{"created_by": f"pixi-ship{CONTROL}", "comment": CONTROL}]
    config = ours(
        labels={f"pixi-ship.{name}": f"x{CONTROL}y" for name in ("environment", "cuda", "platform")}
        | {"org.opencontainers.image.base.name": f"host/{CONTROL}"},
        history=history,
        Env=[f"A{CONTROL}=b{CONTROL}"],
        Entrypoint=[CONTROL],
        User=CONTROL,
        WorkingDir=CONTROL,
    )
    config["created"] = config["architecture"] = f"19{CONTROL}80"
    layout.add("t", config, lock_layer(LOCK))
    ran = ship("inspect", layout.reference("t"))
    assert ran.status == 0, ran.err
    assert not FOREIGN.search(ran.out)
    text = ship("inspect", layout.reference("t"), "--json").out
    assert text.isascii()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    (image,) = json.loads(text)["images"]
    assert image["environment"] == f"x{CONTROL}y"
    assert image["env"] == {f"A{CONTROL}": f"b{CONTROL}"}


def test_control_characters_in_errors(layout: Layout) -> None:
    """An error that quotes the image quotes it in print."""
    labels = {"pixi-ship.environment": CONTROL}
    layout.add("t", ours(labels=labels), lock_layer(LOCK))
    ran = ship("inspect", layout.reference("t"), "--packages")
    assert ran.status == 1
    assert "is not in it" in ran.err
    assert not FOREIGN.search(ran.err)
    # This one the parser of locks quotes as it is.
    lock = lock_of(("thing", "1.0", "h_0")).replace(b"linux-64", b"\\u001b[31m-64")
    layout.add("t", ours(), lock_layer(lock))
    ran = ship("inspect", layout.reference("t"), "--packages")
    assert "[31m-64" in ran.err
    assert not FOREIGN.search(ran.err)
    layout.add(f"tag{CONTROL}", {})
    ran = ship("inspect", layout.reference("other"))
    assert ran.status == 1
    assert "  hint: tags: t, tag" in ran.err
    assert not FOREIGN.search(ran.err)


def test_half_a_surrogate(layout: Layout) -> None:
    """JSON can hold what no encoding takes."""
    layout.add("t", ours(labels={"pixi-ship.cuda": "\ud800"}, Env=["A=\udfff"]), lock_layer(LOCK))
    assert ship("inspect", layout.reference("t")).status == 0
    (image,) = inspect(layout.reference("t"))["images"]
    assert (image["cuda"], image["env"]) == ("\ud800", {"A": "\udfff"})


HISTORIES: dict[str, object] = {
    "none": [],
    "no list": {"created_by": "pixi-ship"},
    "no rows": ["pixi-ship", 1, None, [], True],
    "too short": [{"created_by": "pixi-ship", "comment": "last-1-0.conda"}],
    "too long": [{"created_by": "x"}] * 1000
    + [{"created_by": "pixi-ship", "comment": "last-1-0.conda"}],
    "only ours": [{"created_by": "pixi-ship", "comment": "first-1-0.conda"}] * 1000
    + [{"created_by": "pixi-ship", "comment": "last-1-0.conda"}],
    "odd types": [{"created_by": 1, "comment": []}, {"created_by": [], "empty_layer": "no"}],
    "all empty": [{"created_by": "pixi-ship", "empty_layer": True}] * 2,
    "endless comment": [
        {"created_by": "x"},
        {"created_by": "pixi-ship", "comment": "last-1-0.conda " * 500_000},
    ],
}


@pytest.mark.parametrize("name", HISTORIES)
def test_absurd_history(layout: Layout, name: str) -> None:
    """Layers are told from manifest and config; of the history what fits to them is taken."""
    base = packed(member("a", b"a"))
    layout.add("t", ours(history=HISTORIES[name]), base, lock_layer(LOCK))
    assert ship("inspect", layout.reference("t")).status == 0
    (image,) = inspect(layout.reference("t"), "--packages")["images"]
    last = image["layers"][-1]
    known = name in ("too short", "too long", "only ours")
    assert set(last["packages"]) == ({"last-1-0.conda"} if known else set())
    told = known or name == "endless comment"
    assert last["origin"] == ("pixi-ship" if told else "other")
    below = {"only ours": "pixi-ship"}.get(name, "base" if told else "other")
    assert image["layers"][0]["origin"] == below
    assert [each["name"] for each in image["packages"]] == ["thing"]


@pytest.mark.parametrize("value", [None, 1, "text", [], [1, None, "A=b"], {"a": [1]}])
def test_fields_of_other_types(layout: Layout, value: object) -> None:
    """They count as missing, a list's odd rows too."""
    names = ("Env", "Entrypoint", "Cmd", "User", "WorkingDir", "Labels")
    config: dict[str, object] = {"config": dict.fromkeys(names, value), "created": value}
    layout.add("t", {**config, "architecture": value, "history": value}, lock_layer(LOCK))
    ran = ship("inspect", layout.reference("t"))
    assert ran.status == 0, ran.err
    layout.add("u", {"config": value}, lock_layer(LOCK))
    (image,) = inspect(layout.reference("u"))["images"]
    assert (image["env"], image["labels"]) == ({}, {})


def test_nesting_without_end(layout: Layout) -> None:
    """A label of brackets ends in a sentence, whichever part of Python counts them."""
    deep = json.loads("[" * 900 + "]" * 900)
    layout.add("t", ours(labels={"x": deep}), lock_layer(LOCK))
    ran = ship("inspect", layout.reference("t"), "--json")
    assert ran.status in (0, 1)
    assert ran.status == 0 or ran.err.startswith("error: reading ")


@pytest.mark.parametrize("size", [1 << 62, 10**400])
def test_a_layer_of_absurd_size(fake: FakeRegistry, size: int) -> None:
    """No number of digits breaks anything."""
    client = Client(fake.address)
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [digest_of(b"")]}}
    text = json.dumps(config).encode()
    client.push_blob("some/app", text)
    client.push_blob("some/app", b"layer")
    document = image_manifest(b"layer")
    document["config"] = descriptor(text, "application/vnd.oci.image.config.v1+json")
    rows = document["layers"]
    assert isinstance(rows, list)
    rows[0]["size"] = size
    assert client.push_manifest("some/app", "1", document).status == 201
    ran = ship("inspect", f"docker://{fake.address}/some/app:1")
    place = f"docker://{fake.address}/some/app:1"
    refused(ran, f"error: reading {place}: a descriptor has size {str(size)[:40]}")


def unreadable(layout: Layout, layer: Packed) -> str:
    """What ``--packages`` says of an image with this last layer, without the place."""
    layout.add("t", ours(), layer)
    ran = ship("inspect", layout.reference("t"), "--packages")
    assert (ran.status, ran.out) == (1, "")
    assert "Traceback" not in ran.err
    assert list((layout.root.parent / "cache-of-looking" / "tmp").iterdir()) == []
    # Without --packages the image can be looked at all the same.
    assert ship("inspect", layout.reference("t")).status == 0
    return ran.err.replace(f"/app/pixi.lock of {layout.reference('t')}", "LOCK")


def test_no_lock_in_the_image(layout: Layout) -> None:
    empty = packed(member("app/pixi.toml", b""))
    assert unreadable(layout, empty) == (
        "error: reading LOCK: there is no such file in the last layer\n"
    )


def test_no_layers_at_all(layout: Layout) -> None:
    layout.add("t", ours())
    refused(
        ship("inspect", layout.reference("t"), "--packages"),
        f"error: {layout.reference('t')} has no layers, so it holds no lock",
    )


@pytest.mark.parametrize(
    ("lock", "words"),
    [
        (b"", "the file is empty"),
        (b"{{{:", "error: reading LOCK: "),
        (b"\xff\xfe\0:\n\n", "error: reading LOCK: "),
        (b"version: 99\nenvironments: {}\npackages: []\n", "error: reading LOCK: "),
        (b"version: 6\nenvironments: {}\npackages: []\n", "environment 'default' is not in it"),
        (b"a: &a [*a]\n\n", "error: reading LOCK: "),
        (b"x: " + b"[" * 100_000 + b"\n\n", "its brackets nest deeper than those of any lock"),
    ],
)
def test_a_lock_that_is_none(layout: Layout, lock: bytes, words: str) -> None:
    said = unreadable(layout, lock_layer(lock))
    assert said.startswith("error: reading LOCK: ")
    assert words in said
    assert "cache-of-looking" not in said
    assert "pixi lock" not in said


def test_a_lock_that_is_a_link(layout: Layout) -> None:
    """It is not followed, neither in the layer nor on this machine."""
    link = member("app/pixi.lock", type=b"2", linkname="../../../../etc/passwd")
    assert unreadable(layout, packed(link)) == (
        "error: reading LOCK: it is a symlink, want a file\n"
    )


def test_the_last_of_several_locks_counts(layout: Layout) -> None:
    """As it does for runtimes that unpack the layer."""
    longer = lock_of(("first", "1.0", "h_0"), ("second", "1.0", "h_0"))
    layer = packed(member("./app/pixi.lock", longer), member("app/pixi.lock", LOCK))
    layout.add("t", ours(), layer)
    (image,) = inspect(layout.reference("t"), "--packages")["images"]
    assert [each["name"] for each in image["packages"]] == ["thing"]


@pytest.mark.parametrize("which", ["not gzip", "cut", "no tar", "rubbish after"])
def test_a_layer_that_was_pushed_broken(layout: Layout, which: str) -> None:
    """Its digest is right, its bytes are no tar."""
    whole = lock_layer(LOCK).data
    data = {
        "not gzip": b"rubbish",
        "cut": whole[: len(whole) // 2],
        "no tar": gzip.compress(b"rubbish" * 1000),
        "rubbish after": gzip.compress(gzip.decompress(whole)[:700]) + b"rubbish",
    }[which]
    said = unreadable(layout, Packed(data, LAYER_GZIP))
    assert said.startswith("error: reading LOCK: its layer is damaged: ")


@pytest.mark.parametrize("place", [0, 10, -9, -1])
def test_a_layer_that_rotted(layout: Layout, place: int) -> None:
    """The digest is told to be wrong wherever a byte changed, also behind the lock."""
    layer = lock_layer(LOCK)
    layout.add("t", ours(), layer)
    path = layout.path(digest_of(layer.data))
    data = bytearray(layer.data)
    data[place] ^= 0xFF
    path.write_bytes(data)
    ran = ship("inspect", layout.reference("t"), "--packages")
    assert (ran.status, ran.out) == (1, "")
    assert f"its manifest says {digest_of(layer.data)}" in ran.err


def test_a_bomb(layout: Layout) -> None:
    """32 kB that unpack to a gigabyte never lie unpacked in memory."""
    bomb = zstd_bomb(8192)
    tracemalloc.start()
    try:
        said = unreadable(layout, bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "there is no such file" in said
    assert peak < 64 << 20


def test_a_lock_of_absurd_size(layout: Layout) -> None:
    """A header that promises more than any lock has is enough."""
    head = member("app/pixi.lock")[0]
    head.size = 1 << 40
    layer = Packed(gzip.compress(head.tobuf() + bytes(1024)), LAYER_GZIP)
    said = unreadable(layout, layer)
    assert said == f"error: reading LOCK: {1 << 40} bytes are no lock\n"
