"""Pipelines are YAML that says the same in 1.1 and 1.2, and their scripts take nothing from events.

What GitHub and GitLab make of them can only be seen there; what can be checked here is their shape.
"""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml
from ruamel.yaml import YAML

from pixi_ship.classic.ci import Forge, pipeline
from pixi_ship.classic.route import Copied
from pixi_ship.classic.steps import Way
from pixi_ship.cli import cli
from pixi_ship.errors import UsageError

from .routes import ROUTES

CASES = [
    (route, forge, way, image)
    for route in ("plain", "rich", "arm", "gpu")
    for forge in Forge
    for way in Way
    for image in (None, "quay.io/me/fit")
]


@pytest.fixture(params=CASES, ids=lambda case: "-".join(str(each) for each in case))
def text(request: pytest.FixtureRequest) -> str:
    route, forge, way, image = request.param
    return pipeline(ROUTES[route], forge, way, base=None, image=image).text


def scripts(document: Any) -> Iterator[str]:
    """Everything that a shell will read."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "run":
                yield value
            elif key == "script":
                yield from value
            else:
                yield from scripts(value)
    elif isinstance(document, list):
        for each in document:
            yield from scripts(each)


def test_both_versions_of_yaml_agree(text: str) -> None:
    assert yaml.safe_load(text) == YAML(typ="safe", pure=True).load(io.StringIO(text))


def test_scripts_are_shell(text: str) -> None:
    found = list(scripts(yaml.safe_load(text)))
    assert found
    for script in found:
        assert "${{" not in script
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_pixi_ship_knows_the_words(text: str) -> None:
    """Every command of ours is parsed as it stands."""
    joined = re.sub(r"\\\n\s*", " ", "\n".join(scripts(yaml.safe_load(text))))
    for line in re.findall(r"(?m)^pixi-ship (.+)$", joined):
        words = line.replace('"', "").replace("$IMAGE", "ghcr.io/me/fit").split()
        verb = cli.commands[words[0]]
        with verb.make_context(words[0], words[1:]):
            pass


@pytest.mark.parametrize("way", Way)
def test_github(way: Way) -> None:
    """Least rights; nothing is pushed for a pull request; changes of what is built start it."""
    text = pipeline(ROUTES["rich"], Forge.GITHUB, way, base=None, image=None).text
    document = yaml.safe_load(text)
    assert document["permissions"] == {}
    assert document["jobs"]["image"]["permissions"] == {"contents": "read", "packages": "write"}
    for step in document["jobs"]["image"]["steps"]:
        said = str(step)
        if "GITHUB_TOKEN" in said or "docker://$IMAGE" in said:
            assert step["if"] == "github.event_name != 'pull_request'"
        if "push-action" in said:
            assert step["with"]["push"] == "${{ github.event_name != 'pull_request' }}"
    paths = document["on"]["push"]["paths"]
    assert paths[:2] == ["fit/pixi.toml", "fit/pixi.lock"]
    assert document["on"]["pull_request"]["paths"] == paths


@pytest.mark.parametrize("way", Way)
def test_gitlab(way: Way) -> None:
    """No job has the name of a keyword (GitLab, "Unavailable names for jobs")."""
    text = pipeline(ROUTES["rich"], Forge.GITLAB, way, base=None, image=None).text
    document = yaml.safe_load(text)
    assert list(document) == ["build-image"]
    (rule,) = document["build-image"]["rules"]
    assert rule["changes"][:2] == ["fit/pixi.toml", "fit/pixi.lock"]


def test_patterns_are_no_quantifiers() -> None:
    route = replace(ROUTES["plain"], installed_from=(Copied("c++", "/app/c++"),))
    document = yaml.safe_load(
        pipeline(route, Forge.GITHUB, Way.PIXI_SHIP, base=None, image=None).text
    )
    assert document["on"]["push"]["paths"][2] == "c**"


def test_classic_needs_the_workspace_alone() -> None:
    with pytest.raises(UsageError, match="out of the workspace"):
        pipeline(ROUTES["pyproject"], Forge.GITHUB, Way.DOCKERFILE, base=None, image=None)
