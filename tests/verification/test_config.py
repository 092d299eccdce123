"""A change of any field of config or manifest is found, and named by its path.

Also where fields look right and the bytes are not: readers of JSON disagree about names that
stand twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..tiny import ship
from .case import Case, Found
from .tamper import Image

Edit = Callable[[Image], object]


def config(*fields: str) -> Found:
    return [("config", f"config.{field}") for field in fields]


def put(field: str, value: Any) -> Edit:
    """Set a field of what runtimes apply."""
    return lambda image: image.runtime.__setitem__(field, value)


def whole(field: str, value: Any) -> Edit:
    """Set a field of the whole config."""
    return lambda image: image.config.__setitem__(field, value)


def env(edit: Callable[[list[str]], object]) -> Edit:
    return lambda image: edit(image.runtime["Env"])


def label(name: str, value: object) -> Edit:
    return lambda image: image.labels.__setitem__(name, value)


def history(place: int, field: str, value: Any) -> Edit:
    return lambda image: image.config["history"][place].__setitem__(field, value)


EDITS: dict[str, tuple[Edit, Found]] = {
    "a variable more": (
        env(lambda rows: rows.append("LD_PRELOAD=/x.so")),
        config("config.Env.LD_PRELOAD"),
    ),
    "a variable less": (
        env(lambda rows: rows.remove("PYTHONNOUSERSITE=1")),
        config("config.Env.PYTHONNOUSERSITE"),
    ),
    "a variable of the base": (
        env(lambda rows: rows.__setitem__(1, "LANG=C")),
        config("config.Env.LANG"),
    ),
    "a PATH": (
        env(lambda rows: rows.__setitem__(0, f"PATH=/tmp:{rows[0][5:]}")),
        config("config.Env.PATH"),
    ),
    "a variable twice": (
        env(lambda rows: rows.insert(0, "LANG=C")),
        config("config.Env"),
    ),
    "another order of variables": (env(lambda rows: rows.reverse()), config("config.Env")),
    "no variables": (put("Env", None), config("config.Env")),
    "an entrypoint": (put("Entrypoint", ["/bin/sh", "-c"]), config("config.Entrypoint")),
    "no entrypoint": (lambda image: image.runtime.pop("Entrypoint"), config("config.Entrypoint")),
    "a command": (put("Cmd", ["/bin/sh", "-c", "id"]), config("config.Cmd")),
    "a user": (put("User", "0:0"), config("config.User")),
    "a directory": (put("WorkingDir", "/tmp"), config("config.WorkingDir")),
    "a volume": (put("Volumes", {"/app": {}}), config("config.Volumes")),
    "a port": (put("ExposedPorts", {"22/tcp": {}}), config("config.ExposedPorts")),
    "a health check": (put("Healthcheck", {"Test": ["CMD", "x"]}), config("config.Healthcheck")),
    "a trigger": (put("OnBuild", ["RUN x"]), config("config.OnBuild")),
    "a signal": (put("StopSignal", "SIGKILL"), config("config.StopSignal")),
    "a name in other letters": (put("user", "0:0"), config("config.user")),
    "a field that is null": (put("User", None), config("config.User")),
    "a label more": (label("more", "1"), config("config.Labels.more")),
    "a label of the base": (label("maker", "me"), config("config.Labels.maker")),
    "a title": (
        label("org.opencontainers.image.title", "other"),
        config("config.Labels.org.opencontainers.image.title"),
    ),
    "no labels of the base": (
        lambda image: image.labels.pop("maker"),
        config("config.Labels.maker"),
    ),
    "a time": (whole("created", "2020-01-01T00:00:00Z"), config("created")),
    "an author": (whole("author", "me"), config("author")),
    "another processor": (whole("architecture", "arm64"), config("architecture")),
    "a variant": (whole("variant", "v8"), config("variant")),
    "another system": (whole("os", "windows"), config("os")),
    "features of the system": (whole("os.features", ["x"]), config("os.features")),
    "another kind of root": (
        whole("rootfs", {"type": "other"}),
        config("rootfs.type"),
    ),
    "a field of the root": (
        whole("rootfs", {"type": "layers", "base_layer": None}),
        config("rootfs.base_layer"),
    ),
    "a comment of the history": (
        history(3, "comment", "x"),
        config("history[3].comment"),
    ),
    "a command of the base's history": (
        history(0, "created_by", "x"),
        config("history[0].created_by"),
    ),
    "a layer that the history calls empty": (
        history(4, "empty_layer", True),
        config("history[4].empty_layer"),
    ),
    "one row more of the history": (
        lambda image: image.config["history"].append({"empty_layer": True}),
        config("history[7]"),
    ),
    "one row less of the history": (
        lambda image: image.config["history"].pop(),
        config("history[6]"),
    ),
    "no history": (lambda image: image.config.pop("history"), config("history")),
    "a field from outside of the spec": (whole("docker_version", "1"), config("docker_version")),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_field_of_the_config(case: Case, tmp_path: Path, name: str) -> None:
    edit, found = EDITS[name]
    case.verify(case.tampered(tmp_path / "x", edit)).differs(*found)


def test_the_values_are_told(case: Case, tmp_path: Path) -> None:
    def edit(image: Image) -> None:
        image.runtime["User"] = "0:0"
        image.runtime["Cmd"] = ["id"]
        image.runtime.pop("WorkingDir")

    reference = case.tampered(tmp_path / "x", edit)
    ran = ship("verify", reference, *case.words("--quiet"))
    assert ran.status == 1
    lines = ran.out.splitlines()
    assert lines[:3] == [
        'config.config.Cmd: got ["id"], want ["/bin/sh"]',
        "config.config.User: is too much (0:0)",
        "config.config.WorkingDir: is missing (/srv)",
    ]
    assert "differs in 3 places" in lines[3]


# Bytes that are read in more than one way.


def raw(old: str, new: str) -> Edit:
    def edit(image: Image) -> None:
        def changed(data: bytes) -> bytes:
            assert data.count(old.encode()) == 1
            return data.replace(old.encode(), new.encode())

        image.raw_config = changed

    return edit


TWICE = {
    # Go merges the two objects, Python takes the last one: a user that fields do not show.
    "a whole object twice": raw('"config":{', '"config":{"User":"0:0"},"config":{'),
    "a field twice": raw('"os":"linux"', '"os":"windows","os":"linux"'),
    "a blank": raw('"os":"linux"', '"os": "linux"'),
    "another way to write a letter": raw('"os":"linux"', '"os":"\\u006cinux"'),
    "another order": raw('"os":"linux",', ""),
}


@pytest.mark.parametrize("name", TWICE)
def test_bytes_that_say_the_same(case: Case, tmp_path: Path, name: str) -> None:
    """An image's identity is its config's digest, so not even a blank may differ."""
    edit = TWICE[name]

    def moved(image: Image) -> None:
        image.raw_config = lambda data: data.replace(b'"os":"linux",', b"").replace(
            b'{"architecture"', b'{"os":"linux","architecture"', 1
        )

    reference = case.tampered(tmp_path / "x", moved if name == "another order" else edit)
    verdict = case.verify(reference)
    verdict.differs(("config", "config, its bytes"))
    want, got = verdict.of("config, its bytes")
    (row,) = json.loads((case.layout / "index.json").read_bytes())["manifests"]
    manifest = case.layout / "blobs" / row["digest"].replace(":", "/")
    assert want == json.loads(manifest.read_bytes())["config"]["digest"]
    assert got is not None


def manifest(edit: Callable[[dict[str, Any]], object]) -> Edit:
    return lambda image: setattr(image, "edit", edit)


def raw_manifest(edit: Callable[[bytes], bytes]) -> Edit:
    return lambda image: setattr(image, "edit_raw", edit)


def _other_layers(name: str) -> Edit:
    """A second list of layers, for readers that take the last one, or any spelling."""

    def edit(data: bytes) -> bytes:
        row = json.dumps(json.loads(data)["layers"][:1])
        return data[:-1] + f', "{name}": {row}}}'.encode()

    return raw_manifest(edit)


MANIFESTS: dict[str, tuple[Edit, Found]] = {
    "a subject": (
        manifest(lambda found: found.__setitem__("subject", dict(found["config"]))),
        [("manifest", "manifest.subject")],
    ),
    "a type of artifact": (
        manifest(lambda found: found.__setitem__("artifactType", "x/y")),
        [("manifest", "manifest.artifactType")],
    ),
    "layers in other letters": (_other_layers("Layers"), [("manifest", "manifest.Layers")]),
    "the media type twice": (
        raw_manifest(lambda data: data.replace(b"{", b'{"schemaVersion": 2, ', 1)),
        [("manifest", "manifest, the name 'schemaVersion'")],
    ),
    "a place to fetch a layer from": (
        manifest(lambda found: found["layers"][3].__setitem__("urls", ["http://127.0.0.1/x"])),
        [("manifest", "manifest.layers[3].urls")],
    ),
    "a table of contents that is read instead of the tar": (
        manifest(
            lambda found: found["layers"][3].__setitem__(
                "annotations", {"io.github.containers.zstd-chunked.manifest-checksum": "x"}
            )
        ),
        [("manifest", "manifest.layers[3].annotations")],
    ),
    "data in the config's descriptor": (
        manifest(lambda found: found["config"].__setitem__("data", "e30=")),
        [("manifest", "manifest.config.data")],
    ),
    "an annotation": (
        manifest(lambda found: found["annotations"].__setitem__("pixi-ship.environment", "other")),
        [("manifest", "manifest.annotations.pixi-ship.environment")],
    ),
    "an annotation more": (
        manifest(lambda found: found["annotations"].__setitem__("more", "x")),
        [("manifest", "manifest.annotations.more")],
    ),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_field_of_the_manifest(case: Case, tmp_path: Path, name: str) -> None:
    edit, found = MANIFESTS[name]
    case.verify(case.tampered(tmp_path / "x", edit)).differs(*found)


def test_annotations_may_be_lost(case: Case, tmp_path: Path) -> None:
    """Docker's manifests have none, and a copy back into OCI's does not bring them again."""
    edit = manifest(lambda found: found.pop("annotations"))
    case.verify(case.tampered(tmp_path / "x", edit)).holds()


@pytest.mark.parametrize("depth", [500, *range(900, 1000, 9)])
def test_a_value_of_great_depth(case: Case, tmp_path: Path, depth: int) -> None:
    """As deep as can be read, and deeper: it ends in a difference or in a sentence."""
    deep = f'"os":"linux","deep":{"[" * depth}{"]" * depth}'
    ran = case.verify(case.tampered(tmp_path / "x", raw('"os":"linux"', deep))).ran
    assert ran.status == 1
    assert "config.deep" in ran.out or "it is not JSON" in ran.err
