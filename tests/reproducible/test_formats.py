"""Layer bytes do not depend on the CPU, and do not change unnoticed from release to release."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixi_ship.layer.compress import Compression
from pixi_ship.layer.write import write_layer
from pixi_ship.lock.parse import LockFile
from pixi_ship.prefix.conda import CondaTree
from pixi_ship.prefix.layout import Placement, PrefixLayout
from pixi_ship.tree import Directory, Entry, File, Hardlink, Symlink

from ..channel.conda_package import PLACEHOLDER, CondaPackage, Link, script, text_file
from ..tiny import Tiny, lacking

RAISE = (
    "layers of the same package have other bytes than before: if that is meant, raise "
    "LAYER_FORMAT in src/pixi_ship/layering.py and put the new digest here"
)
NEW_CODEC = "this codec has no digest yet: add what test_golden_compressed prints"

PROGRAM = """\
import hashlib, json, random, sys
from pixi_ship.layer.compress import Blocks, Compression, Compressor

def made():
    chance = random.Random(1)
    words = [chance.randbytes(chance.randrange(1, 12)).hex().encode() for _ in range(2000)]
    size = 0
    while size < 8 << 20:
        text = b" ".join(chance.choices(words, k=4000))
        noise = chance.randbytes(chance.randrange(1 << 15))
        zeros = bytes(chance.randrange(1 << 14))
        for piece in (text, noise, zeros):
            yield piece
            size += len(piece)

found = {}
for compression in Compression:
    digest = hashlib.sha256()
    compressor = Compressor(compression, digest.update)
    blocks = Blocks(compressor.block)
    for piece in made():
        blocks.write(piece)
    blocks.close()
    compressor.close()
    found[compression.key] = digest.hexdigest()
print(json.dumps(found))
"""


def compressed(*prefix: str) -> dict[str, str]:
    done = subprocess.run([*prefix, sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("cpu", ["Nehalem", "Haswell"])
def test_bytes_do_not_depend_on_the_cpu(cpu: str) -> None:
    if shutil.which("qemu-x86_64") is None:
        lacking("not on this machine: qemu-x86_64 (package qemu-user)")
    assert compressed("qemu-x86_64", "-cpu", cpu) == compressed()


def golden_package(channel: Path) -> Path:
    package = CondaPackage(
        "golden",
        "1.0",
        [
            script("bin/golden", f"#!{PLACEHOLDER}/bin/sh\necho {PLACEHOLDER}\n"),
            text_file("share/golden/ünï.txt", "text\n"),
            text_file("share/golden/" + "n" * 120, "a long name\n"),
            Link("share/golden/link", "ünï.txt"),
        ],
    )
    return package.write(channel)


def test_golden_package(tmp_path: Path) -> None:
    """The whole way from archive to tar; independent of any codec's version."""
    tiny = Tiny(tmp_path)
    archive = golden_package(tiny.channel)
    # The record in conda-meta holds what the lock says of the archive, whose bytes depend on
    # the zstd that made it: say it by hand.
    url = f"https://conda.example.test/channel/linux-64/{archive.name}"
    channel = "https://conda.example.test/channel"
    tiny.lock(archive, urls={archive: url}, channel=channel, sha256="0" * 64, size=1)
    lock = LockFile(tiny.work / "pixi.lock")
    (platform,) = lock.platforms("default")
    (package,) = lock.environment("default", platform).conda
    layout = PrefixLayout("/app/.pixi/envs/default", None)
    tree = CondaTree(package, archive, layout, Placement(), url)
    written = write_layer(tree, lambda data: None, Compression.GZIP)
    assert str(written.diff_id) == DIFF_ID, RAISE


class GoldenTree:
    def entries(self) -> Iterator[Entry]:
        big = b"".join(b"%d\n" % number for number in range(300_000))
        yield from (
            File("app/a", 0o644, 2, (b"a\n",)),
            File("app/big", 0o755, len(big), (big,)),
            Hardlink("app/hard", "app/a"),
            Symlink("app/link", "ünï" * 50),
            Directory("empty"),
        )


DIFF_ID = "sha256:0a7e18029c36e68c68f1ea5c360aec471f660eecd81ceddd70410fa45a5c873f"
TREE = "sha256:243f076b98473e63eb0cf6c047d98208db821780d796ea295dcd6e4059d8a264"
COMPRESSED = {
    "gzip isal-2.32.1 level-2 head-16 block-1048576": (
        "2d8592281b65f318a1b1bffce462f4bf1d3ef68cf150e9c2ce064150fedfb652"
    ),
    "zstd zstd-1.5.7 level-3 block-1048576": (
        "2151cd3c53758def490e69625650dfccd5bc1a786d3e08c0b7f1c8241579b7e9"
    ),
}


@pytest.mark.parametrize("compression", list(Compression))
def test_golden_compressed(compression: Compression) -> None:
    digest = hashlib.sha256()
    written = write_layer(GoldenTree(), digest.update, compression)
    print(repr(compression.key), repr(digest.hexdigest()))
    assert str(written.diff_id) == TREE, RAISE
    assert str(written.digest) == f"sha256:{digest.hexdigest()}"
    assert compression.key in COMPRESSED, NEW_CODEC
    assert digest.hexdigest() == COMPRESSED[compression.key], RAISE
