"""A full disk, no permission, Ctrl-C, kill -9, two builds at once, a wrong base."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.cache import Cache, replacing, sweep_beside

from ..channel.conda_package import CondaPackage, File
from ..tiny import Ran, Tiny, lacking, ship_apart

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
INTERRUPTED = "\nerror: interrupted; run the same again to go on\n"


def need_root(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if os.geteuid() != 0:
        pytest.skip("only root may do this")
    if missing:
        lacking(f"not on this machine: {', '.join(missing)}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    need_root("mount")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)])
    if mounted.returncode:
        lacking("this machine lets nobody mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def incompressible(tiny: Tiny, name: str = "noise", size: int = 4 << 20) -> Path:
    return CondaPackage(name, "1.0", [File(f"share/{name}.bin", noise(size))]).write(tiny.channel)


# Disks and permissions


def test_full_disk_under_the_cache(tiny: Tiny, small_disk: Path) -> None:
    tiny.lock(incompressible(tiny))
    cache = small_disk / "cache"
    ran = tiny.build("--cache-dir", cache)
    tiny.failed_cleanly(
        ran,
        f"error: writing to the cache at {cache}: No space left on device",
        "  hint: free some space, or choose another place with --cache-dir or PIXI_SHIP_CACHE_DIR",
    )
    assert not any((cache / "tmp").iterdir())
    tiny.works()


def test_disk_full_of_layers(tiny: Tiny, small_disk: Path) -> None:
    """The archive is small and fits, its layer does not."""
    cache = small_disk / "cache"
    size = 600 << 10
    tiny.lock(incompressible(tiny, size=size))
    ran = tiny.build("--cache-dir", cache)
    tiny.failed_cleanly(
        ran,
        f"error: writing to the cache at {cache}: No space left on device",
        "  hint: free some space, or choose another place with --cache-dir or PIXI_SHIP_CACHE_DIR",
    )
    assert not any((cache / "tmp").iterdir())
    tiny.works()


@pytest.mark.parametrize("form", ["oci", "oci-archive", "docker-archive"])
def test_full_disk_under_the_output(tiny: Tiny, small_disk: Path, form: str) -> None:
    tiny.lock(incompressible(tiny))
    reference = f"{form}:{small_disk / 'image'}:t"
    ran = tiny.build("--to", reference)
    assert ran.err == (
        f"error: writing {reference}: No space left on device\n"
        "  hint: free some space, or choose another place with --to\n"
    )
    assert ran.status == 1
    assert list(small_disk.iterdir()) == []
    shutil.rmtree(tiny.output)
    tiny.works()


@pytest.fixture
def public() -> Iterator[Tiny]:
    """A workspace that other users can reach, as pytest's folders are not."""
    place = Path(tempfile.mkdtemp(prefix="ship-"))
    place.chmod(0o755)
    try:
        yield Tiny(place)
    finally:
        shutil.rmtree(place)


def as_somebody(*words: str | Path) -> Ran:
    """Run as a user who owns nothing: nobody, or whoever runs the tests without being root."""
    if os.geteuid() == 0:
        need_root("setpriv")
        return ship_apart(*words, prefix=NOBODY, env={"HOME": "/nonexistent"})
    return ship_apart(*words)


def test_cache_that_cannot_be_made(public: Tiny) -> None:
    public.lock(public.good())
    public.root.chmod(0o555)
    public.failed_cleanly(
        as_somebody(*public.words()),
        f"error: making the cache at {public.cache}: Permission denied",
        "  hint: choose another place with --cache-dir or PIXI_SHIP_CACHE_DIR",
    )
    public.root.chmod(0o755)
    public.works()


def test_cache_that_cannot_be_written(public: Tiny) -> None:
    public.lock(public.good())
    public.root.chmod(0o777)
    (public.cache / "tmp").mkdir(parents=True)
    (public.cache / "tmp").chmod(0o555)
    public.failed_cleanly(
        as_somebody(*public.words()),
        f"error: writing to the cache at {public.cache}: Permission denied",
        "  hint: choose another place with --cache-dir or PIXI_SHIP_CACHE_DIR",
    )


def test_output_that_cannot_be_written(public: Tiny) -> None:
    public.lock(public.good())
    public.cache.mkdir()
    public.cache.chmod(0o777)
    public.root.chmod(0o555)
    public.failed_cleanly(
        as_somebody(*public.words()),
        f"error: writing oci:{public.output}:t: Permission denied",
        "  hint: choose another place with --to",
    )
    public.root.chmod(0o755)


