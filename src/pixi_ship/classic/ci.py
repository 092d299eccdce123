"""Pipelines that build an image and push it, for GitHub Actions and GitLab CI."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pixi_ship.classic.github import github
from pixi_ship.classic.gitlab import gitlab
from pixi_ship.classic.route import Route
from pixi_ship.classic.steps import Way
from pixi_ship.errors import UsageError
from pixi_ship.targets.yaml import yaml_document


class Forge(StrEnum):
    """Whose pipeline it is."""

    GITHUB = "github"
    GITLAB = "gitlab"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """name: the file's usual place in the repository. files_first: what it wants rendered."""

    name: str
    text: str
    files_first: tuple[str, ...]


def pipeline(
    route: Route, forge: Forge, way: Way, *, base: str | None, image: str | None
) -> Pipeline:
    """The pipeline for one environment; raises UsageError for a way that the forge has not.

    base: the reference that a person named. image: registry and repository to push to; None for
    the forge's own, by the repository's name.
    """
    if way is not Way.PIXI_SHIP and route.parents:
        raise UsageError(
            "rendering a pipeline with --classic: the lock leads out of the workspace",
            hint="leave --classic out, or keep path dependencies in the workspace",
        )
    name, make = {
        Forge.GITHUB: (".github/workflows/image.yaml", github),
        Forge.GITLAB: (".gitlab-ci.yml", gitlab),
    }[forge]
    head = f"# Builds the image of the environment {route.environment} and pushes it.\n"
    # The other ways have the names of the verbs that write their files.
    render = ("pixi", "ship", "render", way.value, "--environment", route.environment, "--to", ".")
    files_first = () if way is Way.PIXI_SHIP else render
    return Pipeline(name, head + yaml_document(make(route, way, base, image)), files_first)
