"""The page on the image lists the labels that there are: an image with all of them is the judge."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ..registry.fake import FakeRegistry
from ..tiny import Tiny, ship
from .pages import REPOSITORY

PAGE = REPOSITORY / "docs" / "reference" / "image.md"


def test_labels(tmp_path: Path) -> None:
    """An image for CUDA on a base in a registry has the labels of the page, and no others."""
    with FakeRegistry() as registry:
        base = f"docker://{registry.address}/base:1"
        under = Tiny(tmp_path / "under")
        under.lock(under.good("base"))
        assert ship(*under.words(to=base)).status == 0
        tiny = Tiny(tmp_path / "fit", '[system-requirements]\ncuda = "12"\n')
        tiny.lock(tiny.good())
        ran = tiny.build("--base", base)
        assert ran.status == 0, ran.err
    labels = json.loads(_config(tiny.output, ran.image["config_digest"]))["config"]["Labels"]
    section = PAGE.read_text(encoding="utf-8").partition("\n## Labels\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)) == set(labels)
    options = json.loads(labels["pixi-ship.options"])
    assert all(f"`{name}`" in section for name in options)


def _config(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()