def test_output_that_is_something_else(tiny: Tiny) -> None:
    tiny.lock(tiny.good())
    other = tiny.root / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("")
    ran = tiny.build("--to", f"oci:{other}")
    assert (ran.status, ran.err) == (
        2,
        f"error: writing oci:{other}: {other} is not empty and no OCI layout\n"
        "  hint: choose another directory\n",
    )
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]


# Interrupted


def larger(tiny: Tiny, packages: int = 12) -> None:
    tiny.lock(*(incompressible(tiny, f"noise{n}", 3 << 20) for n in range(packages)))


def started(tiny: Tiny) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pixi_ship", *map(str, tiny.words("--workers", "1"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What starts in the background inherits an ignored SIGINT, as CI's shells do.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for_layers(tiny: Tiny, running: subprocess.Popen[str], count: int) -> None:
    blobs = tiny.cache / "blobs"
    while running.poll() is None and len(list(blobs.glob("*"))) < count:
        time.sleep(0.002)


def test_ctrl_c(tiny: Tiny) -> None:
    larger(tiny, 40)
    for _ in range(10):
        running = started(tiny)
        wait_for_layers(tiny, running, 1)
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
        if running.returncode != 0:
            break
        # A busy machine woke us after the build had ended: the signal must come before.
        shutil.rmtree(tiny.cache)
        shutil.rmtree(tiny.output)
    assert (running.returncode, out, err) == (130, "", INTERRUPTED)
    tiny.assert_clean()
    ran = tiny.works()
    assert ran.document["counters"]["layers_reused"] >= 1


def test_killed_at_any_moment(tiny: Tiny) -> None:
    larger(tiny, 6)
    want = tiny.works().digest
    shutil.rmtree(tiny.cache)
    shutil.rmtree(tiny.output)
    chance = random.Random(20261123)
    for trial in range(10):
        running = started(tiny)
        wait_for_layers(tiny, running, chance.randrange(0, 7))
        time.sleep(chance.uniform(0, 0.05))
        running.kill()
        running.communicate()
        if trial % 3 == 2:  # some trials go on from what the last one left
            shutil.rmtree(tiny.cache, ignore_errors=True)
    ran = tiny.works()
    assert ran.digest == want
    tiny_root_left = [path.name for path in tiny.root.iterdir() if path.name.startswith(".")]
    assert tiny_root_left == []
    assert list((tiny.cache / "tmp").iterdir()) == []


def test_orphans_are_swept_and_files_in_work_are_not(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with cache.temporary() as file:
        orphan = tmp_path / "cache" / "tmp" / "orphan"
        orphan.write_bytes(b"")
        assert cache.sweep() == 1
        assert Path(file.name).exists()
        assert not orphan.exists()
    target = tmp_path / "image.tar"
    left, other = tmp_path / ".image.tar.abc.tmp", tmp_path / ".image.tar.def.tmp"
    left.write_bytes(b"")
    other.mkdir()
    (other / "blob").write_bytes(b"")
    with replacing(target) as file:
        sweep_beside(target)
        file.write(b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "image.tar"]


# Two at once


def test_two_builds_on_one_cache(tiny: Tiny) -> None:
    larger(tiny, 4)
    builds = [started(tiny) for _ in range(3)]
    ends = [(build.communicate(timeout=120), build.returncode) for build in builds]
    assert [status for _, status in ends] == [0, 0, 0], [err for (_, err), _ in ends]
    digests = {json.loads(out)["digest"] for (out, _), _ in ends}
    assert len(digests) == 1
    index = json.loads((tiny.output / "index.json").read_text())
    assert [row["digest"] for row in index["manifests"]] == list(digests)
    assert list((tiny.cache / "tmp").iterdir()) == []


def test_two_tags_in_one_layout_at_once(tiny: Tiny) -> None:
    tiny.lock(tiny.good())
    tiny.works()
    builds = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "pixi_ship"),
                *map(str, tiny.words(to=f"oci:{tiny.output}:tag{n}")),
            ],
            stdout=subprocess.DEVNULL,
        )
        for n in range(4)
    ]
    assert [build.wait(timeout=120) for build in builds] == [0] * 4
    index = json.loads((tiny.output / "index.json").read_text())
    tags = {row["annotations"]["org.opencontainers.image.ref.name"] for row in index["manifests"]}
    assert tags == {"t", "tag0", "tag1", "tag2", "tag3"}


