"""Damaged bytes of every kind we read end in success or a PixiShipError, never in anything else."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from pixi_ship.cache import Cache
from pixi_ship.digest import Digest
from pixi_ship.errors import PixiShipError
from pixi_ship.layer.compress import Compression
from pixi_ship.layer.write import write_layer
from pixi_ship.lock.model import CondaPackage
from pixi_ship.lock.parse import LockFile, choose
from pixi_ship.machine import Machine
from pixi_ship.oci.base import inspect_layer
from pixi_ship.oci.blob import Blob, Layer
from pixi_ship.oci.descriptor import LAYER_GZIP, LAYER_TAR, LAYER_ZSTD, Descriptor
from pixi_ship.oci.read import read_image
from pixi_ship.oci.reference import parse_reference
from pixi_ship.package.archive import CondaArchive
from pixi_ship.package.metadata import read_metadata
from pixi_ship.platform import platform_of
from pixi_ship.prefix.conda import CondaTree
from pixi_ship.prefix.layout import Placement, PrefixLayout
from pixi_ship.prefix.python import PythonInfo
from pixi_ship.prefix.wheel import WheelTree
from pixi_ship.selection import Options
from pixi_ship.ship import plan
from pixi_ship.workspace import find_workspace

from ..conftest import TestData
from ..tiny import Tiny, info_of, member, raw_bz2, raw_conda, raw_wheel, tar_of

TRIALS = 300
LAYOUT = PrefixLayout("/app/.pixi/envs/default", PythonInfo(3, 11, "lib/python3.11/site-packages"))
WORDS = (
    *(b"..", b"/", b"\0", b"\xff\xfe", b"null", b"-1", b"[]", b"{}", b'"', b"'", b"1e999", b"\n"),
    *(b"9" * 30, b"[" * 2000, b"true", b"NaN", b"\xe2\x80\xae", b"&a *a", b"<<: *x", b"!!python/x"),
)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One to four small changes."""
    found = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(6):
            case 0 if found:
                found[at % len(found)] ^= 1 << chance.randrange(8)
            case 1:
                del found[at : at + chance.randrange(1, 40)]
            case 2:
                found[at:at] = chance.choice(WORDS)
            case 3:
                found[at : at + 8] = chance.randbytes(8)
            case 4:
                end = at + chance.randrange(1, 200)
                found[at:at] = found[at:end]
            case _ if chance.random() < 0.2:
                del found[at:]
    return bytes(found)


def trials(data: bytes, seed: int) -> Iterator[tuple[int, bytes]]:
    for trial in range(TRIALS):
        yield trial, mutated(data, random.Random(seed * 1_000_003 + trial))


def holds(trial: int, reading: Callable[..., object], *given: object) -> bool:
    """Whether the reading ended well; a failure says which trial to repeat."""
    try:
        reading(*given)
    except PixiShipError as error:
        if not str(error).strip():
            pytest.fail(f"trial {trial}: an error without words")
        return False
    except Exception as error:
        raise AssertionError(f"trial {trial}: {type(error).__name__}: {error}") from error
    return True


def some_package() -> tuple[dict[str, bytes], list[tuple[tarfile.TarInfo, bytes]]]:
    rows = {"bin/tool": b"#!/opt/placeholder/bin/sh\n", "lib/a.so": b"\0/opt/placeholder\0" * 20}
    paths = [
        {"_path": "bin/tool", "path_type": "hardlink", "file_mode": "text"},
        {"_path": "lib/a.so", "path_type": "hardlink", "file_mode": "binary"},
        {"_path": "lib/b.so", "path_type": "hardlink"},
        {"_path": "lib/c.so", "path_type": "softlink"},
        {"_path": "site-packages/m.py", "path_type": "hardlink"},
    ]
    for row in paths[:2]:
        row["prefix_placeholder"] = "/opt/placeholder" + "_" * 60
    link = {"noarch": {"type": "python", "entry_points": ["tool2 = m:main"]}}
    info = info_of(
        paths=json.dumps({"paths": paths}).encode(),
        noarch="python",
        link=json.dumps(link).encode(),
    )
    members = [member(path, data) for path, data in rows.items()]
    members += [
        member("lib/b.so", type=tarfile.LNKTYPE, linkname="lib/a.so"),
        member("lib/c.so", type=tarfile.SYMTYPE, linkname="a.so"),
        member("site-packages/m.py", b"def main(): pass\n"),
    ]
    return info, members


