"""An image of another lock is found out, and what is listed leads to the package that changed."""

from __future__ import annotations

import json
from pathlib import Path

from ..tiny import Tiny, ship
from .case import CACHED, PREFIX, SITE, Case, Found, lock, packages

LOCK_DIGEST = "pixi-ship.lock.digest"
# What follows from any change of the lock.
ALWAYS: Found = [
    ("file", "/app/pixi.lock"),
    ("config", f"config.config.Labels.{LOCK_DIGEST}"),
    ("manifest", f"manifest.annotations.{LOCK_DIGEST}"),
]


def relocked(case: Case, folder: Path, *archives: Path) -> Case:
    """The same workspace with another lock."""
    tiny = Tiny(folder, manifest=case.tiny.manifest)
    lock(tiny, *archives, channel=case.tiny.channel.as_uri())
    return Case(tiny, case.base)


def files(*paths: str) -> Found:
    return [("file", f"/{path}") for path in paths]


def test_the_same_lock_written_again(case: Case, tmp_path: Path) -> None:
    """So that the tests below show nothing but the change."""
    same = relocked(case, tmp_path / "same", *packages(case.tiny.channel))
    same.verify(f"oci:{case.layout}:t").holds()


def test_another_version_of_a_package(case: Case, tmp_path: Path) -> None:
    newer = relocked(case, tmp_path / "newer", *packages(case.tiny.channel, 1))
    verdict = newer.verify(f"oci:{case.layout}:t")
    info = [
        f"{SITE}/greet-{{}}.dist-info",
        *(
            f"{SITE}/greet-{{}}.dist-info/{name}"
            for name in ("INSTALLER", "METADATA", "entry_points.txt")
        ),
    ]
    verdict.differs(
        *ALWAYS,
        *files(
            *(path.format(version) for version in ("1.0", "1.1") for path in info),
            *(
                f"{PREFIX}/conda-meta/greet-{version}-pyh0000000_0.json"
                for version in ("1.0", "1.1")
            ),
            f"{SITE}/greet/__init__.py",
            f"{SITE}/greet/{CACHED.format('__init__')}",
            f"{SITE}/greet/news.py",
            f"{SITE}/greet/{CACHED.format('news')}",
        ),
        ("config", "config.history[2].comment"),
    )
    assert verdict.of("config.history[2].comment") == (
        "greet-1.1-pyh0000000_0.conda",
        "greet-1.0-pyh0000000_0.conda",
    )
    assert verdict.of(f"/{SITE}/greet/news.py")[1] is None
    assert verdict.of(f"/{SITE}/greet-1.0.dist-info/METADATA")[0] is None


def test_a_package_less(case: Case, tmp_path: Path) -> None:
    """Its layer and its files are too much."""
    _, *rest = packages(case.tiny.channel)
    fewer = relocked(case, tmp_path / "fewer", *rest)
    verdict = fewer.verify(f"oci:{case.layout}:t")
    found = verdict.found
    assert set(ALWAYS) <= set(found)
    assert ("layer", "number of layers") in found
    assert ("file", f"/{PREFIX}/bin/tool") in found
    named = [where for kind, where in found if kind == "file" and where != "/app/pixi.lock"]
    activation = {
        "/app/entrypoint.sh",
        "/ch/environment",
        "/etc/profile.d/zz-pixi-ship.sh",
        "/.singularity.d/env/91-pixi-ship.sh",
    }
    assert set(named) - activation <= {
        f"/{PREFIX}/{path}"
        for path in (
            *("bin/tool", "etc", "etc/conda", "etc/conda/activate.d", "share/linked"),
            *("etc/conda/activate.d/tool.sh", "lib/libtool.so", "lib/libtool.so.1"),
            *("lib/libtool.so.1.0", "share/tool", "share/tool/large.bin", "share/tool/one.txt"),
            *("share/tool/text.txt", "share/tool/two.txt", "conda-meta/tool-1.0-h0000000_0.json"),
        )
    }
    assert ("config", "config.config.Env.TOOL_HOME") in found


def test_another_row_of_the_same_archive(case: Case, tmp_path: Path) -> None:
    """The record in conda-meta holds what the lock says of a package."""
    own = relocked(case, tmp_path / "own", *packages(case.tiny.channel))
    path = own.tiny.work / "pixi.lock"
    document = json.loads(path.read_text())
    (row,) = (row for row in document["packages"] if row.get("name") == "tool")
    row["license"] = "MIT"
    path.write_text(json.dumps(document, indent=1))
    verdict = own.verify(f"oci:{case.layout}:t")
    verdict.differs(*ALWAYS, *files(f"{PREFIX}/conda-meta/tool-1.0-h0000000_0.json"))


def test_another_manifest(case: Case, tmp_path: Path) -> None:
    """It lies in the image, and its variables are the image's."""
    own = case.elsewhere(tmp_path / "own")
    manifest = own.tiny.work / "pixi.toml"
    manifest.write_text(manifest.read_text() + '\n[activation.env]\nMODE = "new"\n')
    verdict = own.verify(f"oci:{case.layout}:t")
    verdict.differs(
        ("config", "config.config.Env.MODE"),
        *files(
            "app/pixi.toml",
            "app/entrypoint.sh",
            "ch/environment",
            "etc/profile.d/zz-pixi-ship.sh",
            ".singularity.d/env/91-pixi-ship.sh",
        ),
    )


def test_a_manifest_that_the_lock_does_not_fit(case: Case, tmp_path: Path) -> None:
    """Nothing can be told then; the image is not blamed."""
    own = case.elsewhere(tmp_path / "own")
    manifest = own.tiny.work / "pixi.toml"
    manifest.write_text(manifest.read_text() + '\n[dependencies]\nmore = "*"\n')
    ran = ship("verify", f"oci:{case.layout}:t", *own.words())
    assert (ran.status, ran.out) == (1, "")
    assert "asks for 'more'" in ran.err
    assert ran.err.endswith("  hint: the lock is out of date: run 'pixi lock'\n")
