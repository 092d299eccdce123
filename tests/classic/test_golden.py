"""What is rendered for other builders, to the byte: files in golden/.

    REWRITE_GOLDEN=1 python -m pytest tests/classic/test_golden.py

writes them anew; then look at what changed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixi_ship.classic.apptainer import definition
from pixi_ship.classic.ci import Forge, pipeline
from pixi_ship.classic.dockerfile import dockerfile, dockerignore
from pixi_ship.classic.steps import Way

from .routes import ROUTES

GOLDEN = Path(__file__).with_name("golden")


def held(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_text(text, "utf-8")
    assert path.read_text("utf-8") == text


@pytest.mark.parametrize("name", ROUTES)
def test_dockerfile(name: str) -> None:
    held(f"{name}.Dockerfile", dockerfile(ROUTES[name]))
    held(f"{name}.dockerignore", dockerignore(ROUTES[name]))


@pytest.mark.parametrize("name", ROUTES)
def test_definition(name: str) -> None:
    held(f"{name}.def", definition(ROUTES[name]))


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("forge", Forge)
def test_pipeline(forge: Forge, way: Way) -> None:
    text = pipeline(ROUTES["rich"], forge, way, base=None, image=None).text
    held(f"{forge}-{way}.yaml", text)


@pytest.mark.parametrize("forge", Forge)
def test_pipeline_for_another_registry(forge: Forge) -> None:
    base, image = "docker://docker.io/library/ubuntu:24.04", "quay.io/me/fit"
    made = pipeline(ROUTES["arm"], forge, Way.PIXI_SHIP, base=base, image=image)
    held(f"{forge}-elsewhere.yaml", made.text)