def record(name: str) -> CondaPackage:
    metadata = {"name": "thing", "version": "1.0", "build": "0"}
    return CondaPackage(
        name="thing",
        version="1.0",
        build="0",
        subdir="noarch",
        location=name,
        file_name=name,
        size=None,
        sha256=None,
        md5=None,
        depends=(),
        constrains=(),
        site_packages_path=None,
        metadata=metadata,
    )


def lay_out_conda(path: Path) -> None:
    read_metadata(CondaArchive(path, path.name))
    tree = CondaTree(record(path.name), path, LAYOUT, Placement(), "https://host.test/x")
    write_layer(tree, lambda data: None, Compression.GZIP)


def lay_out_wheel(path: Path) -> None:
    write_layer(
        WheelTree("thing-1.0-py3-none-any.whl", path, LAYOUT, Placement()),
        lambda data: None,
        Compression.GZIP,
    )


@pytest.mark.parametrize("inner", [False, True], ids=["outer", "inner"])
def test_conda(tmp_path: Path, inner: bool) -> None:
    """The archive itself, and the documents and tars within it."""
    info, members = some_package()
    payload = tar_of(members)
    whole = raw_conda(tmp_path, info, payload).read_bytes()
    lay_out_conda(raw_conda(tmp_path, info, payload))
    path = tmp_path / "thing-1.0-0.conda"
    for trial, data in trials(payload if inner else whole, 1 + inner):
        if inner:
            chance = random.Random(trial)
            changed = dict(info)
            if trial % 2:
                name = chance.choice(list(info))
                changed[name] = mutated(info[name], chance)
                path = raw_conda(tmp_path, changed, payload)
            else:
                path = raw_conda(tmp_path, info, data)
        else:
            path.write_bytes(data)
        holds(trial, lay_out_conda, path)


@pytest.mark.parametrize("inner", [False, True], ids=["outer", "inner"])
def test_tar_bz2(tmp_path: Path, inner: bool) -> None:
    info, members = some_package()
    path = raw_bz2(tmp_path, info, members)
    lay_out_conda(path)
    whole = path.read_bytes()
    for trial, data in trials(bz2.decompress(whole) if inner else whole, 3 + inner):
        path.write_bytes(bz2.compress(data) if inner else data)
        holds(trial, lay_out_conda, path)


@pytest.mark.parametrize("inner", [False, True], ids=["outer", "inner"])
def test_wheel(tmp_path: Path, inner: bool) -> None:
    points = "thing-1.0.dist-info/entry_points.txt"
    files = {
        "m.py": b"def main(): pass\n",
        "thing-1.0.data/scripts/run": b"#!python\nprint()\n",
        "thing-1.0.data/data/share/x": b"x",
        points: b"[console_scripts]\ntool = m:main\n",
    }
    path = raw_wheel(tmp_path, files)
    lay_out_wheel(path)
    whole = path.read_bytes()
    for trial, data in trials(whole, 5 + inner):
        if not inner:
            path.write_bytes(data)
        else:
            rewrite_wheel(path, whole, random.Random(trial))
        holds(trial, lay_out_wheel, path)


def rewrite_wheel(path: Path, whole: bytes, chance: random.Random) -> None:
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(path, "w") as target:
        names = source.namelist()
        victim, how = chance.choice(names), chance.randrange(3)
        for name in names:
            data = source.read(name)
            if name == victim and how == 0:
                continue
            if name == victim and how == 1:
                data = mutated(data, chance)
            if name == victim and how == 2:
                changed = mutated(name.encode(), chance).decode("utf-8", "replace")
                name = changed.replace("\0", "") or "x"
            target.writestr(zipfile.ZipInfo(name), data)


LOCKS = ["numpy", "gpu", "rich-platforms"]


@pytest.mark.parametrize("name", LOCKS)
def test_lock(tmp_path: Path, channel_data: TestData, name: str) -> None:
    workspace = channel_data.workspace(name)
    text = (workspace / "pixi.lock").read_bytes()
    path = tmp_path / "pixi.lock"

    def read() -> None:
        lock = LockFile(path)
        for environment in lock.environment_names:
            for platform in lock.platforms(environment):
                lock.environment(environment, platform)
            choose(lock, environment, "linux-64")

    for trial, data in trials(text, 7 + LOCKS.index(name)):
        path.write_bytes(data)
        holds(trial, read)


