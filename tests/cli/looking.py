"""Fixtures of the verbs that look at images; a test file imports those that it uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..tiny import Tiny


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache of its own, and nothing set that a verb would heed."""
    for name in ("CONDA_OVERRIDE_CUDA", "SOURCE_DATE_EPOCH", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIXI_SHIP_CACHE_DIR", str(tmp_path / "cache-of-looking"))


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """A workspace of two packages."""
    found = Tiny(tmp_path)
    found.lock(found.good(), found.good("other"))
    return found
