"""``diff`` says how two images differ, and what a node that has the one must pull for the other.

Proven on images that ``build`` made and on images written by hand: packages against the locks
they came from, bytes against the blobs that lie on the disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..channel.conda_package import CondaPackage, File
from ..registry.distribution import DockerRegistry
from ..registry.fake import FakeRegistry
from ..tiny import Tiny, member, raw_wheel, ship
from .layouts import Layout, Packed, digest_of, lock_layer, lock_of, ours, packed
from .looking import surroundings

__all__ = ["surroundings"]

OLD = lock_of(("kept", "1.0", "h_0"), ("moved", "1.0", "h_0"), ("gone", "3", "h_1"))
NEW = lock_of(("kept", "1.0", "h_0"), ("moved", "1.1", "h_2"), ("came", "4", "h_0"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


@pytest.fixture
def pair(layout: Layout) -> Layout:
    """Two images with a layer in common, as ``old`` and ``new``."""
    shared = packed(member("a", b"a"))
    rows = [{"created_by": "ADD a"}, *ours()["history"]]
    layout.add("old", ours(history=rows, Env=["A=1", "B=2"], User="me"), shared, lock_layer(OLD))
    layout.add("new", ours(history=rows, Env=["A=2", "C=3"]), shared, lock_layer(NEW))
    return layout


def diff(layout: Layout, old: str = "old", new: str = "new") -> dict[str, Any]:
    return ship("diff", layout.reference(old), layout.reference(new), "--json").document


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows]


def lacking(layout: Layout, old: str, new: str) -> dict[str, int]:
    """The blobs of an image that the other has not, counted on the disk."""
    have = layout.blobs(old)
    return {digest: size for digest, size in layout.blobs(new).items() if digest not in have}


# What differs


def test_packages(pair: Layout) -> None:
    (image,) = diff(pair)["images"]
    packages = image["packages"]
    assert set(packages) == {"added", "removed", "changed"}
    assert names(packages["added"]) == ["came"]
    assert names(packages["removed"]) == ["gone"]
    (changed,) = packages["changed"]
    sides = [(changed[side]["version"], changed[side]["build"]) for side in ("old", "new")]
    assert sides == [("1.0", "h_0"), ("1.1", "h_2")]
    (back,) = diff(pair, "new", "old")["images"]
    assert names(back["packages"]["added"]) == ["gone"]
    assert names(back["packages"]["removed"]) == ["came"]


def test_another_archive_of_the_same_build(layout: Layout) -> None:
    """Version and build are the same, the bytes are not."""
    lock = lock_of(("thing", "1.0", "h_0"))
    layout.add("old", ours(), lock_layer(lock))
    layout.add("new", ours(), lock_layer(lock.replace(b"ab" * 32, b"cd" * 32)))
    (image,) = diff(layout)["images"]
    (changed,) = image["packages"]["changed"]
    assert [changed[side]["sha256"] for side in ("old", "new")] == ["ab" * 32, "cd" * 32]
    ran = ship("diff", layout.reference("old"), layout.reference("new"))
    assert "~  thing  1.0 h_0 → another archive  conda\n" in ran.out


def test_a_wheel_in_place_of_a_conda_package(tmp_path: Path) -> None:
    """They are two packages of one name, of different kinds."""
    tiny = Tiny(tmp_path)
    tiny.lock(tiny.python(), tiny.good())
    assert tiny.build().status == 0
    tiny.lock(tiny.python(), raw_wheel(tiny.root / "wheels", {"thing.py": b"x = 1\n"}))
    ran = ship(*tiny.words(to=f"oci:{tiny.output}:new"))
    assert ran.status == 0, ran.err
    (image,) = diff(Layout(tiny.output), "t")["images"]
    (added,), (removed,) = (image["packages"][each] for each in ("added", "removed"))
    assert (added["name"], added["kind"], added["build"]) == ("thing", "pypi", None)
    assert (removed["name"], removed["kind"]) == ("thing", "conda")


def test_layers_and_bytes(pair: Layout) -> None:
    (image,) = diff(pair)["images"]
    assert [layer["sharing"] for layer in image["layers"]] == ["shared", "new"]
    (gone,) = image["layers_gone"]
    assert gone["digest"] == digest_of(lock_layer(OLD).data)
    want = lacking(pair, "old", "new")
    assert image["pull"] == {
        "size": sum(want.values()),
        "blobs": len(want),
        "of": sum(pair.blobs("new").values()),
    }
    assert image["pull"]["blobs"] == 3  # a layer, the config, the manifest


def test_one_package_of_a_build_changed(tmp_path: Path) -> None:
    """All other layers are shared, and only what is new is to be pulled."""
    tiny = Tiny(tmp_path)
    other = tiny.good("other")
    tiny.lock(tiny.good(), other)
    assert tiny.build().status == 0
    newer = CondaPackage("thing", "2.0", [File("share/thing.txt", b"newer\n")])
    tiny.lock(newer.write(tiny.channel), other)
    assert ship(*tiny.words(to=f"oci:{tiny.output}:new")).status == 0
    layout = Layout(tiny.output)
    (image,) = diff(layout, "t")["images"]
    sharing = {" ".join(each["packages"]): each["sharing"] for each in image["layers"]}
    assert sharing == {
        "other-1.0-h0000000_0.conda": "shared",
        "thing-2.0-h0000000_0.conda": "new",
        "": "new",
    }
    assert len(image["layers_gone"]) == 2
    assert image["pull"]["size"] == sum(lacking(layout, "t", "new").values())
    assert names(image["labels"]) == ["pixi-ship.lock.digest"]
    assert image["settings"] == image["env"] == []


def test_the_same_layers_with_another_compression(tmp_path: Path) -> None:
    """The files are there, and yet the bytes have to be pulled."""
    tiny = Tiny(tmp_path)
    tiny.lock(tiny.good())
    tiny.build()
    ship(*tiny.words("--compression", "zstd", to=f"oci:{tiny.output}:new"))
    layout = Layout(tiny.output)
    (image,) = diff(layout, "t")["images"]
    assert [layer["sharing"] for layer in image["layers"]] == ["repacked", "repacked"]
    assert image["layers_gone"] == []
    assert image["pull"]["size"] == sum(lacking(layout, "t", "new").values())
    assert image["packages"] == {"added": [], "removed": [], "changed": []}


def test_a_layer_that_comes_twice_is_pulled_once(layout: Layout) -> None:
    layer = packed(member("a", b"a"))
    layout.add("old", {})
    layout.add("new", {}, layer, layer)
    (image,) = diff(layout)["images"]
    assert image["pull"]["size"] == sum(lacking(layout, "old", "new").values())
    assert image["pull"]["blobs"] == 3


def test_config(pair: Layout) -> None:
    base = "org.opencontainers.image.base"
    labels = {f"{base}.name": "host/base:2", f"{base}.digest": digest_of(b""), "other": "label"}
    pair.add(
        "new",
        ours(labels=labels, Env=["A=2", "C=3"], Entrypoint=["/x", "y"], Cmd=["z"]),
        *pair.layers("new"),
    )
    (image,) = diff(pair)["images"]
    rows = {name: {x["name"]: (x["old"], x["new"]) for x in image[name]} for name in TOLD}
    assert rows["env"] == {"A": ("1", "2"), "B": ("2", None), "C": (None, "3")}
    assert rows["labels"] == {"other": (None, "label")}
    assert rows["settings"] == {
        "base_name": (None, "host/base:2"),
        "base_digest": (None, digest_of(b"")),
        "entrypoint": (None, ["/x", "y"]),
        "command": (None, ["z"]),
        "user": ("me", None),
    }


TOLD = ("env", "labels", "settings")


def test_the_rows_that_people_see(pair: Layout) -> None:
    ran = ship("diff", pair.reference("old"), pair.reference("new"))
    assert (ran.status, ran.err) == (0, "")
    for row in (
        "platform     linux-64 (linux/amd64)",
        "packages     1 added, 1 removed, 1 changed, 1 the same",
        "  +  came   4 h_0              conda",
        "  -  gone   3 h_1              conda",
        "  ~  moved  1.0 h_0 → 1.1 h_2  conda",
        "layers       1 shared, 1 new, 1 gone",
        "user         me → none",
        "env          A: 1 → 2",
        "env          B: 2 → none",
    ):
        assert f"{row}\n" in ran.out
    assert re.search(r"^to pull      .* in 3 blobs, of .*B$", ran.out, re.MULTILINE)


# Whether they differ


@pytest.mark.parametrize(
    ("more", "new", "status"),
    [((), "new", 0), (("--exit-code",), "new", 1), (("--exit-code",), "old", 0)],
)
def test_exit_code(pair: Layout, more: tuple[str, ...], new: str, status: int) -> None:
    for form in ((), ("--json",)):
        ran = ship("diff", pair.reference("old"), pair.reference(new), *more, *form)
        assert (ran.status, ran.err) == (status, "")


def test_the_same_image(pair: Layout) -> None:
    found = diff(pair, "old", "old")
    assert found["same"] is True
    (image,) = found["images"]
    assert image["pull"]["size"] == 0
    assert {layer["sharing"] for layer in image["layers"]} == {"shared"}
    assert ", the same image\n" in ship("diff", *[pair.reference("old")] * 2).out


def test_archives_of_the_same_image(tmp_path: Path) -> None:
    """A docker-archive has no manifest to compare: config and layers decide."""
    tiny = Tiny(tmp_path)
    tiny.lock(tiny.good())
    archive = f"docker-archive:{tmp_path / 'image.tar'}"
    for to in (archive, f"oci:{tiny.output}:t"):
        assert ship(*tiny.words(to=to)).status == 0
    layout = f"oci:{tiny.output}:t"
    assert ship("diff", archive, archive, "--exit-code").status == 0
    assert ship("diff", layout, archive, "--exit-code").status == 0
    tiny.lock(tiny.good("other"))
    assert ship(*tiny.words(to=f"oci:{tiny.output}:new")).status == 0
    assert ship("diff", archive, f"oci:{tiny.output}:new", "--exit-code").status == 1


# Platforms


def of_platform(layout: Layout, name: str, lock: bytes) -> dict[str, Any]:
    return layout.image(ours(labels={"pixi-ship.platform": name}), [lock_layer(lock)])


def test_platforms(layout: Layout) -> None:
    """Each is held against its own; what has no counterpart is told, and makes a difference."""
    both = layout.image({"architecture": "arm64"}, [packed(member("b", b"b"))])
    only = layout.image({"architecture": "s390x"}, [])
    layout.add_index("old", ("amd64", of_platform(layout, "linux-64", OLD)), ("arm64", both))
    layout.add_index("new", ("s390x", only), ("arm64", both))
    found = diff(layout)
    assert [each["oci_platform"] for each in found["images"]] == ["linux/arm64"]
    assert [each["platform"] for each in found["only_old"]] == ["linux-64"]
    assert [each["digest"] for each in found["only_new"]] == [only["digest"]]
    assert (found["same"], found["images"][0]["same"]) == (False, True)
    ran = ship("diff", layout.reference("old"), layout.reference("new"), "--exit-code")
    assert ran.status == 1
    assert "only in old  linux-64 (linux/amd64)\nonly in new  linux/s390x\n" in ran.out


def test_two_images_for_one_platform(layout: Layout) -> None:
    """The names in the lock tell which is which, as for an image with CUDA and one without."""
    lock = lock_of(("thing", "1.0", "h_0"))
    named = lock.replace(b'"linux-64": [', b'"p1": [')
    plain, rich = of_platform(layout, "linux-64", lock), of_platform(layout, "p1", named)
    layout.add_index("old", ("amd64", plain), ("amd64", rich))
    layout.add_index("new", ("amd64", rich), ("amd64", plain))
    found = diff(layout)
    assert [each["platform"] for each in found["images"]] == ["linux-64", "p1"]
    assert all(each["same"] for each in found["images"])
    layout.add_index("new", ("amd64", rich))
    found = diff(layout)
    assert [each["platform"] for each in found["images"]] == ["p1"]
    assert [each["platform"] for each in found["only_old"]] == ["linux-64"]


def test_no_platform_in_common(layout: Layout) -> None:
    layout.add("old", {"architecture": "arm64"})
    layout.add("new", {"architecture": "amd64"})
    ran = ship("diff", layout.reference("old"), layout.reference("new"))
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        f"error: comparing {layout.reference('old')} with {layout.reference('new')}: "
        "they have no platform in common\n"
        "  hint: the one has linux/arm64, the other linux/amd64\n"
    )


# Images of others, and broken ones


def test_an_image_of_others(pair: Layout) -> None:
    """Layers, bytes and config are compared; packages are not, and that is said."""
    pair.add("other", {"config": {"Env": ["A=1"]}}, pair.layers("old")[0])
    found = diff(pair, "other", "new")
    (image,) = found["images"]
    assert image["packages"] is None
    (warning,) = found["warnings"]
    assert warning.startswith(f"packages are not compared: {pair.reference('other')} does not say")
    assert [layer["sharing"] for layer in image["layers"]] == ["shared", "new"]
    assert image["pull"]["size"] == sum(lacking(pair, "other", "new").values())
    assert names(image["env"]) == ["A", "C"]
    ran = ship("diff", pair.reference("other"), pair.reference("new"))
    assert ran.status == 0
    assert ran.err == f"warning: {warning}\n"
    assert "packages  " not in ran.out


BROKEN: dict[str, Callable[[], Packed]] = {
    "no lock": lambda: packed(member("app/pixi.toml", b"")),
    "no YAML": lambda: lock_layer(b"{{{:\n"),
    "no layer": lambda: Packed(b"rubbish", "application/vnd.oci.image.layer.v1.tar+gzip"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_image_whose_lock_cannot_be_read(pair: Layout, name: str) -> None:
    """It is as somebody made it; what can be compared is."""
    pair.add("broken", ours(), BROKEN[name]())
    found = diff(pair, "old", "broken")
    assert found["images"][0]["packages"] is None
    (warning,) = found["warnings"]
    assert warning.startswith("packages are not compared: reading /app/pixi.lock of ")


def test_an_image_that_rotted(pair: Layout) -> None:
    """Bytes that are not what they are called are no difference but an error."""
    path = pair.path(digest_of(lock_layer(NEW).data))
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)
    ran = ship("diff", pair.reference("old"), pair.reference("new"), "--json")
    assert (ran.status, ran.out) == (1, "")
    assert f"its manifest says {digest_of(lock_layer(NEW).data)}" in ran.err


def test_control_characters(pair: Layout) -> None:
    """None reaches the terminal, from names of packages neither."""
    evil = "\x1b[31m\x07\r\n\u202e"
    config = ours(labels={f"l{evil}": evil}, Env=[f"E{evil}={evil}"], Entrypoint=[evil], User=evil)
    config["history"][0]["created_by"] = evil
    pair.add("evil", config, lock_layer(lock_of((f"p{evil}", f"1{evil}", "h_0"))))
    pair.add("worse", {**config, "architecture": f"amd64{evil}"})
    for words in (("old", "evil"), ("evil", "old"), ("worse", "worse"), ("old", "worse")):
        ran = ship("diff", *(pair.reference(each) for each in words))
        assert not re.search(r"[^\x20-\x7e\n→…]", ran.out + ran.err)
        document = ship("diff", *(pair.reference(each) for each in words), "--json").out
        assert document.isascii()


# Registries


def test_between_a_registry_and_a_layout(tmp_path: Path) -> None:
    """Of a registry only manifests, configs and the layers with locks are fetched."""
    tiny = Tiny(tmp_path)
    tiny.lock(tiny.good())
    tiny.build()
    tiny.lock(tiny.good(), tiny.good("other"))
    with FakeRegistry() as registry:
        reference = f"docker://{registry.address}/some/app:1"
        assert ship(*tiny.words(to=reference)).status == 0
        registry.log.clear()
        found = ship("diff", f"oci:{tiny.output}:t", reference, "--json").document
        fetched = {each.path.rpartition("/")[2] for each in registry.log.matching("GET", "/blobs/")}
    (image,) = found["images"]
    assert names(image["packages"]["added"]) == ["other"]
    sharing = [layer["sharing"] for layer in image["layers"]]
    assert sorted(sharing) == ["new", "new", "shared"]
    assert len(fetched) == 2
    assert image["layers"][-1]["digest"] in fetched


def test_debians_registry(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    tiny.lock(tiny.good())
    with DockerRegistry(tmp_path / "docker-registry") as registry:
        where = f"docker://{registry.address}/some/app"
        assert ship(*tiny.words(to=f"{where}:1")).status == 0
        tiny.lock(tiny.good("other"))
        assert ship(*tiny.words(to=f"{where}:2")).status == 0
        found = ship("diff", f"{where}:1", f"{where}:2", "--json").document
    (image,) = found["images"]
    assert names(image["packages"]["added"]) == ["other"]
    assert names(image["packages"]["removed"]) == ["thing"]
    assert image["pull"]["blobs"] == 4
