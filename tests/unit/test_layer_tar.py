"""What the tar of a layer says of entries that have no content of their own."""

from __future__ import annotations

import io
import tarfile

import pytest

from pixi_ship.layer.tar import TarWriter
from pixi_ship.tree import File, Hardlink


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_a_hard_link_has_the_mode_of_its_file(mode: int) -> None:
    """Docker and podman give the file the mode of the last of its names."""
    raw = io.BytesIO()
    tar = TarWriter(raw.write)
    tar.add(File("bin/tool", mode, 2, (b"hi",)))
    tar.add(Hardlink("bin/other", "bin/tool"))
    tar.add(Hardlink("bin/third", "bin/other"))
    tar.close()
    with tarfile.open(fileobj=io.BytesIO(raw.getvalue())) as archive:
        modes = {each.name: each.mode for each in archive if not each.isdir()}
    assert modes == dict.fromkeys(("bin/tool", "bin/other", "bin/third"), mode)
