"""One image for all tests of this folder, and its SIF, which they copy before they change it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from .case import Case, made_case

# Examples may take as long as a busy machine needs: no test here is about time.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The workspace and its image, built once."""
    return made_case(tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="session")
def sif(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same image as a SIF."""
    path = tmp_path_factory.mktemp("sif") / "image.sif"
    case.build(f"sif:{path}")
    return path