@pytest.mark.parametrize("name", ["numpy", "gpu", "rich-platforms", "pyproject"])
def test_manifest(tmp_path: Path, channel_data: TestData, name: str) -> None:
    workspace = channel_data.workspace(name)
    copy = tmp_path / "work"
    shutil.copytree(workspace, copy)
    (manifest,) = (path for path in copy.iterdir() if path.suffix == ".toml")
    text = manifest.read_bytes()
    options = Options(base=parse_reference("scratch"))

    def read() -> None:
        found = find_workspace(copy, search_upward=False)
        for environment in found.environments:
            found.activation_env(environment, ("linux-64", "linux", "unix"))
            found.glibc_versions(environment)
            list(found.dependency_names(environment, ("linux-64", "unix")))
        plan(found, options, Cache(tmp_path / "cache"), Machine())

    for trial, data in trials(text, 11):
        manifest.write_bytes(data)
        holds(trial, read)


def base_of(tmp_path: Path) -> Path:
    tiny = Tiny(tmp_path / "tiny")
    return tiny.base("2.36")


def inspect_base(reference: str) -> None:
    base = read_image(parse_reference(reference), platform_of("linux-64"))
    for layer in base.layers:
        inspect_layer(layer)
        for _ in layer.blob.chunks():
            pass


def test_layout(tmp_path: Path) -> None:
    layout = base_of(tmp_path)
    inspect_base(f"oci:{layout}:t")
    files = sorted(path for path in layout.rglob("*") if path.is_file())
    for path in files:
        whole = path.read_bytes()
        for trial, data in trials(whole, 13):
            if trial >= TRIALS // len(files):
                break
            path.write_bytes(data)
            holds(trial, inspect_base, f"oci:{layout}:t")
        path.write_bytes(whole)


def test_layout_whose_documents_are_named_rightly(tmp_path: Path) -> None:
    """Mutations that get past the digests: the documents are stored under their new names."""
    layout = base_of(tmp_path)
    blobs = layout / "blobs/sha256"
    index = json.loads((layout / "index.json").read_text())
    manifest = (blobs / index["manifests"][0]["digest"][7:]).read_bytes()
    config = (blobs / json.loads(manifest)["config"]["digest"][7:]).read_bytes()
    for trial in range(TRIALS):
        chance = random.Random(trial)
        document = json.loads(manifest)
        if trial % 2:
            document["config"] |= put_bytes(blobs, mutated(config, chance))
            row = put_bytes(blobs, json.dumps(document).encode())
        else:
            row = put_bytes(blobs, mutated(manifest, chance))
        index["manifests"][0] |= row
        (layout / "index.json").write_text(json.dumps(index))
        holds(trial, inspect_base, f"oci:{layout}:t")


def put_bytes(blobs: Path, data: bytes) -> dict[str, object]:
    name = hashlib.sha256(data).hexdigest()
    (blobs / name).write_bytes(data)
    return {"digest": f"sha256:{name}", "size": len(data)}


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_image_archive(tmp_path: Path, form: str) -> None:
    tiny = Tiny(tmp_path / "tiny")
    tiny.lock(tiny.good())
    path = tmp_path / "image.tar"
    assert tiny.build("--to", f"{form}:{path}:t").status == 0
    whole = path.read_bytes()
    tag = "t" if form == "oci-archive" else "t:latest"
    inspect_base(f"{form}:{path}:{tag}")
    for trial, data in trials(whole, 17):
        path.write_bytes(data)
        holds(trial, inspect_base, f"{form}:{path}:{tag}")


@pytest.mark.parametrize("kind", ["gzip", "zstd", "tar"])
def test_base_layer(tmp_path: Path, kind: str) -> None:
    tar = tar_of([member("lib/libc.so.6", b"GNU C Library x"), member("bin/sh", b"x" * 3000)])
    media_type, packed = {
        "gzip": (LAYER_GZIP, gzip.compress(tar)),
        "zstd": (LAYER_ZSTD, zstandard.ZstdCompressor().compress(tar)),
        "tar": (LAYER_TAR, tar),
    }[kind]
    for trial, data in trials(packed, 19):
        digest = Digest(hashlib.sha256(data).hexdigest())
        blob = Blob.of(Descriptor(media_type, digest, len(data)), data)
        holds(trial, inspect_layer, Layer(blob, digest))


def test_the_fuzzer_damages(tmp_path: Path) -> None:
    info, members = some_package()
    path = raw_conda(tmp_path, info, tar_of(members))
    failed = 0
    for trial, data in trials(path.read_bytes(), 1):
        path.write_bytes(data)
        failed += not holds(trial, lay_out_conda, path)
    assert TRIALS // 3 < failed < TRIALS
