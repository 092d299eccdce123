"""Builds with the caller's own rights: what is then another from build to build is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixi_ship.digest import BLOCK
from pixi_ship.source.wheels import Workshop, build_facts, built_wheel, known_wheel

from ..tiny import Tiny, ship_apart
from .conftest import unconfined, wheel_of
from .projects import FLITTED, directory, hostile
from .test_verify import in_the_workspace


@pytest.mark.parametrize("before", [0, BLOCK - 20, BLOCK - 1, BLOCK, 2 * BLOCK - 30])
def test_the_path_of_the_build_in_a_wheel_is_noted(workshop: Workshop, before: int) -> None:
    code = f"return make(wheel_directory, data='x' * {before} + os.getcwd(), files={{'b': 'x'}})"
    shop = unconfined(workshop)
    source = directory(workshop.root, "hostile", hostile(code))
    wheel = built_wheel(source, shop)
    assert build_facts(wheel, shop.cache).naming == ("hostile.py",)
    assert known_wheel(source, shop) == wheel
    confined = built_wheel(source, workshop)
    assert build_facts(confined, workshop.cache).naming == ()


def test_a_link_to_the_cache_hides_nothing(workshop: Workshop, tmp_path: Path) -> None:
    workshop.cache.root.symlink_to(tmp_path / "real")
    (tmp_path / "real").mkdir()
    code = "return make(wheel_directory, data=os.path.realpath(os.getcwd()))"
    shop = unconfined(workshop)
    wheel = built_wheel(directory(workshop.root, "hostile", hostile(code)), shop)
    assert build_facts(wheel, shop.cache).naming == ("hostile.py",)


def test_what_names_no_path_is_not_accused(workshop: Workshop) -> None:
    shop = unconfined(workshop)
    wheel = built_wheel(directory(workshop.root, "flitted", FLITTED), shop)
    assert build_facts(wheel, shop.cache).naming == ()


def test_everything_relative(tmp_path: Path, variables: dict[str, str]) -> None:
    """Workspace, cache, output and links as one types them, and the warning that comes of it."""
    tiny = Tiny(
        tmp_path / "tiny", manifest='\n[pypi-options]\nfind-links = [{ path = "./links" }]\n'
    )
    in_the_workspace(tiny, {"data=tool.DATA": "data=tool.DATA + os.getcwd()"})
    wheel_of(tiny.work / "links", "tool", text="DATA = 'one'")
    env = {**variables, "UV_FIND_LINKS": "", "PATH": os.environ["PATH"]}
    words = ["build", "-w", ".", "--base", "scratch", "--to", "oci:out:t", "--cache-dir", "cache"]
    ran = ship_apart(*words, "--no-sandbox", env=env, cwd=tiny.work)
    assert ran.status == 0, ran.err
    assert "hostile: the directory it was built in is named in 'hostile.py'" in ran.err
    assert list((tiny.work / "cache" / "tmp").iterdir()) == []
    confined = ship_apart(*words, env=env, cwd=tiny.work)
    assert confined.status == 0, confined.err
    assert "is named in" not in confined.err
