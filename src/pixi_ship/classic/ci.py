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
    make = github if forge is Forge.GITHUB else gitlab
    name = ".github/workflows/image.yaml" if forge is Forge.GITHUB else ".gitlab-ci.yml"
    rendered = {Way.DOCKERFILE: "dockerfile", Way.APPTAINER: "apptainer"}.get(way)
    first = ("pixi", "ship", "render", rendered, "--environment", route.environment, "--to", ".")
    document = make(route, way, base, image)
    head = f"# Builds the image of the environment {route.environment} and pushes it.\n"
    return Pipeline(
        name,
        head + yaml_document(document),
        tuple(word for word in first if word) if rendered else (),
    )