# Bases


def test_base_that_is_not_there(tiny: Tiny) -> None:
    tiny.lock(tiny.good())
    place = tiny.root / "nowhere"
    tiny.refused(
        f"error: reading {place}: oci-layout: No such file or directory",
        "  hint: is it an OCI layout?",
        more=["--base", f"oci:{place}"],
    )
    tiny.works()


def test_base_that_is_no_layout(tiny: Tiny) -> None:
    tiny.lock(tiny.good())
    place = tiny.root / "file"
    place.write_text("hello")
    tiny.refused(
        f"error: reading {place}: oci-layout: Not a directory",
        "  hint: is it an OCI layout?",
        more=["--base", f"oci:{place}"],
    )
    ran = tiny.build("--base", f"oci-archive:{place}")
    assert ran.err.startswith(f"error: reading oci-archive:{place}: ")
    assert ran.err.endswith("  hint: want an uncompressed tar archive of an image\n")
    assert ran.status == 1
    tiny.assert_clean()


def test_base_without_the_tag(tiny: Tiny) -> None:
    tiny.lock(tiny.good())
    layout = tiny.base()
    tiny.refused(
        f"error: oci:{layout}:other: there is no such tag",
        "  hint: tags: t",
        more=["--base", f"oci:{layout}:other"],
    )


def test_base_for_another_platform(tiny: Tiny) -> None:
    tiny.lock(tiny.good())
    layout = tiny.base()
    index = json.loads((layout / "index.json").read_text())
    blobs = layout / "blobs/sha256"
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_bytes())
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_bytes())
    config["architecture"] = "arm64"
    manifest["config"] |= put(blobs, config)
    index["manifests"][0] |= put(blobs, manifest)
    (layout / "index.json").write_text(json.dumps(index))
    tiny.refused(
        f"error: oci:{layout}:t is an image for linux/arm64, want linux/amd64",
        "  hint: take a base for this platform, or give --platform",
        more=["--base", f"oci:{layout}:t"],
    )
    tiny.works()


def put(blobs: Path, document: Any) -> dict[str, object]:
    data = json.dumps(document).encode()
    name = hashlib.sha256(data).hexdigest()
    (blobs / name).write_bytes(data)
    return {"digest": f"sha256:{name}", "size": len(data)}


def test_base_with_an_older_glibc(tiny: Tiny) -> None:
    good = tiny.good()
    tiny.lock(good, depends=["__glibc >=2.34,<3.0.a0"])
    layout = tiny.base("2.31")
    tiny.refused(
        f"error: {good.name} needs __glibc >=2.34,<3.0.a0, the base oci:{layout}:t provides 2.31",
        "  hint: choose a --base with glibc 2.34 or newer",
        more=["--base", f"oci:{layout}:t"],
    )


def test_base_without_glibc(tiny: Tiny) -> None:
    good = tiny.good()
    tiny.lock(good, depends=["__glibc >=2.17"])
    tiny.refused(
        f"error: {good.name} needs __glibc >=2.17, the base scratch has no glibc",
        "  hint: choose a --base such as debian or ubuntu",
    )


def test_base_with_a_damaged_layer(tiny: Tiny) -> None:
    tiny.lock(tiny.good())
    layout = tiny.base()
    index = json.loads((layout / "index.json").read_text())
    blobs = layout / "blobs/sha256"
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_bytes())
    blob = blobs / manifest["layers"][0]["digest"][7:]
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    ran = tiny.build("--base", f"oci:{layout}:t")
    assert ran.err.startswith("error: reading ")
    assert blob.name in ran.err
    tiny.failed_cleanly(ran, *ran.err.rstrip("\n").split("\n"))
    blob.unlink()
    tiny.refused(
        f"error: reading {layout}: blobs/sha256/{blob.name}: No such file or directory",
        "  hint: is it an OCI layout?",
        more=["--base", f"oci:{layout}:t"],
    )
    tiny.works()


def test_docker_archive_with_odd_documents(tiny: Tiny) -> None:
    tiny.lock(tiny.good())
    place = tiny.root / "base.tar"
    with tarfile.open(place, "w"):
        pass
    tiny.refused(
        f"error: reading docker-archive:{place}: it holds no 'manifest.json'",
        more=["--base", f"docker-archive:{place}"],
    )
