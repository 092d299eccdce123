"""Buildah takes our images as the base of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import FORMS, TAG, Built
from .tools import Podman, need, output

pytestmark = pytest.mark.xdist_group("podman")


@pytest.mark.parametrize("form", FORMS)
def test_mount(podman: Podman, image: Built, form: str) -> None:
    need("buildah", root=True)
    buildah = ["buildah", *podman.place]
    # Like podman, buildah makes a name of an `oci:` path, which must look like one.
    named = f"oci:{image.layout.name}:{TAG}" if form == "oci" else image.references[form]
    started = output(*buildah, "from", "--quiet", named, cwd=image.layout.parent)
    container = started.strip()
    try:
        root = Path(output(*buildah, "mount", container).strip())
        assert (root / "app/pixi.lock").is_file()
        assert (root / "app/.pixi/envs/default/bin/python").exists()
        assert (root / "bin/sh").exists()
    finally:
        output(*buildah, "rm", container)
