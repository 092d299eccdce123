"""A small workspace with one of each kind of package, its image on a base, and verify run on it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from ..channel.conda_package import (
    PLACEHOLDER,
    CondaPackage,
    File,
    HardLink,
    Link,
    script,
    text_file,
)
from ..channel.recipes import greet
from ..channel.wheels import write_trinket
from ..tiny import Ran, Tiny, ship
from .tamper import Image, joined, piece

PREFIX = "app/.pixi/envs/default"
SERIES = f"{sys.version_info[0]}.{sys.version_info[1]}"
SITE = f"{PREFIX}/lib/python{SERIES}/site-packages"
CACHED = f"__pycache__/{{}}.{sys.implementation.cache_tag}.pyc"
BASE_LAYERS = 2

Found = list[tuple[str, str]]


@dataclass(frozen=True)
class Verdict:
    """What verify said of an image."""

    ran: Ran

    @property
    def document(self) -> dict[str, Any]:
        assert self.ran.out, self.ran.err
        found: dict[str, Any] = json.loads(self.ran.out)
        return found

    @property
    def differences(self) -> list[dict[str, Any]]:
        return [row for image in self.document["images"] for row in image["differences"]]

    @property
    def found(self) -> Found:
        """Kind and place of every difference."""
        return [(row["kind"], row["where"]) for row in self.differences]

    def of(self, where: str) -> tuple[str | None, str | None]:
        """What was wanted at a place, and what was found."""
        (row,) = (row for row in self.differences if row["where"] == where)
        return row["want"], row["got"]

    def holds(self) -> None:
        assert (self.found, self.ran.status) == ([], 0), self.ran.err

    def differs(self, *found: tuple[str, str]) -> None:
        """Exactly these differences are listed, and the exit code is 1."""
        assert (sorted(self.found), self.ran.status) == (sorted(found), 1), self.ran.err


@dataclass(frozen=True)
class Case:
    """A workspace, the base, and the image that was built of both."""

    tiny: Tiny
    base: Path

    @property
    def layout(self) -> Path:
        return self.tiny.output

    @property
    def place(self) -> list[str | Path]:
        return ["-w", self.tiny.work, "--cache-dir", self.tiny.cache]

    def words(self, *more: str | Path) -> list[str | Path]:
        return [*self.place, "--base", f"oci:{self.base}:t", *more]

    def build(self, to: str, *more: str | Path) -> Ran:
        ran = ship("build", "--to", to, *self.words("--quiet", "--json", *more))
        assert ran.status == 0, ran.err
        return ran

    def verify(self, reference: str, *more: str | Path) -> Verdict:
        return Verdict(ship("verify", reference, *self.words("--json", *more)))

    def image(self) -> Image:
        """The image as it was built, to be changed."""
        return Image.read(self.layout, BASE_LAYERS)

    def tampered(self, folder: Path, tamper: Callable[[Image], object]) -> str:
        """The image with something changed, written to a folder."""
        image = self.image()
        tamper(image)
        return image.write(folder)

    def elsewhere(self, folder: Path) -> Case:
        """A copy of workspace and cache that a test may change; it locks the same archives."""
        tiny = Tiny(folder)
        shutil.copytree(self.tiny.work, tiny.work, dirs_exist_ok=True)
        shutil.copytree(self.tiny.cache, tiny.cache)
        return Case(tiny, self.base)


def write_base(folder: Path, *, name: str = "base", programs: bytes = b"#!/bin/sh\n") -> Path:
    """A base of two layers, made by nobody's builder."""

    def directory(path: str) -> Any:
        return piece(path, type=b"5", mode=0o755)

    lower = [
        *(directory(path) for path in ("bin", "etc", "usr", "usr/lib", "var", "var/cache")),
        piece("bin/sh", programs, mode=0o755),
        piece("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"),
        piece("etc/shadow", b"root:*:0:0:::::\n", mode=0o600, gid=42),
        piece("usr/lib/libbase.so", bytes(range(256))),
        piece("usr/lib/libc.so.6", b"GNU C Library (Debian) stable release version 2.36.\n"),
        piece("lib", type=b"2", linkname="usr/lib", mode=0o777),
        piece("var/cache/old", b"old\n"),
    ]
    upper = [piece("etc/os-release", f"ID={name}\n".encode()), piece("var/cache/.wh.old")]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/bin:/bin", "LANG=C.UTF-8"],
            "WorkingDir": "/srv",
            "Labels": {"maker": name},
        },
        "history": [{"created_by": "lower"}, {"created_by": "upper"}],
        "rootfs": {"type": "layers"},
    }
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    Image(config, [joined(lower), joined(upper)], manifest, BASE_LAYERS).write(folder)
    return folder


def packages(channel: Path, greeting: int = 0) -> list[Path]:
    """A native package, a noarch one, a wheel, and a Python to install them into."""
    hard = File("lib/libtool.so.1", b"\x7fELF" + bytes(300), 0o755)
    tool = CondaPackage(
        "tool",
        "1.0",
        [
            File("bin/tool", b"\x7fELF\0" + PLACEHOLDER.encode() + b"/share\0", 0o755, "binary"),
            hard,
            HardLink("lib/libtool.so.1.0", hard),
            Link("lib/libtool.so", "libtool.so.1"),
            text_file("share/tool/text.txt", f"home={PLACEHOLDER}\n"),
            text_file("share/tool/one.txt", "same\n"),
            text_file("share/tool/two.txt", "same\n"),
            File("share/tool/large.bin", Random(7).randbytes(200_000)),
            Link("share/linked", "tool"),
            text_file("etc/conda/activate.d/tool.sh", 'export TOOL_HOME="$CONDA_PREFIX/share"\n'),
        ],
    )
    python = CondaPackage(
        "python",
        f"{SERIES}.0",
        [
            script(f"bin/python{SERIES}", "#!/bin/sh\n"),
            text_file(f"lib/python{SERIES}/this.py", "HERE = 1\n"),
        ],
    )
    return [
        tool.write(channel),
        python.write(channel),
        greet.packages()[greeting].write(channel),
        write_trinket(channel / "wheels"),
    ]


def made_case(root: Path) -> Case:
    """Build the image."""
    tiny = Tiny(root, manifest="\n[environments]\nother = []\n")
    lock(tiny, *packages(tiny.channel))
    case = Case(tiny, write_base(root / "base"))
    case.build(f"oci:{case.layout}:t")
    return case


def lock(tiny: Tiny, *archives: Path, channel: str | None = None) -> None:
    """Lock the archives in two environments."""
    tiny.lock(*archives, channel=channel)
    path = tiny.work / "pixi.lock"
    document = json.loads(path.read_text())
    environments = document["environments"]
    environments["other"] = environments["default"]
    path.write_text(json.dumps(document, indent=1))
